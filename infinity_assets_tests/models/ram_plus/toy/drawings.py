"""Drawings whose tags are known: one shape of one colour on a ground of another. Same seed, same drawings."""

from __future__ import annotations

import random
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

COLOURS: Final = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (40, 60, 220),
    "yellow": (235, 215, 40),
    "black": (15, 15, 15),
    "white": (250, 250, 250),
    "orange": (245, 140, 20),
    "pink": (250, 150, 190),
}
SHAPES: Final = ("circle", "square", "triangle", "ring", "cross")
SIZES: Final = ("large", "small")
TAGS: Final = (*COLOURS, *SHAPES, *SIZES)


def draw(r: random.Random, side: int = 64) -> tuple[Image.Image, frozenset[str]]:
    """One picture of ``side`` x ``side`` pixels and its four tags: both colours, the shape, its size."""
    shape, colour = r.choice(SHAPES), r.choice(list(COLOURS))
    ground = r.choice([name for name in COLOURS if name != colour])
    size = r.choice(SIZES)
    width = r.randint(32, 46) if size == "large" else r.randint(16, 22)
    x, y = r.randint(2, 62 - width), r.randint(2, 62 - width)
    scale = side / 64
    image = Image.new("RGB", (side, side), COLOURS[ground])
    pen, fill = ImageDraw.Draw(image), COLOURS[colour]
    left, top, right, bottom = (round(v * scale) for v in (x, y, x + width, y + width))
    middle, third = (left + right) // 2, (right - left) // 3
    if shape == "circle":
        pen.ellipse((left, top, right, bottom), fill=fill)
    elif shape == "square":
        pen.rectangle((left, top, right, bottom), fill=fill)
    elif shape == "triangle":
        pen.polygon([(middle, top), (left, bottom), (right, bottom)], fill=fill)
    elif shape == "ring":
        pen.ellipse((left, top, right, bottom), outline=fill, width=max(2, (right - left) // 6))
    else:
        pen.rectangle((left + third, top, right - third, bottom), fill=fill)
        pen.rectangle((left, top + third, right, bottom - third), fill=fill)
    return image, frozenset({shape, colour, ground, size})


def drawings(seed: int, count: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Pixels ``(count, 64, 64, 3)`` and truth ``(count, tags)``."""
    r = random.Random(seed)
    made = [draw(r) for _ in range(count)]
    pixels = np.stack([np.asarray(image) for image, _ in made])
    return pixels, np.array([[tag in tags for tag in TAGS] for _, tags in made])
