"""What is known about a picture before anything is asked of it: tags, annotations, questions that it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import pyarrow as pa

#: Columns that are read, by table.
UNIFIED_COLUMNS: Final = ("sample_id", "turns", "media", "image_ids", "annotations", "licence")
TAGGED_COLUMNS: Final = ("sample_id", "image_tags", "instruction_l3", "verdict")

_MARKER: Final = r"<(?:image|video|audio)>"
_CROWD: Final = '"iscrowd":1'  # COCO's word for a box around a group, in canonical JSON


@dataclass(frozen=True, slots=True)
class Box:
    """One labelled object, in pixels of the original."""

    label: str
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle, from left and top."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    @property
    def area(self) -> float:
        """Square pixels."""
        return max(0.0, self.x1 - self.x0) * max(0.0, self.y1 - self.y0)


@dataclass(frozen=True, slots=True)
class Facts:
    """One picture. Values are sorted, so that equal pictures of any order of samples have equal facts."""

    image_id: str
    parent_ids: tuple[str, ...]
    licence: str
    width: int
    height: int
    tags: tuple[str, ...]
    leaves: tuple[str, ...]  #: of its questions, as far as rules know them
    questions: tuple[str, ...]  #: that it has already
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]  #: of the whole picture
    captions: tuple[str, ...]
    texts: tuple[str, ...]  #: that stand in it
    crowded: bool  #: some box stands for a group: nothing may be counted

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Facts:
        """What :func:`dataclasses.asdict` made of it, and JSON of that."""
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in value.items()}
        return cls(**plain | {"boxes": tuple(Box(**box) for box in value["boxes"])})


def collect_facts(samples: pa.Table, tagged: pa.Table, images: pl.DataFrame) -> list[Facts]:
    """The pictures that may be asked about, by image id.

    A picture takes part if a kept sample shows it alone, and if all samples that do state one licence: what
    is written about it takes the parents' licence, and of several none is right.

    Args:
        samples: kept rows of ``unified`` with :data:`UNIFIED_COLUMNS`.
        tagged: rows of ``tagged`` with :data:`TAGGED_COLUMNS`.
        images: ``image_id``, ``width``, ``height`` of the source's readable pictures.
    """
    frame = pl.DataFrame(pl.from_arrow(samples.select(UNIFIED_COLUMNS)))
    alone = frame.filter((pl.col("image_ids").list.len() == 1) & (pl.col("media").list.len() == 1))
    joined = (
        alone.join(pl.DataFrame(pl.from_arrow(tagged.select(TAGGED_COLUMNS))), on="sample_id", how="inner")
        .with_columns(image_id=pl.col("image_ids").list.first())
        .join(images.select("image_id", "width", "height").drop_nulls(), on="image_id", how="inner")
    )
    asked = (
        pl.element()
        .filter(pl.element().struct.field("role") == "user")
        .struct.field("text")
        .str.replace_all(_MARKER, " ")
        .str.strip_chars()
    )
    grouped = (
        joined.with_columns(questions=pl.col("turns").list.eval(asked))
        .group_by("image_id")
        .agg(
            pl.col("sample_id").sort().alias("parent_ids"),
            pl.col("licence").unique().sort(),
            pl.col("width", "height").first(),
            *(_all(name) for name in ("image_tags", "instruction_l3", "questions")),
            pl.col("annotations").explode(),
        )
        .filter(pl.col("licence").list.len() == 1)
        .sort("image_id")
    )
    return [_facts(row) for row in grouped.iter_rows(named=True)]


def _all(name: str) -> pl.Expr:
    return pl.col(name).explode().drop_nulls().unique().sort().alias(name)


def _facts(row: Mapping[str, Any]) -> Facts:
    notes = [note for note in row["annotations"] or [] if note]
    boxes = {
        Box(note["label"].strip(), *note["box"])
        for note in notes
        if note["kind"] == "box" and note["label"] and len(note["box"] or ()) == 4
    }
    return Facts(
        row["image_id"],
        tuple(row["parent_ids"]),
        row["licence"][0],
        row["width"],
        row["height"],
        tuple(row["image_tags"]),
        tuple(row["instruction_l3"]),
        tuple(question for question in row["questions"] if question),
        tuple(sorted(boxes, key=lambda b: (b.label, b.x0, b.y0, b.x1, b.y1))),
        _texts(notes, "label", "label"),
        _texts(notes, "caption", "text"),
        _texts(notes, "text", "text"),
        any(note["kind"] == "box" and _CROWD in (note["data"] or "") for note in notes),
    )


def _texts(notes: list[Mapping[str, Any]], kind: str, field: str) -> tuple[str, ...]:
    return tuple(sorted({n[field].strip() for n in notes if n["kind"] == kind and n[field]} - {""}))
