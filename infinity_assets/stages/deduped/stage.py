"""Materializing ``deduped``, shard by shard of ``unified``: only shards whose edges changed are written."""

from __future__ import annotations

import polars as pl

from infinity_assets.platform import Platform
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.deduped.verdict import DEDUPED_VERSION, DROPPING, decide
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.publish import StageResult, publish, verdict_stats
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.digests import key_of, table_digest
from infinity_assets.store.tables import Published, Shard


def materialize_deduped(platform: Platform, source: str, run_id: str) -> StageResult:
    """Publish the verdicts of a source.

    Raises:
        StoreError: if ``unified`` or ``duplicate_ledger`` was never published.
        CriticalCheckFailed: nothing is committed then.
        CommitConflict: another run published the source meanwhile.
    """
    store = platform.store
    unified = store.require(UNIFIED, source)
    ledger = store.require(DUPLICATE_LEDGER, source)
    transaction = store.begin(DEDUPED, source)
    edges = pl.DataFrame(pl.from_arrow(ledger.read(["sample_id", "winner_id", "kind"])))
    shards = []
    for part in unified.shards:
        # Without edges nothing needs to be read to know that a shard is as it was.
        samples = None if edges.is_empty() else _kept(unified, part)
        mine = edges if samples is None else edges.join(samples, on="sample_id", how="semi")
        told = table_digest(mine.sort("sample_id", "kind").to_arrow())
        key = key_of(DEDUPED.name, DEDUPED_VERSION, DROPPING, part.key, part.digest, told)
        shard = transaction.have(key)
        if shard is None:
            samples = _kept(unified, part) if samples is None else samples
            table = decide(samples, mine).to_arrow().cast(DEDUPED.schema)
            shard = transaction.stage(key, table, verdict_stats(table, DEDUPED.key))
        shards.append(shard)
    kept = sum(part.stats["verdicts"].get(KEEP, 0) for part in unified.shards)
    return publish(
        transaction,
        shards,
        rows_in=kept,
        run_id=run_id,
        inputs={"unified": unified.data_version, "duplicate_ledger": ledger.data_version},
    )


def _kept(unified: Published, part: Shard) -> pl.DataFrame:
    """Ids of the kept samples of one shard, in their order."""
    rows = pl.DataFrame(pl.from_arrow(unified.read_shard(part, ["sample_id", "verdict"])))
    return rows.filter(pl.col("verdict") == KEEP).select("sample_id")
