"""Labelled pairs of pictures: real ones looked at by eye, and ones made here from real and drawn pictures.

- *same*: resized, encoded again, brighter or darker, lightly watermarked, cropped by up to a tenth, and such;
- *different*: flipped, recoloured, changed text or data, an object more or less, another picture;
- *variant*: one content in another theme.

Everything follows from fixed seeds. A picture and all that is made of it falls into one half of the set:
``tune``, by which defaults are chosen, or ``held_out``, on which figures are published.
"""

from __future__ import annotations

import csv
import hashlib
import io
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from infinity_assets.demo import charts, documents, formulas, scenes, screens, tables

LABELS = Path(__file__).with_name("duplicate_pictures.csv")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures as files' bytes and what they are to each other."""

    left: bytes
    right: bytes
    label: str  #: same, different or variant
    kind: str  #: what was done, or where the pair is from
    group: str  #: photo, drawing, chart, document or screen
    origin: str  #: the picture it comes from; decides the half

    @property
    def half(self) -> str:
        """``tune`` or ``held_out``."""
        return "tune" if hashlib.sha256(self.origin.encode()).digest()[0] % 2 else "held_out"


@dataclass(frozen=True, slots=True)
class Base:
    """A picture to make others of."""

    name: str
    group: str
    image: Image.Image


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The image as a file's bytes."""
    if kind == "JPEG" and image.mode not in ("L", "RGB"):
        image = flat(image)
    out = io.BytesIO()
    image.save(out, kind, **({"compress_level": 1} | options if kind == "PNG" else options))
    return out.getvalue()


def flat(image: Image.Image) -> Image.Image:
    """Over white, as RGB."""
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    white.alpha_composite(rgba)
    return white.convert("RGB")


# -- what pictures are made of ----------------------------------------------------------------------------


def _drawers() -> dict[str, tuple[str, Callable[[random.Random], Any]]]:
    return {
        "charts": ("chart", lambda r: charts.pixels_of_chart(charts.plan_chart(r))),
        "tables": ("document", lambda r: tables.pixels_of_table(tables.plan_table(r))),
        "documents": ("document", lambda r: documents.draw_page(r).pixels),
        "screens": ("screen", lambda r: screens.draw_screen(r).pixels),
        "formulas": ("document", lambda r: formulas.pixels_of_formula(formulas.plan_formula(r))),
        "scenes": ("drawing", lambda r: scenes.pixels_of_scene(scenes.plan_scene(r, 480, 360))),
    }


def drawn(room: str, seed: int) -> Image.Image:
    """One picture by the demo's renderers."""
    return Image.fromarray(_drawers()[room][1](random.Random(f"pairs/{room}/{seed}")))


REAL = (
    ("clothing_photos", "photo", 44),
    ("coco_tiny", "photo", 44),
    ("table_pages", "document", 40),
    ("gaokao_zh", "drawing", 30),
    ("bi_docs_charts_ui", "chart", 50),
    ("easy_vqa", "drawing", 30),
)
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def bases(data: Path) -> Iterator[Base]:
    """Real pictures by a seeded choice, and drawn ones."""
    for folder, group, count in REAL:
        files = sorted(f for f in (data / folder).rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        for file in random.Random(f"pairs/{folder}").sample(files, count):
            try:
                image = ImageOps.exif_transpose(Image.open(file))
                image.load()
            except OSError:
                continue  # broken on purpose by its publisher
            if min(image.size) >= 40:
                yield Base(f"{folder}/{file.name}", group, image if image.mode == "1" else flat(image))
    for room, (group, _) in _drawers().items():
        for seed in range(24):
            yield Base(f"{room}/{seed}", group, drawn(room, seed))


# -- the same picture -------------------------------------------------------------------------------------


def _resize(image: Image.Image, r: random.Random) -> Image.Image:
    large = image.width * image.height > 1 << 19
    scale = r.choice((0.35, 0.5, 0.7, 0.8) if large else (0.5, 0.7, 0.8, 1.25, 1.6, 2.0))
    size = max(24, round(image.width * scale)), max(24, round(image.height * scale))
    if r.random() < 0.5:
        how = r.choice((Image.Resampling.LANCZOS, Image.Resampling.BICUBIC, Image.Resampling.BILINEAR))
        return flat(image).resize(size, how)
    area = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pixels = cv2.resize(np.asarray(flat(image)), size, interpolation=r.choice((area, cv2.INTER_LINEAR)))
    return Image.fromarray(pixels)


def _jpeg(image: Image.Image, r: random.Random) -> bytes:
    return encode(flat(image), "JPEG", quality=r.randint(30, 92), subsampling=r.choice((0, 2)))


def _webp(image: Image.Image, r: random.Random) -> bytes:
    return encode(flat(image), "WEBP", quality=r.randint(30, 92))


def _levels(image: Image.Image, levels: Any) -> Image.Image:
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return Image.fromarray(table[np.asarray(flat(image))])


LEVELS = np.arange(256, dtype=np.float64)


def _brightness(image: Image.Image, r: random.Random) -> Image.Image:
    if r.random() < 0.5:
        return _levels(image, LEVELS * r.choice((0.7, 0.8, 0.9, 1.1, 1.2, 1.3)))
    return _levels(image, LEVELS + r.choice((-40, -25, 25, 40)))


def _contrast(image: Image.Image, r: random.Random) -> Image.Image:
    return _levels(image, 128 + (LEVELS - 128) * r.choice((0.7, 0.85, 1.15, 1.3)))


def _gamma(image: Image.Image, r: random.Random) -> Image.Image:
    return _levels(image, 255 * (LEVELS / 255) ** r.choice((0.7, 0.8, 1.25, 1.4)))


def _watermark(image: Image.Image, r: random.Random) -> Image.Image:
    """Text once or tiled, or a logo, 12 to 40 % opaque."""
    base = flat(image).convert("RGBA")
    layer = Image.new("RGBA", base.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    colour = (*r.choice(((255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 30, 30))), r.randint(30, 102))
    text = r.choice(("SAMPLE", "example.org", "(c) Studio", "DRAFT"))
    w, h = base.size
    form = r.choice(("once", "once", "tiled", "logo", "slant"))
    if form == "once":
        pen.text(
            (w * r.uniform(0.02, 0.6), h * r.uniform(0.05, 0.85)),
            text,
            fill=colour,
            font=_font(max(10, h // 12)),
        )
    elif form == "tiled":
        for y in range(0, h, max(30, h // 5)):
            for x in range(0, w, max(60, w // 3)):
                pen.text((x, y), text, fill=colour, font=_font(max(9, h // 22)))
    elif form == "logo":
        size = min(w, h) * r.uniform(0.1, 0.22)
        x, y = r.choice(((8, 8), (w - size - 8, h - size - 8), (w / 2 - size / 2, h / 2 - size / 2)))
        pen.ellipse((x, y, x + size, y + size), fill=colour)
        pen.rectangle((x + size * 0.3, y + size * 0.4, x + size * 0.7, y + size * 0.6), fill=(0, 0, 0, 0))
    else:
        pen.text((w // 2, h // 2), text, fill=colour, font=_font(max(12, h // 6)), anchor="mm")
        layer = layer.rotate(30)
    base.alpha_composite(layer)
    return base.convert("RGB")


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _crop(image: Image.Image, r: random.Random, most: float) -> Image.Image:
    """Up to ``most`` of width and of height cut off, from one side, from a corner or all around."""
    w, h = image.size
    x, y = (w * r.uniform(most / 2, most), h * r.uniform(most / 2, most))
    form = r.choice(("centre", "corner", "side", "any"))
    left, top = {
        "centre": (0.5, 0.5),
        "corner": (r.choice((0, 1)), r.choice((0, 1))),
        "side": (r.choice((0, 1)), r.choice((0, 1))),
        "any": (r.random(), r.random()),
    }[form]
    if form == "side":
        x, y = r.choice(((x, 0.0), (0.0, y)))
    box = round(x * left), round(y * top), round(w - x * (1 - left)), round(h - y * (1 - top))
    return image.crop(box)


def _blur(image: Image.Image, r: random.Random) -> Image.Image:
    return flat(image).filter(ImageFilter.GaussianBlur(r.uniform(0.5, 1.2)))


def _noise(image: Image.Image, r: random.Random) -> Image.Image:
    pixels = np.asarray(flat(image)).astype(np.float64)
    noise = np.random.default_rng(r.getrandbits(32)).normal(0, r.uniform(3, 9), pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8))


def _mode(image: Image.Image, r: random.Random) -> Image.Image:
    if r.random() < 0.5:
        return flat(image).quantize(256)
    return flat(image).convert("RGBA")


def _border(image: Image.Image, r: random.Random) -> Image.Image:
    wide = max(1, round(min(image.size) * r.uniform(0.01, 0.04)))
    return ImageOps.expand(flat(image), wide, r.choice(((255, 255, 255), (0, 0, 0), (128, 128, 128))))


def _mixed(image: Image.Image, r: random.Random) -> bytes:
    """Cropped, smaller, brighter or darker, and a JPEG: what the web does to a picture."""
    image = _resize(_crop(image, r, 0.06), r)
    return _jpeg(_brightness(image, r) if r.random() < 0.5 else image, r)


SAME: dict[str, Callable[[Image.Image, random.Random], Image.Image | bytes]] = {
    "resize": _resize,
    "jpeg": _jpeg,
    "webp": _webp,
    "brightness": _brightness,
    "contrast": _contrast,
    "gamma": _gamma,
    "watermark": _watermark,
    "crop of area": lambda image, r: _crop(image, r, 0.05),
    "crop a side": lambda image, r: _crop(image, r, 0.1),
    "blur": _blur,
    "noise": _noise,
    "mode": _mode,
    "border": _border,
    "crop, resize, jpeg": _mixed,
}


def same_pairs(pictures: Sequence[Base], each: int) -> Iterator[Pair]:
    """``each`` transformations of every picture, chosen so that all occur equally often."""
    names = list(SAME)
    for number, base in enumerate(pictures):
        for k in range(each):
            name = names[(number * each + k) % len(names)]
            made = SAME[name](base.image, random.Random(f"same/{base.name}/{name}"))
            right = made if isinstance(made, bytes) else encode(made)
            yield Pair(encode(base.image), right, "same", name, base.group, base.name)


# -- other pictures ---------------------------------------------------------------------------------------


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


def _blob_moved(image: Image.Image, r: random.Random) -> Image.Image | None:
    """A scan in which one word or number is replaced by another word of the page."""
    page = np.asarray(image.convert("L"))
    ink = cv2.morphologyEx((page < 128).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 9), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink)
    height = page.shape[0]
    words = [s for s in stats[1:] if height / 140 < s[3] < height / 30 and s[3] < s[2] < 8 * s[3]]
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
        for kind, image in made:
            if image is not None:
                yield Pair(encode(base.image), _stored(image, r), "different", kind, base.group, base.name)
    for room in ("charts", "tables", "documents", "screens", "formulas"):
        for seed in range(24, 64):
            r = random.Random(f"stored/{room}/{seed}")
            left, right = drawn(room, seed), _with_text_changed(room, seed)
            if np.array_equal(np.asarray(left), np.asarray(right)):
                continue
            group = _drawers()[room][0]
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
