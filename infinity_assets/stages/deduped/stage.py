"""Materializing ``deduped``, shard by shard of ``unified``: only shards whose edges changed are written."""

from __future__ import annotations

import polars as pl

from infinity_assets.platform import Platform
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.deduped.verdict import DEDUPED_VERSION, MEANINGS, decide, flips
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.duplicate_ledger.stage import DECISIONS
from infinity_assets.stages.publish import StageResult, code_version, publish, verdict_stats
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.digests import key_of, table_digest
from infinity_assets.store.tables import Published, Shard, Transaction


def materialize_deduped(platform: Platform, source: str, run_id: str) -> StageResult:
    """Publish the verdicts of a source.

    The notes hold ``flips``: how many samples changed their verdict since the published version, by cause.

    Raises:
        StoreError: if ``unified`` or ``duplicate_ledger`` was never published.
        CriticalCheckFailed: nothing is committed then.
        CommitConflict: another run published the source meanwhile.
    """
    store = platform.store
    unified = store.require(UNIFIED, source)
    ledger = store.require(DUPLICATE_LEDGER, source)
    transaction = store.begin(DEDUPED, source)
    edges = _frame(ledger.read(DECISIONS, "decides OR detail IS NOT NULL"))
    shards = []
    written: list[pl.DataFrame] = []
    for part in unified.shards:
        # Without edges nothing needs to be read to know that a shard is as it was.
        samples = None if edges.is_empty() else _kept(unified, part)
        mine = edges if samples is None else edges.join(samples, on="sample_id", how="semi")
        told = table_digest(mine.sort("sample_id", "kind", "winner_id").to_arrow())
        key = key_of(DEDUPED.name, DEDUPED_VERSION, part.key, part.digest, told)
        shard = transaction.have(key)
        if shard is None:
            samples = _kept(unified, part) if samples is None else samples
            decided = decide(samples, mine)
            written.append(decided.select("sample_id", "duplicate_of", "detail"))
            table = decided.to_arrow().cast(DEDUPED.schema)
            shard = transaction.stage(key, table, verdict_stats(table, DEDUPED.key))
        shards.append(shard)
    kept = sum(part.stats["verdicts"].get(KEEP, 0) for part in unified.shards)
    policy = ledger.inputs["policy"]
    return publish(
        transaction,
        shards,
        rows_in=kept,
        run_id=run_id,
        engine=platform.settings.contracts,
        # What is read of the ledger: edges that drop nothing may come and go.
        inputs={"unified": unified.data_version, "duplicate_ledger": ledger.notes["decisions"]},
        made_by=code_version(DEDUPED.version, DEDUPED_VERSION),
        notes={"policy": policy, "flips": _flips(transaction, shards, written, ledger, policy)},
        beside=True,
    )


def _flips(
    transaction: Transaction, shards: list[Shard], written: list[pl.DataFrame], ledger: Published, policy: str
) -> dict[str, int]:
    base = transaction.base
    if base is None or not written:
        return {}
    stay = {shard.key for shard in shards}
    gone = [shard for shard in base.shards if shard.key not in stay]
    before = [_frame(base.read_shard(shard, ["sample_id", "duplicate_of"])) for shard in gone]
    if not before:
        return {}
    kinds = ", ".join(f"'{kind}'" for kind in MEANINGS)
    edges = _frame(ledger.read(["sample_id", "winner_id"], f"kind IN ({kinds})"))
    return flips(pl.concat(before), pl.concat(written), edges, base.notes.get("policy") != policy)


def _kept(unified: Published, part: Shard) -> pl.DataFrame:
    """Ids of the kept samples of one shard, in their order."""
    rows = _frame(unified.read_shard(part, ["sample_id", "verdict"]))
    return rows.filter(pl.col("verdict") == KEEP).select("sample_id")


def _frame(table: object) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table))
