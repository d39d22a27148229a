"""Who duplicates whom. Pure functions of fingerprints, equal for any order in which sources arrived."""

from __future__ import annotations

import polars as pl

#: Raised when the same fingerprints give other edges.
LEDGER_VERSION = 1

#: Image and conversation are both equal: the design's exact pair.
EXACT_PAIR = "exact_pair"


def exact_pairs(samples: pl.DataFrame) -> pl.DataFrame:
    """An edge from each sample to the first one, in the total order, with the same content.

    Args:
        samples: ``sample_id``, ``source``, ``priority`` and ``content_hash`` of every kept sample.

    Returns:
        ``edge_id``, ``kind``, ``distance``, ``sample_id``, ``winner_id``, ``winner_source``, ``fingerprint``
        and ``source`` (of the sample), sorted by sample. The total order is (priority, sample id); the winner
        is first in it, so every edge leads straight to a sample that stays.
    """
    shared = samples.filter(pl.col("content_hash").is_not_null() & pl.col("content_hash").is_duplicated())
    ordered = shared.sort("priority", "sample_id")
    first = pl.col("sample_id").first().over("content_hash")
    edges = ordered.with_columns(
        winner_id=first, winner_source=pl.col("source").first().over("content_hash")
    ).filter(pl.col("sample_id") != pl.col("winner_id"))
    return edges.select(
        edge_id=pl.format(EXACT_PAIR + ":{}:{}", "sample_id", "winner_id"),
        kind=pl.lit(EXACT_PAIR),
        distance=pl.lit(0, pl.Int32),
        sample_id="sample_id",
        winner_id="winner_id",
        winner_source="winner_source",
        fingerprint="content_hash",
        source="source",
    ).sort("sample_id")
