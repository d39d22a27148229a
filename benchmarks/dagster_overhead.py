"""What Dagster itself costs for each partition and stage: the same stages with it and without it.

``python -m benchmarks.dagster_overhead``: draws a few tiny sources, runs ``ingest`` and ``converge``
over them by plain calls, then through Dagster with an SQLite instance into another home, and prints both. The
first source of each side pays for imports, pools and empty files, and is not counted. The last line is JSON:
seconds of wall time and CPU-seconds of this process for each partition of each stage, the overhead, and how
often SQLite was asked.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy

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

SOURCES = 6  #: the first is not counted
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


class _Clock:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


def _count_sql() -> Counter[str]:
    """Statements and commits of all engines from now on."""
    asked: Counter[str] = Counter()

    def executed(*_: Any) -> None:
        asked["statements"] += 1

    def committed(*_: Any) -> None:
        asked["commits"] += 1

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", executed)
    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", committed)
    return asked


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw(root / "catalogue")
        plain = Platform(Settings(home=root / "plain", catalogue=root / "catalogue"))
        first, *names = plain.catalogue
        for stage in PLAIN:
            stage(plain, first, "bench")
        clock = _Clock()
        for name in names:
            for stage in PLAIN:
                stage(plain, name, "bench")
        plain_s, plain_cpu = clock.read()

        clock = _Clock()
        with_dagster = Platform(Settings(home=root / "dagster", catalogue=root / "catalogue"))
        definitions = platform_defs(with_dagster)
        jobs = [definitions.resolve_job_def(name) for name in JOBS]
        load_s, _ = clock.read()
        clock = _Clock()
        with open_instance(with_dagster.settings.home) as instance:

            def run(name: str) -> None:
                for job in jobs:
                    result = job.execute_in_process(run_config=QUIET, instance=instance, partition_key=name)
                    assert result.success

            run(first)
            _, first_cpu = clock.read()
            asked = _count_sql()
            clock = _Clock()
            for name in names:
                run(name)
            dagster_s, dagster_cpu = clock.read()
    steps = len(names) * STAGES
    print(f"{len(names)} sources x {STAGES} steps, {len(JOBS)} runs each; definitions load in {load_s:.2f} s")
    print(f"plain calls {plain_s:.2f} s, of CPU {plain_cpu:.2f}")
    print(f"through Dagster {dagster_s:.2f} s, of CPU {dagster_cpu:.2f}")
    figures = {
        "plain_s_per_step": round(plain_s / steps, 4),
        "dagster_s_per_step": round(dagster_s / steps, 4),
        "overhead_s_per_step": round((dagster_s - plain_s) / steps, 4),
        "overhead_s_per_source": round((dagster_s - plain_s) / len(names), 4),
        "overhead_cpu_s_per_step": round((dagster_cpu - plain_cpu) / steps, 4),
        "first_source_cpu_s": round(first_cpu, 2),
        "sql_statements_per_step": round(asked["statements"] / steps, 1),
        "sql_commits_per_step": round(asked["commits"] / steps, 1),
        "definitions_s": round(load_s, 3),
    }
    report("dagster_overhead", figures, "none: it is stated", None, "there is no limit to meet")


if __name__ == "__main__":
    main()
