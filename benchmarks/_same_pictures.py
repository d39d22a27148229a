"""Copies of a picture that are the same picture: resized, encoded again, cropped a little, and such."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from benchmarks._pair_bases import Base, Pair, encode, flat


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
