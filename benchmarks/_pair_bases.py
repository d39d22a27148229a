"""Pictures to make labelled pairs of: real ones by a seeded choice, and drawn ones."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from infinity_assets.demo import charts, documents, formulas, scenes, screens, tables


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


def drawers() -> dict[str, tuple[str, Callable[[random.Random], Any]]]:
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
    return Image.fromarray(drawers()[room][1](random.Random(f"pairs/{room}/{seed}")))


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
    for room, (group, _) in drawers().items():
        for seed in range(24):
            yield Base(f"{room}/{seed}", group, drawn(room, seed))
