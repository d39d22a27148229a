"""The verdict of dedup. A pure function of the kept samples and of the edges from them."""

from __future__ import annotations

import polars as pl

from infinity_assets.stages.duplicate_ledger.edges import EXACT_PAIR
from infinity_assets.stages.verdicts import DROP, KEEP

#: Raised when the same samples and edges give other verdicts.
DEDUPED_VERSION = 1

#: Kinds of edge that drop a sample; every other kind is recorded only. Our choice.
DROPPING = (EXACT_PAIR,)


def decide(samples: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """One row for each sample, in its order, with the columns of ``deduped``.

    Args:
        samples: ``sample_id`` of the kept samples of ``unified``.
        edges: ``sample_id``, ``winner_id``, ``kind`` of one source's ledger slice.
    """
    dropping = edges.filter(pl.col("kind").is_in(DROPPING)).unique("sample_id", keep="first")
    joined = samples.join(dropping, on="sample_id", how="left", maintain_order="left")
    dropped = pl.col("winner_id").is_not_null()
    return joined.select(
        "sample_id",
        duplicate_of="winner_id",
        verdict=pl.when(dropped).then(pl.lit(DROP)).otherwise(pl.lit(KEEP)),
        reason="kind",
        detail=pl.when(dropped).then(pl.format("the same pictures and conversation as {}", "winner_id")),
    )
