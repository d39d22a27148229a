"""Materializing ``benchmark_fingerprints``: one benchmark, all of its items."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from infinity_assets.platform import Platform
from infinity_assets.stages.benchmark_fingerprints.items import (
    FINGERPRINT_VERSION,
    IMAGE_COLUMNS,
    UNIFIED_COLUMNS,
    fingerprint_items,
)
from infinity_assets.stages.benchmark_fingerprints.schema import BENCHMARK_FINGERPRINTS
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.publish import StageResult, code_version, publish, verdict_stats
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.digests import key_of


def materialize_benchmark_fingerprints(platform: Platform, benchmark: str, run_id: str) -> StageResult:
    """Publish the fingerprints of a benchmark. One that did not change is not read.

    Raises:
        StoreError: if ``unified`` or ``images`` of it was never published.
        CriticalCheckFailed: nothing is committed then.
        CommitConflict: another run published it meanwhile.
    """
    store = platform.store
    unified = store.require(UNIFIED, benchmark)
    images = store.require(IMAGES, benchmark)
    inputs = {"unified": unified.data_version, "images": images.data_version}
    transaction = store.begin(BENCHMARK_FINGERPRINTS, benchmark)
    key = key_of(BENCHMARK_FINGERPRINTS.name, FINGERPRINT_VERSION, sorted(inputs.items()))
    shard = transaction.have(key)
    if shard is None:
        pictures = pl.DataFrame(pl.from_arrow(images.read(list(IMAGE_COLUMNS), "signature IS NOT NULL")))
        table = fingerprint_items(unified.read(list(UNIFIED_COLUMNS)), pictures)
        frame = pl.DataFrame(pl.from_arrow(table.select(["pixel_hashes", "media", "passages"])))
        counts = {
            "pictures": _total(frame["pixel_hashes"].list.len()),
            "pictures_unread": _total(frame["media"] - frame["pixel_hashes"].list.len()),
            "long_texts": _total(frame["passages"].list.len()),
        }
        shard = transaction.stage(key, table, verdict_stats(table, "item_id") | {"counts": counts})
    return publish(
        transaction,
        [shard],
        rows_in=unified.rows,
        run_id=run_id,
        engine=platform.settings.contracts,
        inputs=inputs,
        made_by=code_version(BENCHMARK_FINGERPRINTS.version, *FINGERPRINT_VERSION),
        notes=dict(shard.stats["counts"]),
    )


def _total(values: Iterable[int]) -> int:
    return int(sum(values))
