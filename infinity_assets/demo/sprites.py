"""Shaded objects on transparent ground, drawn once per class and colour and pasted into scenes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from infinity_assets.demo.parts import Rgb

Sprite = npt.NDArray[np.uint8]  #: side x side x 4, RGBA

SIDE = 160
_DRAWN = 2 * SIDE

COLOURS: Mapping[str, tuple[str, Rgb]] = {
    "red": ("红色", (204, 46, 44)),
    "orange": ("橙色", (238, 132, 38)),
    "yellow": ("黄色", (243, 204, 52)),
    "green": ("绿色", (66, 150, 74)),
    "blue": ("蓝色", (52, 106, 196)),
    "purple": ("紫色", (128, 74, 168)),
    "pink": ("粉色", (240, 136, 172)),
    "brown": ("棕色", (132, 86, 52)),
    "white": ("白色", (240, 238, 232)),
    "black": ("黑色", (46, 46, 52)),
}


@dataclass(frozen=True, slots=True)
class Thing:
    """A class of objects: names, counters, what it is for, which colours look natural, whether it may fly."""

    name: str
    plural: str
    zh: str
    unit: str  #: the Chinese measure word
    use: str  #: completes "Which object ..."
    use_zh: str
    colours: tuple[str, ...]
    draw: Callable[[Pen, Rgb], None]
    flies: bool = False
    bottom: float = 0.96  #: where the sprite stands, as a share of its height


class Pen:
    """Draws shapes in unit coordinates (0 to 1, y down) on an RGBA square."""

    def __init__(self) -> None:
        self.image: Sprite = np.zeros((_DRAWN, _DRAWN, 4), np.uint8)

    def poly(self, points: Sequence[tuple[float, float]], colour: Rgb) -> None:
        """A filled polygon."""
        corners = np.array([[round(x * _DRAWN), round(y * _DRAWN)] for x, y in points], np.int32)
        cv2.fillPoly(self.image, [corners], (*colour, 255))

    def oval(
        self, x: float, y: float, rx: float, ry: float, colour: Rgb, start: int = 0, end: int = 360
    ) -> None:
        """A filled ellipse, or the sector from ``start`` to ``end`` degrees."""
        centre, axes = (round(x * _DRAWN), round(y * _DRAWN)), (round(rx * _DRAWN), round(ry * _DRAWN))
        cv2.ellipse(self.image, centre, axes, 0, start, end, (*colour, 255), -1)

    def ring(self, x: float, y: float, rx: float, ry: float, colour: Rgb, width: float) -> None:
        """An ellipse's outline."""
        centre, axes = (round(x * _DRAWN), round(y * _DRAWN)), (round(rx * _DRAWN), round(ry * _DRAWN))
        cv2.ellipse(self.image, centre, axes, 0, 0, 360, (*colour, 255), round(width * _DRAWN))

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Rgb) -> None:
        """A filled rectangle."""
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)

    def line(self, x0: float, y0: float, x1: float, y1: float, colour: Rgb, width: float) -> None:
        """A thick line."""
        a, b = (round(x0 * _DRAWN), round(y0 * _DRAWN)), (round(x1 * _DRAWN), round(y1 * _DRAWN))
        cv2.line(self.image, a, b, (*colour, 255), round(width * _DRAWN))


def tint(colour: Rgb, factor: float) -> Rgb:
    """Darker below 1, lighter (towards white) above 1."""
    if factor <= 1:
        r, g, b = (round(c * factor) for c in colour)
    else:
        r, g, b = (round(c + (255 - c) * (factor - 1)) for c in colour)
    return r, g, b


_WOOD: Rgb = (120, 82, 52)
_STEEL: Rgb = (96, 100, 110)
_GLASS: Rgb = (196, 222, 236)
_TYRE: Rgb = (38, 38, 42)
_PAPER: Rgb = (246, 242, 228)


def _ball(p: Pen, c: Rgb) -> None:
    p.oval(0.5, 0.54, 0.42, 0.42, c)
    p.oval(0.5, 0.54, 0.42, 0.12, tint(c, 1.6))
    p.oval(0.5, 0.54, 0.42, 0.06, c)


def _apple(p: Pen, c: Rgb) -> None:
    p.oval(0.36, 0.6, 0.26, 0.34, c)
    p.oval(0.64, 0.6, 0.26, 0.34, c)
    p.line(0.5, 0.32, 0.56, 0.12, _WOOD, 0.04)
    p.poly([(0.56, 0.22), (0.68, 0.08), (0.84, 0.1), (0.74, 0.22)], (84, 146, 62))


def _cup(p: Pen, c: Rgb) -> None:
    p.ring(0.76, 0.54, 0.15, 0.17, c, 0.07)
    p.poly([(0.16, 0.24), (0.74, 0.24), (0.68, 0.92), (0.22, 0.92)], c)
    p.oval(0.45, 0.92, 0.23, 0.04, c)
    p.oval(0.45, 0.24, 0.29, 0.07, tint(c, 1.5))
    p.oval(0.45, 0.25, 0.24, 0.05, (72, 44, 30))


def _book(p: Pen, c: Rgb) -> None:
    p.poly([(0.12, 0.4), (0.66, 0.26), (0.94, 0.56), (0.4, 0.74)], c)
    p.poly([(0.12, 0.4), (0.4, 0.74), (0.4, 0.92), (0.12, 0.56)], tint(c, 0.7))
    p.poly([(0.4, 0.75), (0.93, 0.57), (0.93, 0.72), (0.4, 0.91)], _PAPER)
    p.poly([(0.36, 0.44), (0.6, 0.38), (0.68, 0.46), (0.43, 0.53)], tint(c, 1.6))


def _house(p: Pen, c: Rgb) -> None:
    p.box(0.16, 0.44, 0.84, 0.96, (228, 214, 190))
    p.box(0.66, 0.14, 0.76, 0.4, (140, 84, 70))
    p.poly([(0.06, 0.47), (0.5, 0.08), (0.94, 0.47)], c)
    p.box(0.42, 0.64, 0.6, 0.96, _WOOD)
    for x in (0.22, 0.66):
        p.box(x, 0.56, x + 0.13, 0.72, _GLASS)


def _tree(p: Pen, c: Rgb) -> None:
    p.poly([(0.44, 0.96), (0.47, 0.5), (0.53, 0.5), (0.57, 0.96)], _WOOD)
    for x, y, r in ((0.5, 0.26, 0.23), (0.3, 0.42, 0.21), (0.7, 0.42, 0.21), (0.5, 0.48, 0.24)):
        p.oval(x, y, r, r, c)
    for x, y in ((0.38, 0.3), (0.6, 0.36), (0.3, 0.46), (0.66, 0.5)):
        p.oval(x, y, 0.07, 0.06, tint(c, 1.2))


def _boat(p: Pen, c: Rgb) -> None:
    p.line(0.5, 0.08, 0.5, 0.7, _WOOD, 0.03)
    p.poly([(0.53, 0.1), (0.53, 0.62), (0.9, 0.62)], _PAPER)
    p.poly([(0.47, 0.18), (0.47, 0.62), (0.18, 0.62)], (226, 220, 206))
    p.poly([(0.06, 0.68), (0.94, 0.68), (0.8, 0.94), (0.2, 0.94)], c)
    p.poly([(0.06, 0.68), (0.94, 0.68), (0.91, 0.74), (0.09, 0.74)], tint(c, 1.5))


def _balloon(p: Pen, c: Rgb) -> None:
    p.line(0.5, 0.7, 0.47, 0.97, (110, 110, 110), 0.015)
    p.oval(0.5, 0.37, 0.28, 0.34, c)
    p.poly([(0.45, 0.75), (0.5, 0.68), (0.55, 0.75)], tint(c, 0.8))
    p.oval(0.39, 0.24, 0.05, 0.08, tint(c, 1.7))


def _kite(p: Pen, c: Rgb) -> None:
    p.line(0.5, 0.7, 0.7, 0.97, (110, 110, 110), 0.015)
    p.poly([(0.5, 0.04), (0.82, 0.34), (0.5, 0.74), (0.18, 0.34)], c)
    p.poly([(0.5, 0.04), (0.82, 0.34), (0.5, 0.34)], tint(c, 1.5))
    p.poly([(0.18, 0.34), (0.5, 0.34), (0.5, 0.74)], tint(c, 0.75))


def _umbrella(p: Pen, c: Rgb) -> None:
    p.line(0.5, 0.2, 0.5, 0.92, _STEEL, 0.035)
    p.line(0.5, 0.92, 0.6, 0.92, _STEEL, 0.035)
    p.oval(0.5, 0.52, 0.45, 0.42, c, 180, 360)
    p.oval(0.5, 0.52, 0.16, 0.42, tint(c, 1.4), 180, 360)
    for x in (0.2, 0.5, 0.8):
        p.oval(x, 0.53, 0.13, 0.05, tint(c, 0.7))


def _flower(p: Pen, c: Rgb) -> None:
    p.line(0.5, 0.45, 0.5, 0.96, (74, 132, 62), 0.04)
    p.oval(0.62, 0.78, 0.13, 0.05, (74, 132, 62))
    for k in range(6):
        a = k * math.pi / 3
        p.oval(0.5 + 0.2 * math.cos(a), 0.34 + 0.2 * math.sin(a), 0.14, 0.14, c)
    p.oval(0.5, 0.34, 0.12, 0.12, (112, 74, 36) if c == COLOURS["yellow"][1] else (245, 208, 66))


def _mushroom(p: Pen, c: Rgb) -> None:
    p.poly([(0.4, 0.46), (0.6, 0.46), (0.66, 0.95), (0.34, 0.95)], (236, 226, 206))
    p.oval(0.5, 0.5, 0.42, 0.4, c, 180, 360)
    for x, y, r in ((0.34, 0.36, 0.06), (0.54, 0.24, 0.07), (0.7, 0.4, 0.05)):
        p.oval(x, y, r, r, tint(c, 1.75))


def _car(p: Pen, c: Rgb) -> None:
    p.poly([(0.2, 0.56), (0.33, 0.3), (0.68, 0.3), (0.82, 0.56)], tint(c, 0.9))
    p.poly([(0.28, 0.54), (0.37, 0.35), (0.49, 0.35), (0.49, 0.54)], _GLASS)
    p.poly([(0.53, 0.54), (0.53, 0.35), (0.65, 0.35), (0.74, 0.54)], _GLASS)
    p.poly([(0.05, 0.6), (0.12, 0.54), (0.88, 0.54), (0.96, 0.62), (0.96, 0.8), (0.05, 0.8)], c)
    p.oval(0.92, 0.64, 0.035, 0.035, (250, 240, 190))
    for x in (0.27, 0.75):
        p.oval(x, 0.81, 0.115, 0.115, _TYRE)
        p.oval(x, 0.81, 0.055, 0.055, (176, 180, 186))


def _fish(p: Pen, c: Rgb) -> None:
    p.poly([(0.7, 0.6), (0.96, 0.38), (0.96, 0.84)], tint(c, 0.75))
    p.poly([(0.4, 0.4), (0.56, 0.22), (0.62, 0.46)], tint(c, 0.75))
    p.oval(0.42, 0.61, 0.36, 0.24, c)
    p.oval(0.42, 0.68, 0.28, 0.12, tint(c, 1.5))
    p.oval(0.22, 0.55, 0.05, 0.05, (250, 250, 250))
    p.oval(0.21, 0.55, 0.024, 0.024, (20, 20, 20))


def _lamp(p: Pen, c: Rgb) -> None:
    p.line(0.5, 0.46, 0.5, 0.92, _STEEL, 0.05)
    p.oval(0.5, 0.93, 0.22, 0.045, _STEEL)
    p.poly([(0.34, 0.08), (0.66, 0.08), (0.84, 0.5), (0.16, 0.5)], c)
    p.oval(0.5, 0.5, 0.34, 0.05, (252, 240, 190))


def _bus(p: Pen, c: Rgb) -> None:
    p.poly([(0.05, 0.22), (0.92, 0.22), (0.96, 0.5), (0.96, 0.82), (0.05, 0.82)], c)
    p.box(0.05, 0.58, 0.96, 0.63, tint(c, 1.6))
    for x in (0.1, 0.28, 0.46, 0.64):
        p.box(x, 0.3, x + 0.14, 0.52, _GLASS)
    p.poly([(0.82, 0.3), (0.9, 0.3), (0.94, 0.52), (0.82, 0.52)], _GLASS)
    for x in (0.25, 0.74):
        p.oval(x, 0.83, 0.1, 0.1, _TYRE)
        p.oval(x, 0.83, 0.045, 0.045, (176, 180, 186))


def _clock(p: Pen, c: Rgb) -> None:
    p.poly([(0.26, 0.96), (0.34, 0.8), (0.66, 0.8), (0.74, 0.96)], tint(c, 0.7))
    p.oval(0.5, 0.48, 0.42, 0.42, c)
    p.oval(0.5, 0.48, 0.33, 0.33, (250, 248, 240))
    p.line(0.5, 0.48, 0.5, 0.24, (30, 30, 30), 0.025)
    p.line(0.5, 0.48, 0.66, 0.58, (30, 30, 30), 0.035)


def _bottle(p: Pen, c: Rgb) -> None:
    p.box(0.42, 0.06, 0.58, 0.3, c)
    p.box(0.4, 0.04, 0.6, 0.11, (196, 170, 130))
    p.poly([(0.42, 0.28), (0.58, 0.28), (0.7, 0.44), (0.7, 0.95), (0.3, 0.95), (0.3, 0.44)], c)
    p.box(0.3, 0.56, 0.7, 0.8, _PAPER)


def _chair(p: Pen, c: Rgb) -> None:
    for x in (0.22, 0.36, 0.68, 0.8):
        p.line(x, 0.62, x, 0.94, _WOOD, 0.045)
    p.poly([(0.18, 0.08), (0.3, 0.05), (0.32, 0.58), (0.2, 0.6)], tint(c, 0.8))
    p.poly([(0.18, 0.58), (0.72, 0.54), (0.86, 0.66), (0.24, 0.7)], c)


_ANY = tuple(COLOURS)
_BRIGHT = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
_PAINTED = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")

THINGS: Mapping[str, Thing] = {
    t.name: t
    for t in (
        Thing("ball", "balls", "球", "个", "would you kick in a game", "可以用来踢着玩", _ANY, _ball),
        Thing("apple", "apples", "苹果", "个", "could you eat as a snack", "可以当水果吃",
        ("red", "green", "yellow"), _apple),
        Thing("cup", "cups", "杯子", "个", "would you drink coffee from", "可以用来喝咖啡", _ANY, _cup),
        Thing("book", "books", "书", "本", "could you read", "可以用来阅读", _BRIGHT + ("brown", "black"),
        _book),
        Thing("house", "houses", "房子", "座", "could a family live in", "可以住人",
        ("red", "blue", "brown", "purple", "green"), _house),
        Thing("tree", "trees", "树", "棵", "grows leaves", "会长叶子", ("green", "orange", "yellow", "red"),
        _tree),
        Thing("boat", "boats", "船", "艘", "is made to sail on water", "可以在水上航行", _PAINTED, _boat),
        Thing("balloon", "balloons", "气球", "只", "would burst if you pricked it", "一扎就会破", _BRIGHT,
        _balloon,
        True),
        Thing("kite", "kites", "风筝", "只", "needs wind and a string to fly", "需要风和线才能飞", _BRIGHT,
        _kite, True),
        Thing("umbrella", "umbrellas", "雨伞", "把", "would keep you dry in the rain", "下雨时可以挡雨", _ANY,
        _umbrella),
        Thing("flower", "flowers", "花", "朵", "would attract bees", "会吸引蜜蜂",
        ("red", "yellow", "purple", "pink", "white", "orange"), _flower),
        Thing("mushroom", "mushrooms", "蘑菇", "个", "is a fungus", "属于真菌",
        ("red", "brown", "orange", "purple"), _mushroom),
        Thing("car", "cars", "汽车", "辆", "could you drive to work in", "可以开着去上班", _PAINTED, _car,
        False, 0.93),
        Thing("fish", "fish", "鱼", "条", "has fins and a tail", "有鳍和尾巴",
        ("red", "orange", "yellow", "blue", "purple", "pink"), _fish, False, 0.86),
        Thing("lamp", "lamps", "台灯", "盏", "would you switch on to light a room", "可以打开来照明",
        _BRIGHT + ("white",), _lamp),
        Thing("bus", "buses", "公交车", "辆", "carries the most passengers", "载客最多",
        _BRIGHT + ("white",), _bus,
        False, 0.93),
        Thing("clock", "clocks", "时钟", "个", "tells the time", "可以用来看时间", _ANY, _clock),
        Thing("bottle", "bottles", "瓶子", "个", "could hold a litre of juice", "可以装一升果汁",
        ("green", "blue", "brown", "purple", "red", "black"), _bottle),
        Thing("chair", "chairs", "椅子", "把", "is made to sit on", "是用来坐的", _ANY, _chair),
    )
}  # fmt: skip


@lru_cache(maxsize=512)
def sprite(thing: str, colour: str) -> Sprite:
    """The object, lit from the upper left, with a darker rim; side x side x 4, RGBA."""
    pen = Pen()
    THINGS[thing].draw(pen, COLOURS[colour][1])
    image = cv2.resize(pen.image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    alpha = image[..., 3:] / 255
    ramp = np.linspace(0, 1, SIDE, dtype=np.float32)
    light = 1.14 - 0.34 * (0.45 * ramp[None, :] + 0.55 * ramp[:, None])
    soft = cv2.GaussianBlur(alpha, (0, 0), 5)
    rim = 0.68 + 0.32 * np.clip((soft - 0.4) / 0.5, 0, 1)
    # Resizing mixed the edge with transparent black, so divide by alpha to have the object's own colour back.
    colours = image[..., :3] / np.maximum(alpha, 1 / 255) * light[..., None] * rim[..., None]
    return np.concatenate([np.clip(colours, 0, 255), image[..., 3:]], axis=2).astype(np.uint8)
