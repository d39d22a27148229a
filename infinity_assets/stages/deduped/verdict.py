"""The verdict of dedup. A pure function of the kept samples and of the ledger's deciding edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from infinity_assets.stages.duplicate_ledger.schema import EXACT_PAIR, NEAR_PAIR, SHARED_TURNS
from infinity_assets.stages.verdicts import DROP, KEEP

#: Raised when the same samples and edges give other verdicts.
DEDUPED_VERSION = 2

#: What a dropping edge says, by kind: the reason codes of this stage.
MEANINGS: Final[Mapping[str, str]] = {
    EXACT_PAIR: "the same pictures and conversation as",
    NEAR_PAIR: "near pictures, and the same or near words or boxes, as",
    SHARED_TURNS: "all its exchanges, about the same pictures, are in",
}


def decide(samples: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """One row for each sample, in its order, with the columns of ``deduped``.

    Args:
        samples: ``sample_id`` of the kept samples of ``unified``.
        edges: ``sample_id``, ``winner_id``, ``kind``, ``distance``, ``decides`` and ``detail`` of one
            source's ledger slice: at most one that decides for each sample. Of the others those with a
            detail tell which barred sample one stays in place of.
    """
    deciding = edges.filter("decides").select("sample_id", "winner_id", "kind", "distance")
    spared = (
        edges.filter(~pl.col("decides") & pl.col("detail").is_not_null())
        .sort("sample_id", "kind", "winner_id")
        .unique("sample_id", keep="first", maintain_order=True)
        .select("sample_id", stays=pl.format("stays in place of {}: {}", "winner_id", "detail"))
    )
    joined = samples.join(deciding, on="sample_id", how="left", maintain_order="left")
    joined = joined.join(spared, on="sample_id", how="left", maintain_order="left")
    dropped = pl.col("winner_id").is_not_null()
    meaning = pl.col("kind").replace_strict(MEANINGS, default=pl.col("kind"), return_dtype=pl.String)
    return joined.select(
        "sample_id",
        duplicate_of="winner_id",
        distance="distance",
        verdict=pl.when(dropped).then(pl.lit(DROP)).otherwise(pl.lit(KEEP)),
        reason="kind",
        detail=pl.when(dropped).then(pl.format("{} {}", meaning, "winner_id")).otherwise("stays"),
    )


def flips(
    before: pl.DataFrame, after: pl.DataFrame, edges: pl.DataFrame, policy_moved: bool
) -> dict[str, int]:
    """How many samples that were there before changed their verdict, by cause.

    Args:
        before: ``sample_id``, ``duplicate_of`` of the published version.
        after: the same of the new one, with ``detail``.
        edges: ``sample_id``, ``winner_id`` of every edge of the source that could drop.
        policy_moved: whether the policy of duplicates is another one now.

    Returns:
        Counts by ``dropped_<cause>`` and ``kept_<cause>``: ``policy``; ``earlier_one_came``;
        ``winner_barred`` (it is dropped for a cause of its own), ``winner_yields`` (to another one),
        ``winner_gone``.
    """
    both = before.join(after, on="sample_id", suffix="_now").filter(
        pl.col("duplicate_of").is_null() != pl.col("duplicate_of_now").is_null()
    )
    if both.is_empty():
        return {}
    still = edges.select("sample_id", duplicate_of="winner_id", joined=pl.lit(True)).unique()
    both = both.join(still, on=["sample_id", "duplicate_of"], how="left")
    cause = (
        pl.when(pl.lit(policy_moved))
        .then(pl.lit("policy"))
        .when(pl.col("duplicate_of").is_null())
        .then(pl.lit("earlier_one_came"))
        .when(pl.col("detail").is_not_null())
        .then(pl.lit("winner_barred"))
        .when("joined")
        .then(pl.lit("winner_yields"))
        .otherwise(pl.lit("winner_gone"))
    )
    verb = pl.when(pl.col("duplicate_of").is_null()).then(pl.lit("dropped")).otherwise(pl.lit("kept"))
    counted = both.group_by(pl.format("{}_{}", verb, cause).alias("flip")).len().sort("flip")
    return dict(counted.iter_rows())
