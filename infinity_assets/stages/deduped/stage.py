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
        rows = pl.DataFrame(pl.from_arrow(unified.read_shard(part, ["sample_id", "verdict"])))
        samples = rows.filter(pl.col("verdict") == KEEP).select("sample_id")
        mine = edges.join(samples, on="sample_id", how="semi").sort("sample_id", "kind")
        key = key_of(
            DEDUPED.name, DEDUPED_VERSION, DROPPING, part.key, part.digest, table_digest(mine.to_arrow())
        )
        shard = transaction.have(key)
        if shard is None:
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
