"""The fingerprints of one benchmark, laid out for the search."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from infinity_assets.similarity.crops import crop_hashes
from infinity_assets.stages.filtered.contamination.short_items import Wanted, wanted_of

_U64 = npt.NDArray[np.uint64]
_I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark. Columns named ``item`` number its items from 0."""

    name: str
    items: pl.DataFrame  #: ``item``, ``item_id``, ``media``, ``unread`` (media without fingerprints)
    pictures: pl.DataFrame
    """``item``, ``image_id``, ``pixel_hash``, ``phash`` (uint64), ``parts`` (pHashes of parts of it),
    ``low_detail``, ``signature``."""
    exchanges: pl.DataFrame
    """``item``, ``question_hash``, ``turn_hash``, ``question``, ``words`` (how many it has), ``answered``,
    ``answer_words`` (their hashes)."""
    passages: pl.DataFrame  #: ``passage``, ``item``, ``ngrams``, ``starts``, ``asked``, ``generic``

    @classmethod
    def of(cls, name: str, table: pa.Table) -> Benchmark:
        """From rows of ``benchmark_fingerprints``."""
        rows = pl.DataFrame(pl.from_arrow(table)).with_row_index("item").cast({"item": pl.Int64})
        items = rows.select(
            "item", "item_id", "media", unread=pl.col("media") - pl.col("pixel_hashes").list.len()
        )
        pictures = _exploded(
            rows, ["decoded_ids", "pixel_hashes", "phashes", "low_detail", "signatures"]
        ).select(
            "item",
            "low_detail",
            image_id="decoded_ids",
            pixel_hash="pixel_hashes",
            phash=words_of("phashes"),
            signature="signatures",
            parts=pl.col("signatures").map_elements(
                lambda signature: crop_hashes(signature).tolist(), return_dtype=pl.List(pl.UInt64)
            ),
        )
        lists = ["question_hashes", "turn_hashes", "questions", "question_words", "answered", "answer_words"]
        exchanges = _exploded(rows, lists).select(
            "item",
            "answered",
            "answer_words",
            question_hash="question_hashes",
            turn_hash="turn_hashes",
            question="questions",
            words="question_words",
        )
        passages = _exploded(rows, ["passages"]).unnest("passages").with_row_index("passage")
        return cls(name, items, pictures, exchanges, passages.cast({"passage": pl.Int64}))

    @cached_property
    def wanted(self) -> Wanted:
        """Short texts that are looked for inside of longer ones."""
        return wanted_of(self.items, self.exchanges)

    @cached_property
    def ngrams(self) -> tuple[_U64, _I64]:
        """Runs of words of all passages, sorted, and the passage of each."""
        runs = self.passages.select("passage", "ngrams").explode("ngrams").sort("ngrams", "passage")
        return runs["ngrams"].to_numpy(), runs["passage"].to_numpy()


def words_of(column: str) -> pl.Expr:
    """64-bit big-endian hashes, stored as 8 bytes, as numbers."""
    return pl.col(column).bin.reinterpret(dtype=pl.UInt64, endianness="big")


def _exploded(rows: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    filled = rows.filter(pl.col(columns[0]).list.len() > 0)
    return filled.select("item", *columns).explode(columns)
