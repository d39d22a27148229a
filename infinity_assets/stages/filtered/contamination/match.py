"""What of a benchmark samples hold. A pure function of the samples and the fingerprints.

- Same picture, same question: ``contaminated``. Equal pixels or a near picture that the second witness calls
  the same; equal questions, or one that stands whole in a longer prompt, or a long text in common.
- Same picture, other questions: ``contaminated_image``.
- A long text (13 words or more): ``contaminated_text`` where the item or the sample has no picture, or the
  item's could not be read, so that the text is all there is to go by. Of another picture the same text asks
  something else, and so it does where the benchmark itself asks it about several: ``contaminated_wording``.
- A short text counts only where neither has a picture: the same question of 8 words, or the same question and
  answer; of 8 words also inside of a longer text. Asked about another picture it never counts.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from infinity_assets.similarity.crops import CROPS_VERSION
from infinity_assets.similarity.meaning import MEANING_VERSION
from infinity_assets.similarity.pictures import PHASH_RADIUS, WITNESS_VERSION
from infinity_assets.similarity.shingles import SHINGLE_VERSION
from infinity_assets.stages.filtered.contamination.batch import Batch
from infinity_assets.stages.filtered.contamination.benchmark import Benchmark
from infinity_assets.stages.filtered.contamination.inside import items_inside
from infinity_assets.stages.filtered.contamination.kinds import (
    CONTAMINATED,
    CONTAMINATED_IMAGE,
    CONTAMINATED_TEXT,
    CONTAMINATED_WORDING,
    CONTAMINATION,
)
from infinity_assets.stages.filtered.contamination.pictures import Witness, same_pictures
from infinity_assets.stages.filtered.contamination.short_items import SHORT_WORDS
from infinity_assets.stages.filtered.contamination.wording import held_passages, likeness

#: Raised when the same samples and fingerprints give other hits.
MATCH_VERSION: Final = (3, PHASH_RADIUS, CROPS_VERSION, WITNESS_VERSION, MEANING_VERSION, SHINGLE_VERSION)

_PAIRS = {"row": pl.Int64, "item": pl.Int64, "score": pl.Float32}


def find_contamination(batch: Batch, benchmark: Benchmark, witness: Witness) -> pl.DataFrame:
    """Hits in the columns of ``contamination``: the best of each sample and kind, by sample and kind.

    Args:
        batch: samples.
        benchmark: fingerprints of the benchmark.
        witness: gives pictures to look at.
    """
    same = same_pictures(batch.pictures, benchmark, witness)
    about = _about(batch, benchmark, same.filter(~pl.col("low_detail")))
    held = _held(batch, benchmark)
    of_picture = held.join(about, on=["row", "item"], how="semi")
    elsewhere = held.join(about, on=["row", "item"], how="anti")
    asked = _equal(about, batch, benchmark)
    asked = pl.concat(
        [
            asked,
            _blank(batch, benchmark, same.filter("low_detail")),
            _near(about.join(asked, on=["row", "item"], how="anti"), batch, benchmark),
            of_picture.select(_PAIRS.keys()),
        ]
    )
    alone = pl.col("alone")
    inside = items_inside(batch, benchmark.wanted)
    texts = pl.concat([elsewhere.filter(alone).select(_PAIRS.keys()), _short(batch, benchmark), inside])
    wording = elsewhere.filter(~alone).select(_PAIRS.keys())
    found = {
        CONTAMINATED: asked,
        CONTAMINATED_TEXT: texts,
        CONTAMINATED_IMAGE: about.join(asked, on="row", how="anti"),
        CONTAMINATED_WORDING: wording.join(asked, on="row", how="anti").join(texts, on="row", how="anti"),
    }
    hits = pl.concat([pairs.with_columns(kind=pl.lit(kind)) for kind, pairs in found.items()])
    return _named(hits, batch, benchmark)


def _about(batch: Batch, benchmark: Benchmark, same: pl.DataFrame) -> pl.DataFrame:
    """Samples and items that have a picture in common, and how alike it is."""
    pictures = benchmark.pictures.select("item", item_pixels="pixel_hash").unique()
    joined = batch.shown.join(same, on="pixel_hash").join(pictures, on="item_pixels")
    return joined.group_by("row", "item").agg(score=pl.col("likeness").max()).select(_PAIRS.keys())


def _equal(about: pl.DataFrame, batch: Batch, benchmark: Benchmark) -> pl.DataFrame:
    questions = benchmark.exchanges.select("item", "question_hash").unique()
    mine = batch.exchanges.select("row", "question_hash").unique()
    joined = about.join(mine, on="row").join(questions, on=["item", "question_hash"])
    return joined.select("row", "item", score=pl.lit(1.0, pl.Float32)).unique()


def _blank(batch: Batch, benchmark: Benchmark, same: pl.DataFrame) -> pl.DataFrame:
    """The same question about equal pictures that show hardly anything: nothing else of these counts."""
    joined = batch.shown.join(same.select("pixel_hash"), on="pixel_hash")
    mine = joined.join(batch.exchanges.select("row", "question_hash"), on="row").unique()
    pictures = benchmark.pictures.select("item", "pixel_hash").unique()
    theirs = pictures.join(benchmark.exchanges.select("item", "question_hash"), on="item").unique()
    joined = mine.join(theirs, on=["pixel_hash", "question_hash"])
    return joined.select("row", "item", score=pl.lit(1.0, pl.Float32)).unique()


def _near(about: pl.DataFrame, batch: Batch, benchmark: Benchmark) -> pl.DataFrame:
    rows = about["row"].unique().sort()
    asked = [(row, e.question) for row in rows for e in batch.spoken[row]] if len(rows) else []
    mine = pl.DataFrame(asked, schema={"row": pl.Int64, "asked": pl.String}, orient="row").unique()
    theirs = benchmark.exchanges.select("item", "question").unique()
    pairs = about.select("row", "item").join(mine, on="row").join(theirs, on="item")
    texts = pairs.select("asked", "question").unique()
    told = likeness(texts["asked"].to_list(), texts["question"].to_list())
    alike = texts.with_columns(score=pl.Series(told, dtype=pl.Float32)).drop_nulls("score")
    return pairs.join(alike, on=["asked", "question"]).select(_PAIRS.keys())


def _held(batch: Batch, benchmark: Benchmark) -> pl.DataFrame:
    """Long texts that samples hold, and whether they stand ``alone``: no picture tells them from others."""
    if benchmark.passages.is_empty():
        return pl.DataFrame(schema=_PAIRS | {"alone": pl.Boolean})
    held = held_passages(batch.words, benchmark)
    passages = benchmark.passages.select("passage", "item", "generic").join(benchmark.items, on="item")
    joined = held.join(passages, on="passage").join(batch.samples.select("row", own_media="media"), on="row")
    unseen = (pl.col("own_media") == 0) | (pl.col("media") == 0) | (pl.col("unread") > 0)
    return joined.select("row", "item", score="share", alone=unseen & ~pl.col("generic"))


def _short(batch: Batch, benchmark: Benchmark) -> pl.DataFrame:
    """The same words where neither side has a picture."""
    mine = batch.exchanges.join(batch.samples.filter(pl.col("media") == 0), on="row", how="semi")
    theirs = benchmark.exchanges.join(benchmark.items.filter(pl.col("media") == 0), on="item", how="semi")
    asked = theirs.filter(pl.col("words") >= SHORT_WORDS).select("item", "question_hash")
    answered = theirs.filter((pl.col("words") > 0) & pl.col("answered")).select("item", "turn_hash")
    found = [mine.join(asked, on="question_hash"), mine.join(answered, on="turn_hash")]
    return pl.concat([f.select("row", "item", score=pl.lit(1.0, pl.Float32)) for f in found])


def _named(hits: pl.DataFrame, batch: Batch, benchmark: Benchmark) -> pl.DataFrame:
    """The best hit of each sample and kind, with names for numbers."""
    return (
        hits.join(benchmark.items.select("item", "item_id"), on="item")
        .sort("row", "kind", "score", "item_id", descending=[False, False, True, False])
        .unique(["row", "kind"], keep="first", maintain_order=True)
        .join(batch.samples.select("row", "sample_id"), on="row", maintain_order="left")
        .with_columns(benchmark=pl.lit(benchmark.name))
        .with_columns(hit_id=pl.concat_str("benchmark", "kind", "sample_id", separator=":"))
        .select(CONTAMINATION.schema.names)
    )
