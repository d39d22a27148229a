"""Image tags read from what people wrote about a picture, on whole batches, with one search automaton.

This reads texts, not pixels, so that it runs anywhere; each tag says which kind of text it came from. Tags of
the conversation come from answers alone: a question may well ask for what is not there.
"""

from __future__ import annotations

from typing import Final

import polars as pl
import pyarrow as pa

from infinity_assets.stages.tagged.instructions import instruction_leaves
from infinity_assets.stages.tagged.question_types import question_types
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.tagged.taxonomy import Taxonomy
from infinity_assets.stages.tagged.vocabulary import Vocabulary
from infinity_assets.stages.verdicts import KEEP

#: Raised whenever the same sample would get other tags or another question type by the same vocabulary.
TAG_VERSION: Final = 2

#: Columns of ``unified`` that are read.
UNIFIED_COLUMNS: Final = ("sample_id", "turns", "media", "annotations")

#: Where a tag may come from, the first named where several do.
SOURCES: Final = ("caption", "annotation", "conversation")

_ANNOTATED = (
    "label",
    "box",
    "region",
    "text",
)  # not choices and answers: a wrong option is not in the picture
_MARKER = r"<(?:image|video|audio)>"
_DENIAL = r"^\W*(?:no|not|none|没有|不是|不|否)(?:\W|$)"


def tag_batch(rows: pa.Table, vocabulary: Vocabulary, taxonomy: Taxonomy) -> pa.Table:
    """Tags, question type and instructions of every sample.

    Args:
        rows: rows of ``unified`` with at least :data:`UNIFIED_COLUMNS`.
        vocabulary: the tags and their spellings.
        taxonomy: the tree of instructions.

    Returns:
        One row for each sample, in order, in the schema of ``tagged``; the verdict is always keep. A sample
        without an image or a video has no image tags.
    """
    frame = pl.DataFrame(pl.from_arrow(rows.select(UNIFIED_COLUMNS))).with_row_index("row")
    turns = _exploded(frame, "turns")
    found = _find(pl.concat([_captions(frame), _answers(turns)]), vocabulary)
    visual = pl.element().struct.field("kind").is_in(["image", "video"])
    frame = frame.with_columns(pictured=pl.col("media").list.eval(visual).list.any())
    tags = (
        found.join(frame.filter("pictured"), on="row", how="semi")
        .sort("row", "tag")
        .group_by("row", maintain_order=True)
        .agg(image_tags="tag", tag_sources=pl.col("rank").replace_strict(dict(enumerate(SOURCES))))
    )
    asked = (
        turns.filter(pl.col("role") == "user")
        .select("row", question=pl.col("text").str.replace_all(_MARKER, " ").str.strip_chars())
        .filter(pl.col("question") != "")
        .join(frame.select("row", "pictured"), on="row", how="left", maintain_order="left")
    )
    levels = instruction_leaves(asked["question"], asked["pictured"].fill_null(False), taxonomy)
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
        question_types(joined["question"], joined["pictured"]),
        pl.col("instruction_l1").fill_null(none),
        pl.col("instruction_l2").fill_null(none),
        pl.col("instruction_l3").fill_null(none),
        vocabulary=pl.lit(vocabulary.label),
        taxonomy=pl.lit(taxonomy.label),
        verdict=pl.lit(KEEP),
        reason=pl.lit(None, dtype=pl.String),
        detail=pl.lit(None, dtype=pl.String),
    )
    return tagged.to_arrow().cast(TAGGED.schema)


def _exploded(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    filled = frame.select("row", column).filter(pl.col(column).list.len() > 0)
    return filled.explode(column).unnest(column)


def _captions(frame: pl.DataFrame) -> pl.DataFrame:
    notes = _exploded(frame, "annotations").filter(pl.col("kind").is_in(["caption", *_ANNOTATED]))
    rank = (
        pl.when(pl.col("kind") == "caption")
        .then(SOURCES.index("caption"))
        .otherwise(SOURCES.index("annotation"))
    )
    words = pl.concat_str("label", "text", separator=" . ", ignore_nulls=True)
    return notes.select("row", rank=rank.cast(pl.Int32), text=words)


def _answers(turns: pl.DataFrame) -> pl.DataFrame:
    said = turns.filter(
        (pl.col("role") == "assistant") & ~pl.col("text").str.to_lowercase().str.contains(_DENIAL)
    )
    return said.select("row", rank=pl.lit(SOURCES.index("conversation"), pl.Int32), text="text")


def _find(texts: pl.DataFrame, vocabulary: Vocabulary) -> pl.DataFrame:
    """Distinct tags of each row with the first source of each: ``row``, ``tag``, ``rank``."""
    patterns = vocabulary.patterns
    # Two spaces between words: a pattern takes one on either side, and neighbours must both find theirs.
    spaced = pl.col("text").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", "  ")
    return (
        texts.select(
            "row",
            "rank",
            match=pl.concat_str(pl.lit(" "), spaced, pl.lit(" ")).str.extract_many(
                list(patterns), leftmost=True
            ),
        )
        .explode("match")
        .drop_nulls("match")
        .with_columns(tag=pl.col("match").replace_strict(patterns, return_dtype=pl.String))
        .group_by("row", "tag")
        .agg(pl.col("rank").min())
    )
