"""Labelled pairs of pictures: real ones looked at by eye, and ones made here from real and drawn pictures.

- *same*: resized, encoded again, brighter or darker, lightly watermarked, cropped by up to a tenth, and such;
- *different*: flipped, recoloured, changed text or data, an object more or less, another picture;
- *variant*: one content in another theme.

Everything follows from fixed seeds. A picture and all that is made of it falls into one half of the set:
``tune``, by which defaults are chosen, or ``held_out``, on which figures are published.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageOps

from benchmarks._pair_bases import Base, Pair, bases, drawers, drawn, encode, flat
from benchmarks._same_pictures import same_pairs
from infinity_assets.demo import charts, scenes

LABELS = Path(__file__).with_name("duplicate_pictures.csv")


def _with_text_changed(room: str, seed: int) -> Image.Image:
    """Drawn again with one digit or one word of one of its texts changed."""
    counted = 0
    r = random.Random(f"text/{room}/{seed}")
    original = ImageDraw.ImageDraw.text

    def count(pen: ImageDraw.ImageDraw, xy: Any, text: Any, *args: Any, **more: Any) -> None:
        nonlocal counted
        counted += any(c.isalnum() for c in str(text))
        original(pen, xy, text, *args, **more)

    def changed(pen: ImageDraw.ImageDraw, xy: Any, text: Any, *args: Any, **more: Any) -> None:
        nonlocal counted
        if any(c.isalnum() for c in str(text)):
            if counted == target:
                text = _changed(str(text), r)
            counted += 1
        original(pen, xy, text, *args, **more)

    try:
        ImageDraw.ImageDraw.text = count  # type: ignore[method-assign]
        drawn(room, seed)
        target, counted = r.randrange(max(counted, 1)), 0
        ImageDraw.ImageDraw.text = changed  # type: ignore[method-assign]
        return drawn(room, seed)
    finally:
        ImageDraw.ImageDraw.text = original  # type: ignore[method-assign]


WORDS = ("amber", "Kite", "north", "seven", "Oslo", "later", "blue", "Main", "total", "river")


def _changed(text: str, r: random.Random) -> str:
    digits = [i for i, c in enumerate(text) if c.isdigit()]
    if digits:
        at = r.choice(digits)
        return text[:at] + r.choice([d for d in "0123456789" if d != text[at]]) + text[at + 1 :]
    parts = text.split(" ")
    at = r.randrange(len(parts))
    parts[at] = r.choice([w for w in WORDS if w != parts[at]])
    return " ".join(parts)


def _words(page: Any) -> list[Any]:
    """Left, top, width and height of words and numbers of a scan."""
    ink = cv2.morphologyEx((page < 128).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 9), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink)
    height = page.shape[0]
    return [s for s in stats[1:] if height / 140 < s[3] < height / 30 and s[3] < s[2] < 8 * s[3]]


def _word_gone(image: Image.Image, r: random.Random) -> Image.Image | None:
    """A scan that lacks one word or number."""
    page = np.asarray(image.convert("L")).copy()
    words = _words(page)
    if not words:
        return None
    x, y, width, height = r.choice(words)[:4]
    page[y : y + height, x : x + width] = 255
    return Image.fromarray(page).convert(image.mode)


def _blob_moved(image: Image.Image, r: random.Random) -> Image.Image | None:
    """A scan in which one word or number is replaced by another word of the page."""
    page = np.asarray(image.convert("L"))
    words = _words(page)
    if len(words) < 12:
        return None
    page = page.copy()
    for _ in range(20):
        a, b = r.sample(words, 2)
        w, h = int(max(a[2], b[2])), int(max(a[3], b[3]))
        source = page[b[1] : b[1] + h, b[0] : b[0] + w]
        place = page[a[1] : a[1] + h, a[0] : a[0] + w]
        if source.shape == place.shape and np.mean(np.abs(source.astype(int) - place)) > 50:
            page[a[1] : a[1] + h, a[0] : a[0] + w] = source.copy()
            return Image.fromarray(page).convert(image.mode)
    return None


def _recoloured(image: Image.Image, r: random.Random, region: bool) -> Image.Image | None:
    """Hue turned by 60 to 180 degrees, of all or of a disc with colour in it."""
    hsv = cv2.cvtColor(np.asarray(flat(image)), cv2.COLOR_RGB2HSV)
    turned = hsv.copy()
    turned[:, :, 0] = (turned[:, :, 0].astype(int) + r.randint(30, 90)) % 180
    if region:
        h, w = hsv.shape[:2]
        mask = np.zeros((h, w), np.uint8)
        centre = int(w * r.uniform(0.25, 0.75)), int(h * r.uniform(0.25, 0.75))
        cv2.circle(mask, centre, int(min(h, w) * r.uniform(0.12, 0.25)), 1, -1)
        hsv[mask == 1] = np.where(True, turned, hsv)[mask == 1]
        coloured = hsv[mask == 1]
    else:
        coloured, hsv = turned.reshape(-1, 3), turned
    if np.mean((coloured[:, 1] > 70) & (coloured[:, 2] > 60)) < 0.3:
        return None  # nothing there has a colour that could be another
    return Image.fromarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def different_pairs(pictures: Sequence[Base]) -> Iterator[Pair]:
    """Pairs made different on purpose, half of them encoded again as well."""
    for base in pictures:
        r = random.Random(f"different/{base.name}")
        made: list[tuple[str, Image.Image | None]] = []
        made.append(("flip", ImageOps.mirror(base.image)))
        if base.group in ("photo", "chart", "screen"):
            made.append(("recolour", _recoloured(base.image, r, False)))
            made.append(("object recoloured", _recoloured(base.image, r, True)))
        if base.name.startswith("table_pages"):
            made += [("changed text", _blob_moved(base.image, r)) for _ in range(2)]
            made.append(("word gone", _word_gone(base.image, r)))
        for kind, image in made:
            if image is not None:
                yield Pair(encode(base.image), _stored(image, r), "different", kind, base.group, base.name)
    for room in ("charts", "tables", "documents", "screens", "formulas"):
        for seed in range(24, 64):
            r = random.Random(f"stored/{room}/{seed}")
            left, right = drawn(room, seed), _with_text_changed(room, seed)
            if np.array_equal(np.asarray(left), np.asarray(right)):
                continue
            group = drawers()[room][0]
            yield Pair(encode(left), _stored(right, r), "different", "changed text", group, f"{room}/{seed}")
    for seed in range(24, 64):
        yield from _scene_pairs(seed)
        yield from _data_pairs(seed)


def _stored(image: Image.Image, r: random.Random) -> bytes:
    return encode(image) if r.random() < 0.5 else encode(image, "JPEG", quality=r.randint(60, 92))


def _scene_pairs(seed: int) -> Iterator[Pair]:
    r = random.Random(f"scene/{seed}")
    scene = scenes.plan_scene(random.Random(f"pairs/scenes/{seed}"), 480, 360)
    if not scene.objects:
        return
    index = r.randrange(len(scene.objects))
    old = scene.objects[index].colour
    colours = sorted(
        {o.colour for s in range(40) for o in scenes.plan_scene(random.Random(s), 480, 360).objects}
    )
    others = {
        "object recoloured": scenes.recoloured(scene, index, r.choice([c for c in colours if c != old])),
        "object removed": scenes.removed(scene, index),
    }
    left = scenes.pixels_of_scene(scene)
    for kind, other in others.items():
        try:
            right = scenes.pixels_of_scene(other)
        except KeyError:
            continue  # not every thing comes in every colour
        if not np.array_equal(left, right):
            stored = _stored(Image.fromarray(right), r)
            yield Pair(encode(Image.fromarray(left)), stored, "different", kind, "drawing", f"scenes/{seed}")


def _data_pairs(seed: int) -> Iterator[Pair]:
    """A chart with one value changed, and a screen in the other theme."""
    r = random.Random(f"data/{seed}")
    chart = charts.plan_chart(random.Random(f"pairs/charts/{seed}"))
    if chart.kind != "pie":
        values = list(chart.values)
        at = r.randrange(len(values))
        values[at] = max(1, round(values[at] * r.choice((0.5, 0.7, 0.85, 0.93))))
        other = charts.Chart(chart.kind, chart.title, chart.unit, chart.labels, tuple(values), chart.palette)
        left, right = (Image.fromarray(charts.pixels_of_chart(c)) for c in (chart, other))
        yield Pair(encode(left), _stored(right, r), "different", "changed data", "chart", f"charts/{seed}")
    screen = drawn("screens", seed)
    lab = cv2.cvtColor(np.asarray(screen), cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = 255 - (lab[:, :, 0].astype(int) * 0.85).astype(np.uint8)
    themed = Image.fromarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
    yield Pair(encode(screen), _stored(themed, r), "variant", "light and dark", "screen", f"screens/{seed}")


def labelled_pairs(data: Path) -> Iterator[Pair]:
    """Real pairs that were looked at, from the file of labels."""
    with LABELS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            left, right = ((data / row[side]).read_bytes() for side in ("left", "right"))
            origin = min(row["left"], row["right"])
            yield Pair(left, right, row["label"], row["kind"], row["group"], origin)


def all_pairs(data: Path, each: int = 5) -> list[Pair]:
    """The whole set."""
    pictures = list(bases(data))
    return [*labelled_pairs(data), *same_pairs(pictures, each), *different_pairs(pictures)]
