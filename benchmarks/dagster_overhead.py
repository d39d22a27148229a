"""What Dagster itself costs for each partition and stage: the same stages with it and without it.

``python -m benchmarks.dagster_overhead``: draws a few tiny sources, runs ``ingest`` and ``converge``
over them by plain calls, then through Dagster with an SQLite instance into another home, and prints both. The
last line is JSON: seconds of wall time for each partition of each stage, and the overhead.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks._common import report, write_source
from infinity_assets.definitions import platform_defs
from infinity_assets.orchestration.instance import open_instance
from infinity_assets.orchestration.runner import QUIET
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.stages.deduped.stage import materialize_deduped
from infinity_assets.stages.duplicate_ledger.stage import materialize_duplicate_ledger
from infinity_assets.stages.filtered.stage import materialize_filtered
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.stages.tagged.stage import materialize_tagged
from infinity_assets.stages.unified.stage import materialize_unified

SOURCES = 5
STAGES = 6  # steps: raw, images and unified, duplicate_ledger, deduped, tagged, filtered
JOBS = ("ingest", "converge")
PLAIN: tuple[Callable[..., object], ...] = (
    materialize_raw,
    materialize_unified,
    materialize_duplicate_ledger,
    materialize_deduped,
    materialize_tagged,
    materialize_filtered,
)


def draw(folder: Path) -> None:
    """Text sources of three rows each: the work is as small as it gets."""
    for i in range(SOURCES):
        name = f"source_{i}"
        (folder / name).mkdir(parents=True)
        rows = [
            {
                "id": str(k),
                "conversations": [
                    {"from": "human", "value": f"What is question {k} of source {i} about?"},
                    {"from": "gpt", "value": f"It is about the number {k}, as source {i} says."},
                ],
            }
            for k in range(3)
        ]
        (folder / name / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
        write_source(folder, name, folder / name, {"format": "llava"}, category="text")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw(root / "catalogue")
        warm = Platform(Settings(home=root / "warm", catalogue=root / "catalogue"))
        for stage in PLAIN:  # imports and the first process pool are paid here
            stage(warm, "source_0", "bench")

        plain = Platform(Settings(home=root / "plain", catalogue=root / "catalogue"))
        began = time.perf_counter()
        for name in plain.catalogue:
            for stage in PLAIN:
                stage(plain, name, "bench")
        plain_s = time.perf_counter() - began

        began = time.perf_counter()
        with_dagster = Platform(Settings(home=root / "dagster", catalogue=root / "catalogue"))
        definitions = platform_defs(with_dagster)
        jobs = [definitions.resolve_job_def(name) for name in JOBS]
        load_s = time.perf_counter() - began
        began = time.perf_counter()
        with open_instance(with_dagster.settings.home) as instance:
            for name in with_dagster.catalogue:
                for job in jobs:
                    result = job.execute_in_process(run_config=QUIET, instance=instance, partition_key=name)
                    assert result.success
        dagster_s = time.perf_counter() - began
    steps = SOURCES * STAGES
    overhead = dagster_s - plain_s
    print(f"{SOURCES} sources x {STAGES} steps, {len(JOBS)} runs each; definitions load in {load_s:.2f} s")
    print(f"plain calls {plain_s:.2f} s, through Dagster {dagster_s:.2f} s")
    figures = {
        "plain_s_per_step": round(plain_s / steps, 4),
        "dagster_s_per_step": round(dagster_s / steps, 4),
        "overhead_s_per_step": round(overhead / steps, 4),
        "overhead_s_per_source": round(overhead / SOURCES, 4),
        "definitions_s": round(load_s, 3),
    }
    report("dagster_overhead", figures, "none: it is stated", None, "there is no limit to meet")


if __name__ == "__main__":
    main()
