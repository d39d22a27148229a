"""Training samples laid out for the search: what they show, ask and say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import polars as pl
import pyarrow as pa

from infinity_assets.similarity.exchanges import Exchange, Exchanges
from infinity_assets.similarity.shingles import Ragged, word_hashes
from infinity_assets.similarity.texts import conversation_of

#: Columns of ``unified`` that are read.
UNIFIED_COLUMNS: Final = ("sample_id", "turns", "media", "image_ids", "question_hashes", "turn_hashes")


def with_hashes(rows: pa.Table) -> pa.Table:
    """Samples with the hashes of their exchanges: as they are, or made from the turns where none were stored.

    Args:
        rows: of ``unified`` or ``synthesized``.
    """
    if set(UNIFIED_COLUMNS) <= set(rows.column_names):
        return rows.select(UNIFIED_COLUMNS)
    cut = Exchanges()
    turns = rows.column("turns").to_pylist()
    pairs = [[cut.fingerprints(exchange) for exchange in cut.of(_said(said))] for said in turns]
    hashes = pa.list_(pa.binary(16))
    rows = rows.append_column("question_hashes", pa.array([[q for q, _ in row] for row in pairs], hashes))
    rows = rows.append_column("turn_hashes", pa.array([[t for _, t in row] for row in pairs], hashes))
    return rows.select(UNIFIED_COLUMNS)


def _said(turns: Sequence[dict[str, str]] | None) -> list[tuple[str, str]]:
    return [(turn["role"], turn["text"]) for turn in turns or []]


@dataclass(frozen=True, slots=True)
class Unpictured:
    """The exchanges of samples without pictures, one after the other."""

    rows: list[int]  #: of which sample each is
    asked: list[str]  #: in normal form
    words: Ragged  #: of question and answers


@dataclass(frozen=True)
class Batch:
    """Kept samples of one source. Columns named ``row`` number them from 0."""

    rows: pa.Table  #: of ``unified``, with :data:`UNIFIED_COLUMNS`
    images: pl.DataFrame
    """Of the source: ``image_id``, ``pixel_hash``, ``phash``, ``parts``, ``low_detail``, ``place``."""

    @cached_property
    def samples(self) -> pl.DataFrame:
        """``row``, ``sample_id`` and how many ``media`` each has."""
        return self._frame("sample_id", "media").with_columns(media=pl.col("media").list.len())

    @cached_property
    def shown(self) -> pl.DataFrame:
        """``row`` and ``pixel_hash`` of each picture that a sample shows."""
        listed = self._frame("image_ids").filter(pl.col("image_ids").list.len() > 0).explode("image_ids")
        known = self.images.select("pixel_hash", image_ids="image_id")
        return listed.join(known, on="image_ids").select("row", "pixel_hash").unique()

    @cached_property
    def pictures(self) -> pl.DataFrame:
        """The pictures that any sample shows, as in ``images``."""
        return self.images.join(self.shown, on="pixel_hash", how="semi")

    @cached_property
    def exchanges(self) -> pl.DataFrame:
        """``row``, ``question_hash`` and ``turn_hash`` of each exchange, in order."""
        frame = self._frame("question_hashes", "turn_hashes")
        frame = frame.filter(pl.col("question_hashes").list.len() > 0)
        return frame.explode("question_hashes", "turn_hashes").rename(
            {"question_hashes": "question_hash", "turn_hashes": "turn_hash"}
        )

    @cached_property
    def spoken(self) -> list[list[Exchange]]:
        """The exchanges of each sample in normal form."""
        cut = Exchanges()
        turns = self.rows.column("turns").to_pylist()
        return [cut.of(_said(said)) for said in turns]

    @cached_property
    def words(self) -> Ragged:
        """The words of both sides of each conversation in normal form."""
        return word_hashes([conversation_of(exchanges).text for exchanges in self.spoken])

    @cached_property
    def unpictured(self) -> Unpictured:
        """The exchanges of samples without pictures."""
        rows = self.samples.filter(pl.col("media") == 0)["row"].to_list()
        said = [(row, exchange) for row in rows for exchange in self.spoken[row]]
        texts = ["\n".join((exchange.question, *exchange.answers)) for _, exchange in said]
        asked = [exchange.question for _, exchange in said]
        return Unpictured([row for row, _ in said], asked, word_hashes(texts))

    def _frame(self, *columns: str) -> pl.DataFrame:
        frame = pl.DataFrame(pl.from_arrow(self.rows.select(columns))).with_row_index("row")
        return frame.cast({"row": pl.Int64})
