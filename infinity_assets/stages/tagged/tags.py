"""Tags, question type and instructions of samples, on whole batches; who gives the tags is a choice."""

from __future__ import annotations

from typing import Final

import polars as pl
import pyarrow as pa

from infinity_assets.models.taggers.protocol import Tagger
from infinity_assets.stages.tagged.labellers import Labeller
from infinity_assets.stages.tagged.question_types import question_types
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.verdicts import KEEP

#: Raised whenever the same sample would get other tags or another question type by the same vocabulary.
TAG_VERSION: Final = 3

#: Columns of ``unified`` that are read.
UNIFIED_COLUMNS: Final = ("sample_id", "turns", "media", "annotations")

_MARKER = r"<(?:image|video|audio)>"


def tag_batch(rows: pa.Table, tagger: Tagger, labeller: Labeller) -> pa.Table:
    """Tags, question type and instructions of every sample.

    Args:
        rows: rows of ``unified`` with at least :data:`UNIFIED_COLUMNS`.
        tagger: gives the image tags.
        labeller: files the questions under the tree of instructions.

    Returns:
        One row for each sample, in order, in the schema of ``tagged``; the verdict is always keep. A sample
        without an image or a video has no image tags.
    """
    frame = pl.DataFrame(pl.from_arrow(rows.select(UNIFIED_COLUMNS))).with_row_index("row")
    frame = _with_pictured(frame)
    tags = (
        tagger.tags(frame)
        .join(frame.filter("pictured"), on="row", how="semi")
        .sort("row", "tag")
        .group_by("row", maintain_order=True)
        .agg(image_tags="tag", tag_sources="source", tag_logits="logit")
    )
    asked = _asked(frame)
    levels = labeller.leaves(asked["question"], asked["pictured"])
    questions = (
        asked.hstack(levels)
        .group_by("row", maintain_order=True)
        .agg(
            pl.col("question").first(),
            instruction_l1="l1",
            instruction_l2="l2",
            instruction_l3="l3",
        )
    )
    joined = frame.select("row", "sample_id", "pictured").join(
        tags, on="row", how="left", maintain_order="left"
    )
    joined = joined.join(questions, on="row", how="left", maintain_order="left")
    none = pl.lit([], dtype=pl.List(pl.String))
    tagged = joined.select(
        "sample_id",
        pl.col("image_tags").fill_null(none),
        pl.col("tag_sources").fill_null(none),
        pl.col("tag_logits").fill_null(pl.lit([], dtype=pl.List(pl.Float32))),
        question_types(joined["question"], joined["pictured"]),
        pl.col("instruction_l1").fill_null(none),
        pl.col("instruction_l2").fill_null(none),
        pl.col("instruction_l3").fill_null(none),
        vocabulary=pl.lit(tagger.label),
        taxonomy=pl.lit(labeller.taxonomy.label),
        verdict=pl.lit(KEEP),
        reason=pl.lit(None, dtype=pl.String),
        detail=pl.lit(None, dtype=pl.String),
    )
    return tagged.to_arrow().cast(TAGGED.schema)


def visual_questions(rows: pa.Table) -> list[str]:
    """The distinct questions about a picture or a video, sorted: what a labeller is asked for.

    Args:
        rows: of ``unified`` with ``turns`` and ``media``.
    """
    frame = pl.DataFrame(pl.from_arrow(rows.select(["turns", "media"]))).with_row_index("row")
    asked = _asked(_with_pictured(frame)).filter("pictured")
    return asked["question"].unique().sort().to_list()


def _with_pictured(frame: pl.DataFrame) -> pl.DataFrame:
    visual = pl.element().struct.field("kind").is_in(["image", "video"])
    return frame.with_columns(pictured=pl.col("media").list.eval(visual).list.any())


def _asked(frame: pl.DataFrame) -> pl.DataFrame:
    """``row``, ``question``, ``pictured``: each user turn that says something, in order."""
    return (
        exploded(frame, "turns")
        .filter(pl.col("role") == "user")
        .select("row", question=pl.col("text").str.replace_all(_MARKER, " ").str.strip_chars())
        .filter(pl.col("question") != "")
        .join(frame.select("row", "pictured"), on="row", how="left", maintain_order="left")
        .with_columns(pl.col("pictured").fill_null(False))
    )


def exploded(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """One row for each entry of a list of structs: ``row`` and the entry's fields."""
    filled = frame.select("row", column).filter(pl.col(column).list.len() > 0)
    return filled.explode(column).unnest(column)
