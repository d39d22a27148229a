"""Materializing ``duplicate_ledger``: all samples compared, each source's slice committed on its own.

The ledger of one source depends on all others, so the computation is the same whoever asks, and idempotent. A
source that failed takes part with its last published version; one that was never published takes no part.
"""

from __future__ import annotations

import polars as pl

from infinity_assets.errors import CommitConflict
from infinity_assets.platform import Platform
from infinity_assets.stages.duplicate_ledger.edges import LEDGER_VERSION, exact_pairs
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.publish import StageResult, publish, verdict_stats
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.digests import key_of, table_digest
from infinity_assets.store.tables import Published

#: Where the state in which every slice was up to date is remembered: a backfill compares once, not once for
#: each source. It names the slices too, so that a slice published by an older comparison voids it.
SETTLED = "_ledger/settled"

#: How often the whole is computed again when another run published a slice meanwhile.
TRIES = 5


def materialize_duplicate_ledger(
    platform: Platform, source: str, run_id: str
) -> tuple[StageResult, dict[str, StageResult]]:
    """Publish the slices of the ledger that changed.

    Returns:
        The result of ``source``, and the results of other sources whose slice changed with it.

    Raises:
        StoreError: if ``unified`` of the source was never published.
        CommitConflict: if other runs kept winning.
    """
    platform.store.require(UNIFIED, source)
    results: dict[str, StageResult] = {}
    for attempt in range(TRIES):
        try:
            _publish_slices(platform, source, run_id, results)
            break
        except CommitConflict:
            if attempt == TRIES - 1:
                raise
    return results.pop(source), results


def _publish_slices(platform: Platform, source: str, run_id: str, results: dict[str, StageResult]) -> None:
    """One attempt; what it publishes before a conflict is in ``results`` all the same."""
    store = platform.store
    published = {name: store.published(UNIFIED, name) for name in platform.catalogue}
    present = {name: found for name, found in published.items() if found is not None}
    transactions = {name: store.begin(DUPLICATE_LEDGER, name) for name in present}
    versions = {name: t.base.data_version if t.base else None for name, t in transactions.items()}
    inputs = {f"unified/{name}": found.data_version for name, found in present.items()}
    settled = store.objects.get(SETTLED) == _state(platform, inputs, versions).encode()
    edges = None if settled else exact_pairs(_fingerprints(platform, present))
    for name, transaction in transactions.items():
        if edges is None:
            if name != source or transaction.base is None:
                continue
            shard = transaction.base.shards[0]
        else:
            slice_ = edges.filter(pl.col("source") == name).drop("source").to_arrow()
            slice_ = slice_.cast(DUPLICATE_LEDGER.schema)
            key = key_of(DUPLICATE_LEDGER.name, LEDGER_VERSION, name, table_digest(slice_))
            known = transaction.base is not None and [s.key for s in transaction.base.shards] == [key]
            if known and name != source:
                continue
            shard = transaction.stage(key, slice_, verdict_stats(slice_, DUPLICATE_LEDGER.key))
        results[name] = publish(
            transaction,
            [shard],
            rows_in=shard.rows,
            run_id=run_id,
            inputs=inputs,
            notes={"sources_compared": len(present)},
        )
        versions[name] = results[name].published.data_version
    store.objects.put(SETTLED, _state(platform, inputs, versions).encode())


def _state(platform: Platform, inputs: dict[str, str], slices: dict[str, str | None]) -> str:
    """A key of everything that the slices follow from, and of the slices."""
    order = [
        (name, source.spec.priority, source.spec.category) for name, source in platform.catalogue.items()
    ]
    return key_of("settled", LEDGER_VERSION, order, sorted(inputs.items()), sorted(slices.items()))


def _fingerprints(platform: Platform, published: dict[str, Published]) -> pl.DataFrame:
    """Content hashes of every kept sample.

    Evaluation items are left out: a benchmark neither drops a training sample here nor is dropped; meeting
    one is contamination, which is another question.
    """
    frames = []
    for name, found in published.items():
        spec = platform.catalogue[name].spec
        if spec.category == "evaluation":
            continue
        rows = pl.DataFrame(pl.from_arrow(found.read(["sample_id", "content_hash"], "verdict = 'keep'")))
        frames.append(rows.with_columns(source=pl.lit(name), priority=pl.lit(spec.priority, pl.Int64)))
    if not frames:
        text = {"sample_id": pl.String, "content_hash": pl.String, "source": pl.String, "priority": pl.Int64}
        return pl.DataFrame(schema=text)
    return pl.concat(frames)
