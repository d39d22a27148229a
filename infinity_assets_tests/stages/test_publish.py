"""What publishing remembers beside rows. Without these, a source that changed its nature goes unnoticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.publish import StageResult, kept_checks, publish, verdict_stats
from infinity_assets.store.tables import Store

DRIFT = {"drop_rate_drift", "language_drift"}


def published(store: Store, run_id: str, dropped: int, languages: dict[str, int]) -> StageResult:
    """200 rows of a table whose contract watches shares, so many of them dropped."""
    lost: dict[str, Any] = {"verdict": "drop", "reason": "near_pair", "duplicate_of": "s-" + "0" * 32}
    rows = [
        {"sample_id": f"s-{i:032x}", "verdict": "keep"} | (lost | {"distance": 1} if i < dropped else {})
        for i in range(200)
    ]
    table = pa.Table.from_pylist(rows, DEDUPED.schema)
    transaction = store.begin(DEDUPED, "s")
    shard = transaction.stage(run_id, table, verdict_stats(table, DEDUPED.key))
    return publish(
        transaction,
        [shard],
        rows_in=200,
        run_id=run_id,
        engine="arrow",
        inputs={},
        notes={"languages": languages},
    )


def kept(store: Store, run: int) -> dict[str, bool]:
    found = kept_checks(store, DEDUPED.name, "s")[run]["checks"]
    return {check["name"]: check["passed"] for check in found if check["name"] in DRIFT}


def test_shares_that_moved_are_told_and_kept_with_the_other_checks(tmp_path: Path) -> None:
    """The history of checks, and every page made of it, has drift too; a warning commits all the same."""
    store = Store(tmp_path)
    published(store, "first", 4, {"en": 190, "zh": 10})
    assert kept(store, -1) == dict.fromkeys(DRIFT, True)
    moved = published(store, "second", 60, {"en": 120, "zh": 80})
    assert moved.committed
    told = {check.name: check for check in moved.checks}
    assert "near_pair moved by +28.0%" in told["drop_rate_drift"].description
    assert told["language_drift"].figures["code"] in {"en", "zh"}
    assert kept(store, -1) == dict.fromkeys(DRIFT, False)
    published(store, "third", 60, {"en": 120, "zh": 80})
    assert kept(store, -1) == dict.fromkeys(DRIFT, True)
