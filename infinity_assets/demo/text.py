"""Text-only instructions in English and Chinese whose answers are computed, not written by hand."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from infinity_assets.demo.documents import person
from infinity_assets.demo.parts import join_words, words

_TOKEN = re.compile(r"[a-z0-9]+|[\u4e00-\u9fff]")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ZH_DAYS = ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日")
_TOWNS = words(
    "Aldermoor, Brackwater, Coldharbour, Dunmere, Eastwick, Farrow, Glenford, Hartsend, Ilmouth, Jarrow, "
    "Kingsley, Lowfield"
)
_JOBS = words(
    "baker, nurse, carpenter, teacher, farmer, librarian, plumber, pilot, florist, tailor, potter, mechanic"
)
_GOODS = words(
    "pears, notebooks, candles, screws, tulips, postcards, marbles, tickets, bricks, buttons, eggs, lemons"
)
_ACTS = (
    ("watered", "the roses"),
    ("repaired", "the fence"),
    ("painted", "the gate"),
    ("opened", "the parcel"),
    ("cleaned", "the windows"),
    ("carried", "the piano"),
    ("closed", "the shutters"),
    ("delivered", "the letters"),
    ("counted", "the coins"),
    ("baked", "the bread"),
    ("moved", "the statue"),
    ("finished", "the quilt"),
)
_WHEN = words(
    "before breakfast, on Tuesday, after the storm, in the afternoon, last week, at noon, "
    "during the holidays, without any help"
)
_GROUPS = {
    "fruit": ("apple", "plum", "cherry", "mango", "fig", "apricot"),
    "tools": ("hammer", "chisel", "pliers", "wrench", "saw", "drill"),
    "instruments": ("cello", "flute", "harp", "oboe", "banjo", "tuba"),
    "birds": ("heron", "wren", "falcon", "gull", "owl", "stork"),
    "metals": ("copper", "zinc", "nickel", "tin", "silver", "iron"),
    "rivers": ("Danube", "Nile", "Mekong", "Volga", "Rhine", "Amazon"),
}
_WORDS = words(
    "river, candle, orbit, velvet, harbour, pepper, lantern, meadow, copper, thunder, garden, pocket, "
    "saddle, willow, basket, mirror, anchor, blanket, compass, feather"
)
_ZH_NAMES = ("小明", "小红", "李雷", "王芳", "张伟", "陈静", "刘洋", "赵敏", "孙丽", "周强")
_ZH_GOODS = (
    ("苹果", "个"),
    ("铅笔", "支"),
    ("邮票", "张"),
    ("贝壳", "枚"),
    ("图书", "本"),
    ("气球", "只"),
    ("橘子", "个"),
    ("卡片", "张"),
)
_SUBJECTS = (
    ("The teacher", "老师"),
    ("My sister", "我的妹妹"),
    ("The doctor", "医生"),
    ("Our neighbour", "我们的邻居"),
    ("The driver", "司机"),
    ("His friend", "他的朋友"),
    ("The student", "那个学生"),
    ("Her uncle", "她的叔叔"),
)
_VERBS = (
    ("buys", "买"),
    ("likes", "喜欢"),
    ("sells", "卖"),
    ("draws", "画"),
    ("needs", "需要"),
    ("finds", "找到"),
)
_OBJECTS = (
    ("two apples", "两个苹果"),
    ("a blue umbrella", "一把蓝色的雨伞"),
    ("an old clock", "一个旧时钟"),
    ("three books", "三本书"),
    ("a wooden boat", "一艘木船"),
    ("red flowers", "红色的花"),
    ("a small dog", "一只小狗"),
    ("fresh fish", "新鲜的鱼"),
)
_PLACES = (("at the market", "在市场"), ("at school", "在学校"), ("by the river", "在河边"),
    ("in the city", "在城里"),
    ("at home", "在家里"), ("on the island", "在岛上"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exercise:
    """An instruction, the material it is about ("" if none), and its answer."""

    instruction: str
    material: str
    answer: str
    language: str = "en"


def exercises(rng: random.Random, count: int) -> list[Exercise]:
    """``count`` exercises of which no two share half of their word triples."""
    made: list[Exercise] = []
    seen: dict[Callable[[random.Random], Exercise], list[set[tuple[str, ...]]]] = {}
    while len(made) < count:
        maker = rng.choice(_MAKERS)
        one = maker(rng)
        triples = shingles(f"{one.instruction} {one.material} {one.answer}")
        if all(len(triples & old) < 0.5 * len(triples | old) for old in seen.setdefault(maker, [])):
            seen[maker].append(triples)
            made.append(one)
    return made


def shingles(text: str) -> set[tuple[str, ...]]:
    """Triples of words (of characters in Chinese)."""
    tokens = _TOKEN.findall(text.lower())
    return set(zip(tokens, tokens[1:], tokens[2:], strict=False))


def _shopping(rng: random.Random) -> Exercise:
    (a, b), who = rng.sample(_GOODS, 2), person(rng)
    na, nb, pa, pb = rng.randint(2, 15), rng.randint(2, 15), rng.randint(1, 9), rng.randint(1, 9)
    buyer = f"{who}, a {rng.choice(_JOBS)} from {rng.choice(_TOWNS)},"
    story = f"{buyer} buys {na} {a} at {pa} coins each and {nb} {b} at {pb} coins each."
    return Exercise("How much is paid in total? Show the steps.", story,
        f"The {a} cost {na} x {pa} = {na * pa} coins and the {b} {nb} x {pb} = {nb * pb} coins, "
        f"{na * pa + nb * pb} coins in total.")  # fmt: skip


def _journey(rng: random.Random) -> Exercise:
    (a, b), start, long = rng.sample(_TOWNS, 2), rng.randrange(300, 1000, 5), rng.randrange(25, 400, 5)
    end = start + long
    clock, later = (f"{t // 60:02d}:{t % 60:02d}" for t in (start, end))
    text = rng.choice(
        (f"A train leaves {a} at {clock} and needs {long} minutes to reach {b}. When does it arrive?",
         f"If the ferry to {b} departs from {a} at {clock} and sails for {long // 60} h {long % 60} min, "
         f"at what time does it dock?",
         f"{person(rng)} starts walking from {a} at {clock}. The path to {b} takes {long} minutes. What is "
         f"the time of arrival?")
    )  # fmt: skip
    return Exercise(
        text,
        "",
        f"{clock} plus {long // 60} h {long % 60} min is {later}, so the arrival in {b} is at {later}.",
    )


def _sorting(rng: random.Random) -> Exercise:
    numbers, down = rng.sample(range(-99, 999), rng.randint(6, 9)), rng.random() < 0.5
    order = "largest to smallest" if down else "smallest to largest"
    text = rng.choice(
        (f"Sort these numbers from {order}.", f"Put the list in order, {order}.", f"Arrange from {order}:")
    )
    return Exercise(text, ", ".join(map(str, numbers)), ", ".join(map(str, sorted(numbers, reverse=down))))


def _alphabet(rng: random.Random) -> Exercise:
    words = rng.sample(_WORDS, 6)
    return Exercise(rng.choice(("Put the words in alphabetical order.", "Order alphabetically.",
        "How would a dictionary list these?")), " ".join(words), " ".join(sorted(words)))  # fmt: skip


def _passive(rng: random.Random) -> Exercise:
    (verb, what), job = rng.choice(_ACTS), rng.choice(_JOBS)
    when, town = rng.choice(_WHEN), rng.choice(_TOWNS)
    be = "were" if what.endswith("s") else "was"
    text = rng.choice(
        (
            "Rewrite in the passive voice.",
            "Turn this sentence into the passive.",
            "Make the object the subject of the sentence.",
        )
    )
    return Exercise(
        text,
        f"The {job} from {town} {verb} {what} {when}.",
        f"{what.capitalize()} {be} {verb} {when} by the {job} from {town}.",
    )


def _odd_one(rng: random.Random) -> Exercise:
    (many, few) = rng.sample(list(_GROUPS), 2)
    words, odd = rng.sample(_GROUPS[many], 4), rng.choice(_GROUPS[few])
    mixed = rng.sample([*words, odd], 5)
    text = rng.choice(
        ("Which word does not belong, and why?", "Find the odd one out.", "One of these is different. Which?")
    )
    return Exercise(
        text, ", ".join(mixed), f"{odd.capitalize()}: {join_words(words)} are {many}, {odd} belongs to {few}."
    )


def _fields(rng: random.Random) -> Exercise:
    who, town, job, age = person(rng), rng.choice(_TOWNS), rng.choice(_JOBS), rng.randint(19, 78)
    text = rng.choice(
        (f"{who} is {age}, lives in {town} and works as a {job}.",
            f"Meet {who}, the {age}-year-old {job} of {town}.",
         f"In {town} you will find the {job} {who}, aged {age}.")
    )  # fmt: skip
    return Exercise(
        rng.choice(("Extract name, age, town and job as JSON.",
            "Return the person's data as a JSON object.")), text,
        f'{{"name": "{who}", "age": {age}, "town": "{town}", "job": "{job}"}}',
    )  # fmt: skip


def _code(rng: random.Random) -> Exercise:
    name, values, k = (
        rng.choice(_WORDS),
        [rng.randint(1, 40) for _ in range(rng.randint(4, 6))],
        rng.randint(2, 5),
    )
    kept = [v for v in values if v % k == 0]
    line, result = rng.choice(
        ((f"sum(v for v in {name} if v % {k} == 0)", str(sum(kept))),
            (f"[v * {k} for v in {name}][::-1]", str([v * k for v in values][::-1])),
         (f"max({name}) - min({name}) + {k}", str(max(values) - min(values) + k)))
    )  # fmt: skip
    return Exercise(rng.choice(("What does this Python code print?", "Predict the output.",
        "Trace the program and give its output.")), f"{name} = {values}\nprint({line})", result)  # fmt: skip


def _letters(rng: random.Random) -> Exercise:
    first, second = rng.sample(_WORDS, 2)
    letter = rng.choice(first)
    n = (first + second).count(letter)
    return Exercise(f"How often does the letter \"{letter}\" occur in \"{first} {second}\"?", "",
        f"In \"{first}\" it occurs {first.count(letter)} and in \"{second}\" {second.count(letter)} times, "
        f"together {n}.")  # fmt: skip


def _minutes(rng: random.Random) -> Exercise:
    a, b, (verb, what) = person(rng), person(rng), rng.choice(_ACTS)
    day, cost, goods = rng.choice(_DAYS), rng.randrange(50, 900, 10), rng.choice(_GOODS)
    reported = f"Present: {a}, {b}. {a} reported that the team {verb} {what}."
    note = f"{reported} {b} asked for {cost} euros to order {goods}. Agreed. Next meeting: {day}."
    return Exercise(rng.choice(("Summarise the minutes in one sentence.", "Give a one-sentence summary.")),
        note, f"{a} reported that the team {verb} {what}, {b}'s request of {cost} euros for {goods} was "
              f"agreed, and the next meeting is on {day}.")  # fmt: skip


def _to_chinese(rng: random.Random) -> Exercise:
    (s, zs), (v, zv), (o, zo), (p, zp) = (rng.choice(x) for x in (_SUBJECTS, _VERBS, _OBJECTS, _PLACES))
    if rng.random() < 0.5:
        text = rng.choice(
            ("Translate into Chinese.", "请把下面的句子翻译成中文。", "How do you say this in Chinese?")
        )
        return Exercise(text, f"{s} {v} {o} {p}.", f"{zs}{zp}{zv}{zo}。", "zh")
    text = rng.choice(("Translate into English.", "请翻译成英文。", "Give the English for this sentence."))
    return Exercise(text, f"{zs}{zp}{zv}{zo}。", f"{s} {v} {o} {p}.", "zh")


def _zh_sum(rng: random.Random) -> Exercise:
    (a, b), (what, unit) = rng.sample(_ZH_NAMES, 2), rng.choice(_ZH_GOODS)
    n, m, gave = rng.randint(20, 90), rng.randint(3, 30), rng.randint(2, 15)
    story = rng.choice(
        (f"{a}有{n}{unit}{what}，{b}比{a}少{min(m, n - 1)}{unit}。两人一共有多少{unit}{what}？",
            f"{a}原来有{n}{unit}{what}，送给{b}{gave}{unit}，又买了{m}{unit}。{a}现在有多少{unit}{what}？")
    )  # fmt: skip
    if "一共" in story:
        less = n - min(m, n - 1)
        return Exercise(story, "", f"{b}有{less}{unit}，两人一共有{n}+{less}={n + less}{unit}{what}。", "zh")
    return Exercise(
        story, "", f"{n}-{gave}+{m}={n - gave + m}，所以{a}现在有{n - gave + m}{unit}{what}。", "zh"
    )


def _zh_day(rng: random.Random) -> Exercise:
    day, n, name = rng.randrange(7), rng.randint(8, 120), rng.choice(_ZH_NAMES)
    then = _ZH_DAYS[(day + n) % 7]
    plan = rng.choice(("去爬山", "看电影", "参加考试", "搬家", "拜访外婆", "出发旅行", "交报告", "打羽毛球"))
    return Exercise(f"今天是{_ZH_DAYS[day]}，{name}计划{n}天后{plan}，那天是星期几？", "",
        f"{n}除以7余{n % 7}，从{_ZH_DAYS[day]}往后数{n % 7}天是{then}，"
        f"所以{name}{then}{plan}。", "zh")  # fmt: skip


def _discount(rng: random.Random) -> Exercise:
    price, off, what, town = (
        rng.randrange(20, 400, 20),
        rng.choice((5, 10, 15, 20, 25, 30, 40)),
        rng.choice(_WORDS),
        rng.choice(_TOWNS),
    )
    text = rng.choice(
        (f"A shop in {town} sells a {what} for {price} euros and takes {off} % off. What is the new price?",
         f"{person(rng)} has a voucher of {off} % for a {what} that costs {price} euros. How much remains "
         f"to be paid?")
    )  # fmt: skip
    saved = price * off / 100
    return Exercise(
        text, "", f"{off} % of {price} is {saved:g}, so {price - saved:g} euros remain for the {what}."
    )


def _weekday(rng: random.Random) -> Exercise:
    day, n, (verb, what), who = rng.randrange(7), rng.randint(9, 200), rng.choice(_ACTS), person(rng)
    then = _DAYS[(day + n) % 7]
    return Exercise(f"{who} {verb} {what} on a {_DAYS[day]} and will do so again {n} days later. Which "
                    f"weekday is that?", "", f"{n} days are {n // 7} weeks and {n % 7} days, so {who} is "
                        f"due on a {then}.")  # fmt: skip


_MAKERS: tuple[Callable[[random.Random], Exercise], ...] = (
    _shopping, _journey, _sorting, _alphabet, _passive, _odd_one, _fields, _code, _letters, _minutes,
    _to_chinese, _to_chinese, _zh_sum, _zh_sum, _zh_day, _zh_day, _discount, _weekday,
)  # fmt: skip
