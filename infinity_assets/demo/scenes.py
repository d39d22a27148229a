"""Photo-like scenes: a setting, shaded objects with shadows, grain; and the boxes of what was put there."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from infinity_assets.demo.parts import Pixels, Rgb, words
from infinity_assets.demo.sprites import SIDE, THINGS, sprite

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a scene takes place. ``sky`` and ``ground`` run from top to bottom."""

    name: str
    phrase: str  #: completes "The picture was taken ..."
    zh: str
    sky: tuple[Rgb, Rgb]
    ground: tuple[Rgb, Rgb]
    horizon: float  #: share of the height
    extra: str  #: sun, hills, planks, window, skyline, none
    things: tuple[str, ...]


_OUTDOORS = words("ball, house, tree, balloon, kite, umbrella, flower, mushroom, car, bus, chair, book")
_INDOORS = words("ball, apple, cup, book, balloon, flower, lamp, clock, bottle, chair, umbrella")

SETTINGS: Mapping[str, Setting] = {
    s.name: s
    for s in (
        Setting("meadow", "on a meadow", "草地上", ((108, 168, 226), (206, 228, 240)),
            ((128, 176, 92), (70, 128, 56)), 0.46, "hills", _OUTDOORS),
        Setting("beach", "on a beach", "海滩上", ((120, 186, 232), (222, 236, 240)),
        ((232, 214, 170), (206, 178, 126)), 0.5, "sea",
        ("ball", "boat", "balloon", "kite", "umbrella", "fish", "bottle", "chair", "book", "apple")),
        Setting("snow field", "in a snow field", "雪地里", ((150, 172, 204), (226, 232, 240)),
        ((236, 240, 246), (206, 216, 230)), 0.45, "hills", _OUTDOORS),
        Setting("desert", "in a desert", "沙漠里", ((238, 176, 112), (250, 226, 184)),
        ((222, 176, 112), (182, 128, 74)), 0.5, "sun",
        ("ball", "car", "bus", "balloon", "kite", "bottle", "umbrella", "chair", "house", "book")),
        Setting("city street", "on a city street", "城市街道上", ((164, 184, 206), (224, 228, 230)),
        ((120, 122, 126), (86, 88, 94)), 0.5, "skyline",
        ("car", "bus", "tree", "balloon", "umbrella", "chair", "ball", "clock", "book")),
        Setting("night street", "on a street at night", "夜晚的街道上", ((22, 26, 58), (66, 60, 98)),
        ((66, 64, 80), (40, 40, 54)), 0.5, "skyline",
        ("car", "bus", "tree", "balloon", "umbrella", "chair", "lamp", "ball")),
        Setting("wooden table", "on a wooden table", "木桌上", ((196, 188, 176), (222, 214, 202)),
        ((172, 122, 76), (130, 86, 50)), 0.36, "planks",
        ("apple", "cup", "book", "lamp", "clock", "bottle", "flower", "mushroom", "ball", "fish")),
        Setting("living room", "in a living room", "客厅里", ((214, 204, 186), (228, 220, 206)),
        ((150, 112, 82), (118, 84, 58)), 0.58, "window", _INDOORS),
        Setting("blue room", "in a room with blue walls", "蓝色墙壁的房间里",
        ((136, 166, 190), (166, 190, 208)),
        ((176, 160, 140), (138, 122, 104)), 0.6, "window", _INDOORS),
        Setting("lake", "beside a lake", "湖边", ((130, 178, 216), (230, 226, 216)),
        ((96, 142, 166), (54, 100, 130)), 0.44, "hills", ("boat", "fish", "balloon", "kite")),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One object as drawn; the box is x0, y0, x1, y1 in pixels."""

    thing: str
    colour: str
    box: tuple[int, int, int, int]
    flipped: bool = False

    @property
    def centre(self) -> float:
        """The box's middle, from the left edge in pixels."""
        return (self.box[0] + self.box[2]) / 2

    @property
    def area(self) -> int:
        """Pixels of the box."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture shows, before and after drawing alike: ``pixels_of_scene`` depends on nothing else."""

    setting: str
    width: int
    height: int
    objects: tuple[SceneObject, ...]  #: far to near, as drawn
    look: int  #: seeds grain, hills and light


def plan_scene(rng: random.Random, width: int, height: int, least: int = 2, most: int = 7) -> Scene:
    """A setting with objects that hide no more than a tenth of each other, so that counts are true."""
    setting = rng.choice(list(SETTINGS.values()))
    kinds = rng.sample(setting.things, min(len(setting.things), rng.randint(2, 4)))
    placed: list[SceneObject] = []
    wanted = rng.randint(least, most)
    for _ in range(wanted * 6):
        if len(placed) == wanted:
            break
        made = _place(rng, setting, rng.choice(kinds), width, height)
        if made is not None and all(_overlap(made, other) < 0.1 for other in placed):
            placed.append(made)
    return Scene(setting.name, width, height, _ordered(placed), rng.getrandbits(30))


def recoloured(scene: Scene, index: int, colour: str) -> Scene:
    """The same scene with one object in another colour."""
    objects = list(scene.objects)
    objects[index] = replace(objects[index], colour=colour)
    return replace(scene, objects=tuple(objects))


def removed(scene: Scene, index: int) -> Scene:
    """The same scene without one object."""
    return replace(scene, objects=scene.objects[:index] + scene.objects[index + 1 :])


def added(rng: random.Random, scene: Scene) -> tuple[Scene, SceneObject] | None:
    """The same scene with one object more, of a class it does not have yet; None if no place was found."""
    setting = SETTINGS[scene.setting]
    absent = [t for t in setting.things if all(o.thing != t for o in scene.objects)]
    for _ in range(20 if absent else 0):
        made = _place(rng, setting, rng.choice(absent), scene.width, scene.height)
        if made is not None and all(_overlap(made, other) < 0.1 for other in scene.objects):
            return replace(scene, objects=_ordered([*scene.objects, made])), made
    return None


def _ordered(objects: list[SceneObject]) -> tuple[SceneObject, ...]:
    return tuple(sorted(objects, key=lambda o: (o.box[3], o.box[0])))


def _place(rng: random.Random, setting: Setting, name: str, width: int, height: int) -> SceneObject | None:
    thing = THINGS[name]
    flying = thing.flies and setting.extra not in {"planks", "window"}
    depth = rng.random()
    big = 1.35 if name in {"house", "tree", "bus", "car", "boat"} else 1.0
    side = int(height * (0.2 + 0.2 * depth) * big)
    if flying:
        top = rng.randint(2, max(3, int(height * setting.horizon) - side // 3))
    else:
        floor = height * (setting.horizon + 0.06 + (0.92 - setting.horizon) * depth)
        top = int(floor - side * thing.bottom)
    left = rng.randint(2, max(3, width - side - 2))
    if top < 2 or top + side > height - 1 or left + side > width - 1:
        return None
    colour = rng.choice(thing.colours)
    flipped = rng.random() < 0.5
    x0, y0, x1, y1 = _extent(name, colour, flipped)
    scale = side / SIDE
    box = (
        left + round(x0 * scale),
        top + round(y0 * scale),
        left + round(x1 * scale),
        top + round(y1 * scale),
    )
    return SceneObject(name, colour, box, flipped)


@lru_cache(maxsize=1024)
def _extent(thing: str, colour: str, flipped: bool) -> tuple[int, int, int, int]:
    """The opaque part of a sprite: x0, y0, x1, y1."""
    opaque = sprite(thing, colour)[..., 3] > 40
    if flipped:
        opaque = opaque[:, ::-1]
    xs, ys = np.flatnonzero(opaque.any(axis=0)), np.flatnonzero(opaque.any(axis=1))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def _overlap(a: SceneObject, b: SceneObject) -> float:
    wide = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    high = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    return 0.0 if wide <= 0 or high <= 0 else wide * high / min(a.area, b.area)


def pixels_of_scene(scene: Scene) -> Pixels:
    """Height x width x 3, RGB, uint8. Bytes throughout, because floats cost four times as much here."""
    rng = random.Random(scene.look)
    setting = SETTINGS[scene.setting]
    picture = cv2.convertScaleAbs(
        _backdrop(setting.name, scene.width, scene.height), alpha=rng.uniform(0.9, 1.06)
    )
    _extras(rng, setting, picture, round(scene.height * setting.horizon))
    _shade(picture, scene)
    for item in scene.objects:
        _paste(picture, item)
    top, left = rng.randrange(64), rng.randrange(64)
    cv2.add(picture, _window(_grain(1), top, left, scene.height, scene.width), dst=picture)
    cv2.subtract(picture, _window(_grain(-1), top, left, scene.height, scene.width), dst=picture)
    return np.asarray(picture, np.uint8)


@lru_cache(maxsize=128)
def _backdrop(name: str, width: int, height: int) -> Pixels:
    """Sky and ground with texture, before anything stands there; a large one is a small one enlarged."""
    if width > _FIELD or height > _FIELD:
        small = _backdrop(name, width // 4, height // 4)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    setting = SETTINGS[name]
    line = round(height * setting.horizon)
    sky, floor = _gradient(setting.sky, line, width), _gradient(setting.ground, height - line, width)
    texture = _noise(9)[:height, :width]
    rough = 4 if setting.extra in {"window", "planks"} else 9
    picture = np.concatenate([sky + 1.5 * texture[:line], floor + rough * texture[line:]])
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def _extras(rng: random.Random, setting: Setting, picture: Pixels, line: int) -> None:
    height, width = picture.shape[:2]
    if setting.extra in {"sun", "sea"}:
        x, y, r = rng.randint(width // 8, width * 7 // 8), rng.randint(line // 5, line // 2), height // 14
        cv2.circle(picture, (x, y), r, (255, 244, 206), -1, cv2.LINE_AA)
    if setting.extra == "sea":
        far = line - height // 9
        picture[far:line] = _gradient(((70, 136, 178), (128, 190, 206)), line - far, width).astype(np.uint8)
    elif setting.extra in {"hills", "sun"}:
        for shade in (0.82, 0.68):
            xs = np.linspace(0, width, 12)
            rise = height * 0.16 * (shade if setting.extra == "hills" else 0.4)
            ys = [line - rise * rng.uniform(0.15, 1) for _ in xs]
            points = np.array([[0, line], *zip(xs, ys, strict=True), [width, line]], np.int32)
            tone = tuple(
                (0.5 * a + 0.5 * b) * shade + 20
                for a, b in zip(setting.sky[1], setting.ground[0], strict=True)
            )
            cv2.fillPoly(picture, [points], tone, cv2.LINE_AA)
    elif setting.extra == "skyline":
        dark, x = setting.name == "night street", -rng.randrange(20)
        while x < width:
            wide, high = rng.randint(width // 14, width // 7), rng.randint(line // 4, line * 4 // 5)
            grey = rng.randint(32, 54) if dark else rng.randint(120, 172)
            cv2.rectangle(picture, (x, line - high), (x + wide, line), (grey, grey, grey + 14), -1)
            lit = (236, 206, 120) if dark else (206, 216, 226)
            k = max(1, round(height / 300))
            for wy in range(line - high + 6 * k, line - 8 * k, 12 * k):
                for wx in range(x + 5 * k, x + wide - 7 * k, 11 * k):
                    if rng.random() < (0.35 if dark else 0.75):
                        cv2.rectangle(picture, (wx, wy), (wx + 4 * k, wy + 6 * k), lit, -1)
            x += wide + rng.randint(0, 6)
    elif setting.extra == "planks":
        for k in range(1, 6):
            y = line + (height - line) * k * k // 36
            cv2.line(picture, (0, y), (width, y), (104, 68, 40), 1 + k // 3, cv2.LINE_AA)
    elif setting.extra == "window":
        x, y, w, h = rng.randint(0, width * 2 // 3), line // 6, width // 4, line // 2
        cv2.rectangle(picture, (x - 4, y - 4), (x + w + 4, y + h + 4), (244, 240, 232), -1)
        cv2.rectangle(picture, (x, y), (x + w, y + h), (168, 206, 232), -1)
        cv2.line(picture, (x + w // 2, y), (x + w // 2, y + h), (244, 240, 232), 3)
        cv2.rectangle(picture, (0, line - 5), (width, line), (240, 234, 224), -1)


def _shade(picture: Pixels, scene: Scene) -> None:
    """Darkens the corners and the ground under objects; computed at a quarter of the size."""
    small = np.zeros((scene.height // 4, scene.width // 4), np.float32)
    for item in scene.objects:
        x0, _, x1, y1 = item.box
        if not THINGS[item.thing].flies:
            wide = (x1 - x0) / 8
            centre = (round(item.centre / 4 + wide * 0.3), round(y1 / 4))
            cv2.ellipse(small, centre, (round(wide * 1.15), max(1, round(wide * 0.28))), 0, 0, 360, 0.5, -1)
    small = (1 - cv2.GaussianBlur(small, (0, 0), scene.height / 180)) * _vignette(
        scene.width // 4, scene.height // 4
    )
    light = cv2.resize((small * 255).astype(np.uint8), (scene.width, scene.height))
    cv2.multiply(picture, cv2.merge([light, light, light]), dst=picture, scale=1 / 255)


def _paste(picture: Pixels, item: SceneObject) -> None:
    x0, y0, x1, y1 = item.box
    sx0, sy0, sx1, sy1 = _extent(item.thing, item.colour, item.flipped)
    patch = sprite(item.thing, item.colour)
    if item.flipped:
        patch = patch[:, ::-1]
    patch = cv2.resize(patch[sy0:sy1, sx0:sx1], (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    cover = cv2.cvtColor(patch[..., 3], cv2.COLOR_GRAY2RGB)
    above = cv2.multiply(cv2.cvtColor(patch, cv2.COLOR_RGBA2RGB), cover, scale=1 / 255)
    below = cv2.multiply(np.ascontiguousarray(picture[y0:y1, x0:x1]), 255 - cover, scale=1 / 255)
    picture[y0:y1, x0:x1] = cv2.add(above, below)


def _gradient(ends: tuple[Rgb, Rgb], height: int, width: int) -> Floats:
    """Height x width x 3, from the first colour at the top to the second."""
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    a, b = (np.array(e, np.float32) for e in ends)
    return np.repeat(np.asarray(a + (b - a) * share, np.float32), width, axis=1)


_FIELD = 768


@lru_cache(maxsize=4)
def _noise(scale: int) -> Floats:
    """A fixed field of smooth noise, about -1 to 1; ``scale`` is the grain's size in pixels."""
    side = _FIELD // scale
    rough = np.random.RandomState(scale).standard_normal((side, side)).astype(np.float32)
    smooth = cv2.resize(rough, (_FIELD, _FIELD), interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth, np.float32)[..., None].repeat(3, axis=2)


@lru_cache(maxsize=2)
def _grain(sign: int) -> Pixels:
    """The film grain's lighter (1) or darker (-1) half."""
    return np.asarray(np.clip(sign * _noise(2) * 3.5, 0, 255).round(), np.uint8)


def _window(field: Pixels, top: int, left: int, height: int, width: int) -> Pixels:
    """A cut of the field, stretched where the picture is larger than the field."""
    if height + top > _FIELD or width + left > _FIELD:
        return np.asarray(cv2.resize(field, (width, height)), np.uint8)
    return np.ascontiguousarray(field[top : top + height, left : left + width])


@lru_cache(maxsize=16)
def _vignette(width: int, height: int) -> Floats:
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    return np.asarray(np.minimum(1, 1.03 - 0.11 * (x[None, :] ** 2 + y[:, None] ** 2)), np.float32)
