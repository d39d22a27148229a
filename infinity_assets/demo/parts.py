"""What every demo module shares: samples before they have a native format, encoders, fonts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Pixels = npt.NDArray[np.uint8]  #: height x width x 3, RGB
Rgb = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
T = TypeVar("T")

MARKER = "<image>\n"


@dataclass(frozen=True, slots=True)
class QA:
    """One question and its answer, true of what was drawn."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture under its source's name for it; without data the file is missing."""

    name: str
    data: bytes | None


@dataclass(slots=True)
class Sample:
    """One record before it has a native format; turns are (user or assistant, text with markers)."""

    native_id: str
    pictures: list[Picture]
    turns: list[tuple[str, str]]
    licence: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)  #: what a writer needs besides: boxes, captions, tags
    raw_line: str | None = None  #: written in place of the record, for lines that are not JSON

    def copy(self, native_id: str) -> Sample:
        """The same content under another id."""
        return Sample(
            native_id, list(self.pictures), list(self.turns), self.licence, dict(self.facts), self.raw_line
        )


def dialogue(pairs: Sequence[QA], pictures: int = 1) -> list[tuple[str, str]]:
    """Alternating turns; the first question carries one marker for each picture."""
    turns: list[tuple[str, str]] = []
    for i, pair in enumerate(pairs):
        turns.append(("user", (MARKER * pictures if i == 0 else "") + pair.question))
        turns.append(("assistant", pair.answer))
    return turns


def without_marker(text: str) -> str:
    """The text as formats write it that keep pictures in a column of their own."""
    return text.replace(MARKER, "")


def jpeg(pixels: Pixels, quality: int = 88) -> bytes:
    """Baseline JPEG of RGB pixels."""
    return _encode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])


def png(pixels: Pixels) -> bytes:
    """PNG of RGB pixels; without row filters, which triple the time and do not help flat drawings."""
    flat = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
    return _encode(".png", pixels, flat)


def _encode(suffix: str, pixels: Pixels, options: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"OpenCV cannot write {suffix}")
    return bytes(data.tobytes())


def decode(data: bytes) -> Pixels:
    """RGB pixels of an encoded picture that the demo itself wrote."""
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), np.uint8)


@lru_cache(maxsize=32)
def font(size: int) -> Font:
    """Pillow's built-in font, so that no system font is needed."""
    return ImageFont.load_default(size)


def canvas(width: int, height: int, colour: Rgb) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty RGB picture and the pen for it."""
    image = Image.new("RGB", (width, height), colour)
    return image, ImageDraw.Draw(image)


def pen_on(pixels: Pixels) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A copy of the pixels as a picture, and the pen for it."""
    image = Image.fromarray(pixels)
    return image, ImageDraw.Draw(image)


def pixels_of(image: Image.Image) -> Pixels:
    """The picture as an array that OpenCV may draw on."""
    return np.array(image, dtype=np.uint8)


def some(rng: random.Random, options: Sequence[T], least: int, most: int) -> list[T]:
    """Between ``least`` and ``most`` different options, in random order."""
    return rng.sample(list(options), min(len(options), rng.randint(least, most)))


def words(text: str) -> tuple[str, ...]:
    """A vocabulary written as one text, its entries joined by commas."""
    return tuple(text.split(", "))


def join_words(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
