"""What Dagster costs a backfill of many small partitions, outside of the project's own code.

Run: ``python -m benchmarks.backfill [--partitions N] [--launched N]``. N text sources of one row each are
read, compared and decided. In CPU-seconds of all processes, with row contracts judged by Arrow (the setting
for many small tables) and one worker:

1. *plain*: the stages are called one after the other, in one process: the project's own code;
2. *backfill*: ``infinity backfill`` does the same: a run for each source and phase, in one process;
3. *apart* and *joined*: four stages of each source again, as two runs and as one: what fewer runs save where
   they share a process;
4. *launched*: some sources, each run in a process of its own, as Dagster's daemon launches it, beside the
   same stage *alone* in such a process. The difference is the fixed cost of a run: Dagster, the code
   location, its events. Dagster's files are there already, as they are but once.

So a coarser run pays where each run is a process or a pod, and hardly in ``infinity backfill``.
``launched_great_expectations`` tells what the other judge of contracts adds to each process.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks._common import report, spend, write_source
from infinity_assets.orchestration.instance import open_instance

TARGET = 2.0  #: CPU-seconds of a run

PLAIN = """
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.stages.deduped.stage import materialize_deduped
from infinity_assets.stages.duplicate_ledger.stage import materialize_duplicate_ledger
from infinity_assets.stages.filtered.stage import materialize_filtered
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.stages.tagged.stage import materialize_tagged
from infinity_assets.stages.unified.stage import materialize_unified
platform = Platform(Settings())
names = list(platform.catalogue)
for name in names:
    materialize_raw(platform, name, "plain")
    materialize_unified(platform, name, "plain")
materialize_duplicate_ledger(platform, names[0], "plain")
for name in names:
    materialize_deduped(platform, name, "plain")
    materialize_tagged(platform, name, "plain")
    materialize_filtered(platform, name, "plain")
"""

ALONE = """
import sys
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.stages.raw.stage import materialize_raw
materialize_raw(Platform(Settings()), sys.argv[1], "alone")
"""

IN_DAGSTER = """
import json, os, sys
from infinity_assets.orchestration.instance import open_instance
from infinity_assets.orchestration.progress import nobody
from infinity_assets.orchestration.runner import Runner
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
platform = Platform(Settings())
work, names = json.loads(sys.argv[1]), sys.argv[2].split(",")
with open_instance(platform.settings.home) as instance:
    runner = Runner(platform, nobody, instance)
    for name in names:
        for stages in work:
            assert runner.run(tuple(stages), name).ok, name
"""

READ = ["raw", "images", "unified"]
DECIDED = ["deduped", "tagged", "filtered"]
STEPS = 5  #: of a source: raw, images and unified, deduped, tagged, filtered; the ledger is one of all


def main() -> None:
    """Print each side and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--launched", type=int, default=5, help="runs that get a process of their own")
    args = parser.parse_args()
    if args.launched > args.partitions:
        parser.error("no more launched runs than partitions")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        names = _draw(root / "catalogue", args.partitions)

        def cpu(side: str, *command: str, contracts: str = "arrow") -> float:
            environment = {
                "INFINITY_HOME": str(root / side),
                "INFINITY_CATALOGUE": str(root / "catalogue"),
                "INFINITY_WORKERS": "1",
                "INFINITY_CONTRACTS": contracts,
            }
            spent = spend([sys.executable, *command], environment=environment)
            if spent.code != 0:
                raise RuntimeError(f"{side}: exit code {spent.code}: {spent.output[-2000:]}")
            print(f"{side}: {spent.figures()}", flush=True)
            return spent.cpu_s

        def launch(side: str, work: list[list[str]], chosen: list[str], contracts: str = "arrow") -> float:
            return cpu(side, "-c", IN_DAGSTER, json.dumps(work), ",".join(chosen), contracts=contracts)

        plain = cpu("plain", "-c", PLAIN)
        stages = ",".join([*READ, "duplicate_ledger", *DECIDED])
        backfill = cpu("backfill", "-m", "infinity_assets.cli", "backfill", "--stages", stages)
        # These compute nothing new, and record it all.
        apart = launch("backfill", [["raw"], DECIDED], names)
        joined = launch("backfill", [["raw", *DECIDED]], names)
        first = names[: args.launched]
        with open_instance(root / "launched"):
            pass
        launched = sum(launch("launched", [["raw"]], [name]) for name in first) / len(first)
        alone = sum(cpu("alone", "-c", ALONE, name) for name in first) / len(first)
        judged = launch("launched", [["raw"]], first[:1], "great_expectations")
    runs = 2 * args.partitions + 1
    in_one = (backfill - plain) / runs
    fixed = launched - alone
    figures = {
        "partitions": args.partitions,
        "plain_cpu_s": round(plain, 2),
        "backfill_cpu_s": round(backfill, 2),
        "backfill_runs": runs,
        "outside_s_per_run": round(in_one, 4),
        "outside_s_per_partition_and_stage": round((backfill - plain) / (args.partitions * STEPS + 1), 4),
        "two_runs_as_one_save_s": round((apart - joined) / args.partitions, 4),
        "launched_s_per_run": round(launched, 3),
        "stage_alone_s": round(alone, 3),
        "fixed_s_per_launched_run": round(fixed, 3),
        "launched_great_expectations_s": round(judged, 3),
    }
    met = fixed < TARGET and in_one < TARGET
    why = "" if met else f"{fixed:.2f} CPU-s of a launched run, {in_one:.2f} in one process"
    report("backfill", figures, f"under {TARGET} CPU-s a run outside of the project's own code", met, why)


def _draw(catalogue: Path, count: int) -> list[str]:
    """Sources of one row: the work is as small as it gets."""
    names = [f"source_{i:03d}" for i in range(count)]
    for name in names:
        (catalogue / name).mkdir(parents=True)
        talk = [
            {"from": "human", "value": f"What is {name} about?"},
            {"from": "gpt", "value": f"It says that it is about {name} and nothing else."},
        ]
        row = [{"id": "1", "conversations": talk}]
        (catalogue / name / "rows.json").write_text(json.dumps(row), encoding="utf-8")
        write_source(catalogue, name, catalogue / name, {"format": "llava"}, category="text")
    return names


if __name__ == "__main__":
    main()
