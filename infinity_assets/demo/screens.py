"""Screens of invented apps (sign-in, settings, player, chat, dashboard, shop) with their alt texts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import ImageDraw

from infinity_assets.demo.parts import Pixels, Rgb, canvas, font, join_words, pixels_of, some, words

_APPS = words(
    "Lumen, Tidal Notes, Parcelo, Hikeway, Brightbank, Mealmap, Orbit Mail, Pagewise, Quill, Stride, "
    "Velora, Zephyr"
)
_ACCENTS: tuple[tuple[str, str, Rgb], ...] = (
    ("blue", "蓝色", (44, 108, 223)),
    ("green", "绿色", (26, 148, 108)),
    ("purple", "紫色", (116, 74, 204)),
    ("orange", "橙色", (232, 116, 44)),
    ("red", "红色", (212, 60, 72)),
)
_SETTINGS = words(
    "Wi-Fi, Bluetooth, Battery saver, Notifications, Location, Auto update, Sounds, Sync, Backups, Captions"
)
_SONGS = words(
    "Paper Lanterns, Slow Tide, Amber Road, Night Ferry, Copper Rain, Glass Orchard, Winter Bees, "
    "Hollow Hill, Salt and Pine, Blue Meridian"
)
_BANDS = words("The Lighthouse Keepers, Marta Vey, Quartet Nine, Low Season, Ola & the Herons, North Pier")
_FRIENDS = ("Ana", "Boris", "Chloe", "Dev", "Erik", "Fatou", "Gina", "Hiro", "Ivo", "Jun")
_LINES = words(
    "Are we still on for seven?, I found your umbrella!, The train is late again, "
    "Can you bring the tent?, Dinner was great, Meeting moved to Friday, Did the parcel arrive?, "
    "Happy birthday!, See you at the gate, Which platform is it?, Please send the photos, "
    "Keys are under the pot"
)
_METRICS = ("Orders", "Visitors", "Sign-ups", "Returns", "Revenue", "Open tickets", "Uptime", "Refunds")
_WARES = words(
    "Rain jacket, Desk plant, Tea set, Headphones, Wool scarf, Camp stove, Notebook, Water bottle, "
    "Bike bell, Wall print"
)


@dataclass(slots=True)
class Screen:
    """A screen and its alt texts."""

    pixels: Pixels
    alt: str
    alt_zh: str
    kind: str


def draw_screen(rng: random.Random) -> Screen:
    """A screen of a random kind, light or dark."""
    return rng.choice(_KINDS)(rng, _Look(rng))


class _Look:
    """Colours of one app."""

    def __init__(self, rng: random.Random) -> None:
        self.app = rng.choice(_APPS)
        self.accent_name, self.accent_zh, self.accent = rng.choice(_ACCENTS)
        self.dark = rng.random() < 0.35
        self.mode, self.mode_zh = ("dark", "深色") if self.dark else ("light", "浅色")
        self.ground: Rgb = (24, 26, 34) if self.dark else (246, 247, 250)
        self.card: Rgb = (40, 43, 54) if self.dark else (255, 255, 255)
        self.ink: Rgb = (238, 240, 246) if self.dark else (30, 34, 44)
        self.faint: Rgb = (140, 146, 160) if self.dark else (122, 128, 142)
        self.line: Rgb = (62, 66, 80) if self.dark else (222, 225, 232)


def _bar(pen: ImageDraw.ImageDraw, look: _Look, width: int, title: str) -> None:
    pen.rectangle((0, 0, width, 48), fill=look.accent)
    pen.text((width // 2, 24), title, fill=(255, 255, 255), font=font(18), anchor="mm")


def _sign_in(rng: random.Random, look: _Look) -> Screen:
    image, pen = canvas(300, 480, look.ground)
    extra, extra_zh = rng.choice(
        (
            ("Forgot password?", "忘记密码"),
            ("Create account", "注册账号"),
            ("Sign in with a code", "验证码登录"),
        )
    )
    user = f"{rng.choice(_FRIENDS).lower()}{rng.randint(10, 99)}"
    pen.ellipse((110, 60, 190, 140), fill=look.accent)
    pen.text((150, 100), look.app[0], fill=(255, 255, 255), font=font(42), anchor="mm")
    pen.text((150, 176), f"Welcome to {look.app}", fill=look.ink, font=font(20), anchor="mm")
    for y, text in ((216, user), (276, "*" * rng.randint(6, 12))):
        pen.rounded_rectangle((30, y, 270, y + 44), 8, fill=look.card, outline=look.line)
        pen.text((44, y + 22), text, fill=look.faint, font=font(16), anchor="lm")
    pen.rounded_rectangle((30, 344, 270, 390), 23, fill=look.accent)
    pen.text((150, 367), "Sign in", fill=(255, 255, 255), font=font(17), anchor="mm")
    pen.text((150, 424), extra, fill=look.accent, font=font(14), anchor="mm")
    return Screen(pixels_of(image),
        f"Sign-in screen of the app {look.app} in {look.mode} mode: user name {user}, a hidden password, a "
        f"Sign in button in {look.accent_name} and the link \"{extra}\".",
        f"{look.app}应用的{look.mode_zh}登录界面：用户名为{user}，"
        f"下方是{look.accent_zh}的登录按钮和“{extra_zh}”链接。", "sign-in")  # fmt: skip


def _settings(rng: random.Random, look: _Look) -> Screen:
    names = some(rng, _SETTINGS, 5, 7)
    states = [rng.random() < 0.5 for _ in names]
    image, pen = canvas(300, 70 + 56 * len(names), look.ground)
    _bar(pen, look, 300, "Settings")
    for i, (name, on) in enumerate(zip(names, states, strict=True)):
        y = 62 + 56 * i
        pen.rounded_rectangle((14, y, 286, y + 48), 10, fill=look.card, outline=look.line)
        pen.text((28, y + 24), name, fill=look.ink, font=font(16), anchor="lm")
        pen.rounded_rectangle((224, y + 12, 270, y + 36), 12, fill=look.accent if on else look.line)
        x = 248 if on else 226
        pen.ellipse((x, y + 14, x + 20, y + 34), fill=(255, 255, 255))
    chosen = [n for n, on in zip(names, states, strict=True) if on]
    others = [n for n in names if n not in chosen]
    alt = f"Settings page of {look.app} in {look.mode} mode with {len(names)} switches. "
    alt += f"On: {join_words(chosen)}. " if chosen else "None is on. "
    alt += f"Off: {join_words(others)}." if others else "None is off."
    zh = f"{look.app}的{look.mode_zh}设置页面，共有{len(names)}个开关，其中{len(chosen)}个已打开" + (
        f"：{'、'.join(chosen)}。" if chosen else "。"
    )
    return Screen(pixels_of(image), alt, zh, "settings")


def _player(rng: random.Random, look: _Look) -> Screen:
    song, band = rng.choice(_SONGS), rng.choice(_BANDS)
    length, share = rng.randint(140, 330), rng.uniform(0.05, 0.95)
    now = int(length * share)
    image, pen = canvas(300, 460, look.ground)
    tone = tuple(rng.randint(60, 200) for _ in range(3))
    pen.rounded_rectangle((40, 34, 260, 254), 16, fill=(tone[0], tone[1], tone[2]))
    for _ in range(rng.randint(3, 6)):
        x, y, r = rng.randint(90, 210), rng.randint(84, 204), rng.randint(12, 44)
        pen.ellipse((x - r, y - r, x + r, y + r), outline=(255, 255, 255), width=3)
    pen.text((150, 288), song, fill=look.ink, font=font(21), anchor="mm")
    pen.text((150, 316), band, fill=look.faint, font=font(15), anchor="mm")
    pen.rounded_rectangle((40, 346, 260, 352), 3, fill=look.line)
    pen.rounded_rectangle((40, 346, 40 + 220 * share, 352), 3, fill=look.accent)
    clock, total = (f"{s // 60}:{s % 60:02d}" for s in (now, length))
    pen.text((40, 360), clock, fill=look.faint, font=font(12), anchor="la")
    pen.text((260, 360), total, fill=look.faint, font=font(12), anchor="ra")
    pen.ellipse((124, 384, 176, 436), fill=look.accent)
    playing = rng.random() < 0.5
    if playing:
        pen.rectangle((141, 398, 147, 422), fill=(255, 255, 255))
        pen.rectangle((153, 398, 159, 422), fill=(255, 255, 255))
    else:
        pen.polygon(((142, 397), (142, 423), (164, 410)), fill=(255, 255, 255))
    for x, s in ((86, -1), (214, 1)):
        pen.polygon(((x - 8 * s, 400), (x - 8 * s, 420), (x + 8 * s, 410)), fill=look.ink)
    return Screen(pixels_of(image),
        f"Music player in {look.mode} mode: \"{song}\" by {band}, {'playing' if playing else 'paused'} at "
        f"{clock} of {total}, with the {'pause' if playing else 'play'} button in {look.accent_name}.",
        f"{look.mode_zh}音乐播放器，歌曲《{song}》，演唱者{band}，{'正在播放' if playing else '已暂停'}，"
        f"进度{clock}，总长{total}。",
        "player")  # fmt: skip


def _chat(rng: random.Random, look: _Look) -> Screen:
    friend, lines = rng.choice(_FRIENDS), some(rng, _LINES, 3, 5)
    image, pen = canvas(320, 96 + 62 * len(lines), look.ground)
    _bar(pen, look, 320, friend)
    mine = [rng.random() < 0.5 for _ in lines]
    for i, (line, own) in enumerate(zip(lines, mine, strict=True)):
        wide, y = font(15).getlength(line) + 26, 64 + 62 * i
        left = 306 - wide if own else 14
        pen.rounded_rectangle((left, y, left + wide, y + 40), 14, fill=look.accent if own else look.card)
        pen.text(
            (left + 13, y + 20), line, fill=(255, 255, 255) if own else look.ink, font=font(15), anchor="lm"
        )
    said = "; ".join(f'{"you" if own else friend}: "{line}"' for line, own in zip(lines, mine, strict=True))
    return Screen(pixels_of(image), f"Chat with {friend} in {look.mode} mode, {len(lines)} messages. {said}.",
        f"与{friend}的聊天界面，{look.mode_zh}主题，共{len(lines)}条消息，其中{sum(mine)}条是自己发的，"
        f"最后一条是“{lines[-1]}”。", "chat")  # fmt: skip


def _dashboard(rng: random.Random, look: _Look) -> Screen:
    metrics = [
        (m, rng.randint(12, 9800), rng.choice((-1, 1)) * rng.randint(1, 48)) for m in rng.sample(_METRICS, 3)
    ]
    image, pen = canvas(480, 320, look.ground)
    pen.rectangle((0, 0, 64, 320), fill=look.accent)
    for i in range(5):
        pen.rounded_rectangle((22, 28 + 52 * i, 42, 48 + 52 * i), 5, fill=(255, 255, 255))
    pen.text((84, 18), f"{look.app} overview", fill=look.ink, font=font(20))
    for i, (name, value, change) in enumerate(metrics):
        x = 84 + 130 * i
        pen.rounded_rectangle((x, 56, x + 120, 136), 10, fill=look.card, outline=look.line)
        pen.text((x + 12, 66), name, fill=look.faint, font=font(13))
        pen.text((x + 12, 86), f"{value:,}", fill=look.ink, font=font(22))
        pen.text(
            (x + 12, 114), f"{change:+d}%", fill=(32, 152, 92) if change > 0 else (214, 64, 70), font=font(13)
        )
    pen.rounded_rectangle((84, 150, 464, 304), 10, fill=look.card, outline=look.line)
    heights = [rng.randint(16, 110) for _ in range(12)]
    for i, high in enumerate(heights):
        pen.rounded_rectangle((104 + 30 * i, 292 - high, 120 + 30 * i, 292), 3, fill=look.accent)
    told = join_words([f"{n} {v:,} ({c:+d}%)" for n, v, c in metrics])
    return Screen(pixels_of(image), f"Dashboard of {look.app} in {look.mode} mode with three cards, "
                                    f"{told}, above a bar chart in {look.accent_name} of twelve bars.",
        f"{look.app}的{look.mode_zh}数据面板，"
        f"三张卡片分别为{'、'.join(f'{n} {v:,}' for n, v, _ in metrics)}，"
        f"下方是{look.accent_zh}柱状图。", "dashboard")  # fmt: skip


def _shop(rng: random.Random, look: _Look) -> Screen:
    wares = [(w, rng.randint(4, 180)) for w in rng.sample(_WARES, 4)]
    basket = rng.randint(0, 9)
    image, pen = canvas(360, 430, look.ground)
    _bar(pen, look, 360, f"{look.app} shop")
    pen.ellipse((318, 12, 342, 36), fill=(255, 255, 255))
    pen.text((330, 24), str(basket), fill=look.accent, font=font(14), anchor="mm")
    for i, (name, price) in enumerate(wares):
        x, y = 14 + 170 * (i % 2), 62 + 184 * (i // 2)
        pen.rounded_rectangle((x, y, x + 162, y + 172), 10, fill=look.card, outline=look.line)
        tone = (rng.randint(130, 230), rng.randint(130, 230), rng.randint(130, 230))
        pen.rounded_rectangle((x + 10, y + 10, x + 152, y + 108), 8, fill=tone)
        pen.ellipse((x + 56, y + 34, x + 106, y + 84), fill=(255, 255, 255))
        pen.text((x + 12, y + 118), name, fill=look.ink, font=font(15))
        pen.text((x + 12, y + 142), f"{price}.00", fill=look.accent, font=font(16))
    told = join_words([f"{n} ({p}.00)" for n, p in wares])
    return Screen(pixels_of(image), f"Shop page of {look.app} in {look.mode} mode listing {told}; {basket} "
                                    f"items in the basket.",
        f"{look.app}商店页面，{look.mode_zh}主题，共展示四件商品："
        f"{'、'.join(f'{n}（{p}元）' for n, p in wares)}，购物车中有{basket}件。",
            "shop")  # fmt: skip


_KINDS: tuple[Callable[[random.Random, _Look], Screen], ...] = (
    _sign_in,
    _settings,
    _player,
    _chat,
    _dashboard,
    _shop,
)
