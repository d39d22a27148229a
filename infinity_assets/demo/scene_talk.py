"""Questions about a scene, in English and Chinese, with answers that follow from what was placed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping

from infinity_assets.demo.parts import QA, join_words
from infinity_assets.demo.scenes import SETTINGS, Scene, SceneObject
from infinity_assets.demo.sprites import COLOURS, THINGS, Thing

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ZH_NUMBERS = ("零", "一", "两", "三", "四", "五", "六", "七", "八", "九")

#: Things that would also answer the question what a thing is for, so that it is not asked beside them.
_RIVALS: Mapping[str, frozenset[str]] = {
    "umbrella": frozenset({"house", "car", "bus", "tree"}),
    "car": frozenset({"bus"}),
    "bus": frozenset({"boat"}),
    "apple": frozenset({"fish", "mushroom"}),
    "tree": frozenset({"flower", "apple"}),
    "flower": frozenset({"tree", "apple"}),
    "kite": frozenset({"balloon"}),
    "house": frozenset({"boat", "bus"}),
    "boat": frozenset({"bottle"}),
}

Asker = Callable[[random.Random, Scene], QA | None]


def ask(rng: random.Random, scene: Scene, count: int, chinese: bool = False) -> list[QA]:
    """Up to ``count`` questions of different kinds, at least one."""
    askers = list(_CHINESE if chinese else _ENGLISH)
    rng.shuffle(askers)
    pairs: list[QA] = []
    for asker in askers:
        pair = asker(rng, scene)
        if pair is not None:
            pairs.append(pair)
        if len(pairs) == count:
            break
    return pairs


def yes_no(rng: random.Random, scene: Scene, answer: bool) -> QA:
    """A question whose true answer is the one asked for."""
    if answer:
        item = rng.choice(scene.objects)
        thing, colour = item.thing, item.colour
    else:
        shown = {(o.thing, o.colour) for o in scene.objects}
        thing, colour = rng.choice(
            [(t.name, c) for t in THINGS.values() for c in t.colours if (t.name, c) not in shown]
        )
    what = f"{colour} {thing}"
    question = rng.choice(
        (
            f"Is there {_a(what)} in the picture?",
            f"Can you see {_a(what)} anywhere in this scene?",
            f"Does this photo show {_a(what)}?",
            f"Looking at the image, is {_a(what)} present?",
        )
    )
    tail = f"there is {_a(what)}" if answer else f"there is no {what}"
    return QA(f"{question} Answer yes or no first.", f"{'Yes' if answer else 'No'}, {tail} in the picture.")


def caption(rng: random.Random, scene: Scene) -> str:
    """One sentence that names everything in the scene."""
    parts = [_counted(k, n) for k, n in sorted(_kinds(scene).items())]
    rng.shuffle(parts)
    listed, where = join_words(parts), SETTINGS[scene.setting].phrase
    return rng.choice(
        (
            f"A picture of {listed} {where}.",
            f"{listed[0].upper()}{listed[1:]} {where}.",
            f"A scene {where} with {listed}.",
            f"This photo, taken {where}, shows {listed}.",
        )
    )


def tags(scene: Scene) -> list[str]:
    """What a tagger would say: classes, colours of objects, the setting."""
    return sorted({o.thing for o in scene.objects} | {scene.setting} | {o.colour for o in scene.objects})


def place_of(scene: Scene, item: SceneObject) -> str:
    """Left, middle or right, by thirds of the width."""
    return ("left", "middle", "right")[min(2, int(3 * item.centre / scene.width))]


def unique_things(scene: Scene) -> list[SceneObject]:
    """The objects whose class occurs once."""
    counts = Counter(o.thing for o in scene.objects)
    return [o for o in scene.objects if counts[o.thing] == 1]


def _kinds(scene: Scene) -> Counter[tuple[str, str]]:
    return Counter((o.colour, o.thing) for o in scene.objects)


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _counted(kind: tuple[str, str], n: int) -> str:
    colour, thing = kind
    return _a(f"{colour} {thing}") if n == 1 else f"{_NUMBERS[n]} {colour} {THINGS[thing].plural}"


def _counted_zh(kind: tuple[str, str], n: int) -> str:
    thing = THINGS[kind[1]]
    return f"{_ZH_NUMBERS[n]}{thing.unit}{COLOURS[kind[0]][0]}的{thing.zh}"


def _are(n: int, thing: str) -> str:
    return f"There is one {thing}" if n == 1 else f"There are {_NUMBERS[n]} {THINGS[thing].plural}"


def _count_thing(rng: random.Random, scene: Scene) -> QA:
    thing = rng.choice(scene.objects).thing
    n = sum(o.thing == thing for o in scene.objects)
    plural = THINGS[thing].plural
    question = rng.choice(
        (
            f"How many {plural} are there?",
            f"Count the {plural} in the image.",
            f"What is the number of {plural} shown?",
        )
    )
    return QA(question, f"{_are(n, thing)} in the picture.")


def _count_all(rng: random.Random, scene: Scene) -> QA:
    n = len(scene.objects)
    question = rng.choice(
        ("How many objects can you count in total?", "What is the total number of objects here?")
    )
    listed = join_words([_counted(k, m) for k, m in sorted(_kinds(scene).items())])
    return QA(question, f"I count {n}: {listed}.")


def _colour_of(rng: random.Random, scene: Scene) -> QA | None:
    single = unique_things(scene)
    if not single:
        return None
    item = rng.choice(single)
    question = rng.choice(
        (
            f"What colour is the {item.thing}?",
            f"Which colour does the {item.thing} have?",
            f"Name the {item.thing}'s colour.",
        )
    )
    return QA(question, rng.choice((f"The {item.thing} is {item.colour}.", f"{item.colour.capitalize()}.")))


def _where(rng: random.Random, scene: Scene) -> QA | None:
    single = unique_things(scene)
    if not single:
        return None
    item = rng.choice(single)
    side = place_of(scene, item)
    place = "in the middle" if side == "middle" else f"on the {side} side"
    return QA(
        f"In which part of the picture is the {item.thing}: left, middle or right?",
        f"The {item.colour} {item.thing} is {place}.",
    )


def _relation(rng: random.Random, scene: Scene) -> QA | None:
    single = unique_things(scene)
    if len(single) < 2:
        return None
    a, b = rng.sample(single, 2)
    if abs(a.centre - b.centre) < scene.width / 16:
        return None
    side = "left" if a.centre < b.centre else "right"
    return QA(
        f"Is the {a.thing} to the left or to the right of the {b.thing}?",
        f"The {a.colour} {a.thing} is to the {side} of the {b.colour} {b.thing}.",
    )


def _setting(rng: random.Random, scene: Scene) -> QA:
    phrase = SETTINGS[scene.setting].phrase
    question = rng.choice(
        ("Where does this scene take place?", "What kind of place is this?", "Describe the background.")
    )
    return QA(question, f"The scene is {phrase}.")


def _largest(rng: random.Random, scene: Scene) -> QA | None:
    ranked = sorted(scene.objects, key=lambda o: -o.area)
    if len(ranked) < 2 or ranked[0].area < 1.25 * ranked[1].area:
        return None
    question = rng.choice(
        ("Which object takes up the most space?", "What is the largest object in the image?")
    )
    return QA(question, f"The {ranked[0].colour} {ranked[0].thing} is the largest.")


def _purpose(rng: random.Random, scene: Scene) -> QA | None:
    thing = _only_one_for_it(rng, scene)
    if thing is None:
        return None
    others = join_words(sorted({f"the {o.thing}" for o in scene.objects if o.thing != thing.name}))
    question = rng.choice((f"Which of the things shown {thing.use}?", f"Which object here {thing.use}?"))
    return QA(question, f"The {thing.name}, rather than {others}.")


def _only_one_for_it(rng: random.Random, scene: Scene) -> Thing | None:
    """One of several classes whose use no other class of the scene shares."""
    kinds = {o.thing for o in scene.objects}
    fit = sorted(k for k in kinds if not kinds & _RIVALS.get(k, frozenset()))
    return THINGS[rng.choice(fit)] if fit and len(kinds) > 1 else None


def _locate(rng: random.Random, scene: Scene) -> QA | None:
    single = unique_things(scene)
    if not single:
        return None
    item = rng.choice(single)
    x0, y0, x1, y1 = item.box
    box = ", ".join(
        f"{v:.2f}" for v in (x0 / scene.width, y0 / scene.height, x1 / scene.width, y1 / scene.height)
    )
    return QA(
        f"Give the bounding box of the {item.colour} {item.thing} as shares of width and height.", f"[{box}]"
    )


def _describe(rng: random.Random, scene: Scene) -> QA:
    question = rng.choice(
        (
            "Describe the picture in detail.",
            "What do you see? Be thorough.",
            "Write a detailed description of this scene.",
        )
    )
    by_place: dict[str, list[str]] = {}
    for o in scene.objects:
        by_place.setdefault(place_of(scene, o), []).append(_a(f"{o.colour} {o.thing}"))
    where = {"left": "On the left", "middle": "In the middle", "right": "On the right"}
    parts = [f"{where[p]} you can see {join_words(by_place[p])}." for p in where if p in by_place]
    return QA(question, f"The scene is {SETTINGS[scene.setting].phrase}. {' '.join(parts)}")


def _present(rng: random.Random, scene: Scene) -> QA:
    return yes_no(rng, scene, rng.random() < 0.5)


def _zh_count(rng: random.Random, scene: Scene) -> QA:
    thing = THINGS[rng.choice(scene.objects).thing]
    n = sum(o.thing == thing.name for o in scene.objects)
    question = rng.choice(
        (
            f"图中有几{thing.unit}{thing.zh}？",
            f"请数一数图片里的{thing.zh}。",
            f"画面里一共有多少{thing.unit}{thing.zh}？",
        )
    )
    return QA(question, f"图中有{_ZH_NUMBERS[n]}{thing.unit}{thing.zh}。")


def _zh_colour(rng: random.Random, scene: Scene) -> QA | None:
    single = unique_things(scene)
    if not single:
        return None
    item = rng.choice(single)
    zh = THINGS[item.thing].zh
    return QA(
        rng.choice((f"{zh}是什么颜色的？", f"请说出图中{zh}的颜色。")), f"{zh}是{COLOURS[item.colour][0]}的。"
    )


def _zh_where(rng: random.Random, scene: Scene) -> QA:
    return QA(
        rng.choice(("这张图片的场景是哪里？", "这些东西在什么地方？")),
        f"这是在{SETTINGS[scene.setting].zh}。",
    )


def _zh_side(rng: random.Random, scene: Scene) -> QA | None:
    single = unique_things(scene)
    if not single:
        return None
    item = rng.choice(single)
    side = {"left": "左侧", "middle": "中间", "right": "右侧"}[place_of(scene, item)]
    return QA(
        f"{THINGS[item.thing].zh}在画面的左侧、中间还是右侧？", f"{THINGS[item.thing].zh}在画面的{side}。"
    )


def _zh_describe(rng: random.Random, scene: Scene) -> QA:
    parts = "、".join(_counted_zh(k, n) for k, n in sorted(_kinds(scene).items()))
    question = rng.choice(("请描述这张图片。", "用中文写一段图片说明。", "你在图中看到了什么？"))
    return QA(question, f"画面是在{SETTINGS[scene.setting].zh}，可以看到{parts}。")


def _zh_purpose(rng: random.Random, scene: Scene) -> QA | None:
    thing = _only_one_for_it(rng, scene)
    return QA(f"图中哪样东西{thing.use_zh}？", f"{thing.zh}，它{thing.use_zh}。") if thing else None


_ENGLISH: tuple[Asker, ...] = (
    _count_thing, _count_all, _colour_of, _where, _relation, _setting, _largest, _purpose, _locate,
        _describe, _present,
)  # fmt: skip
_CHINESE: tuple[Asker, ...] = (_zh_count, _zh_colour, _zh_where, _zh_side, _zh_describe, _zh_purpose)
