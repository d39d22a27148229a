"""What loading the code location costs: every process that Dagster starts does it before any work.

Run: ``python -m benchmarks.code_location [--sources N]``. A fresh process imports the definitions, builds
them over a catalogue of N sources and resolves every asset and job, as Dagster's code server and each run do.
Beside it, ``import dagster`` alone, below which no code location can be. The best of three counts,
since what else the machine does only adds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks._common import Spent, report, spend, write_source

TARGET_S = 2.5
TURNS = 3

#: Loaded where they are used, and never by the code location.
LAZY = ("torch", "great_expectations", "dbt", "streamlit", "kubernetes", "vllm", "onnxruntime", "lance")

LOAD = """
import json, sys
from infinity_assets.definitions import defs
repository = defs().get_repository_def()
jobs = len(repository.get_all_jobs())
print(json.dumps({"jobs": jobs, "heavy": sorted(set(sys.argv[1:]) & set(sys.modules))}))
"""


def main() -> None:
    """Print each turn and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=200, help="sources of the catalogue")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for i in range(args.sources):
            write_source(root / "catalogue", f"source_{i}", root, {"format": "llava"})
        environment = {"INFINITY_HOME": str(root / "home"), "INFINITY_CATALOGUE": str(root / "catalogue")}
        loads, floors = [], []
        for _ in range(TURNS):
            floors.append(_run("import dagster", [], environment))
            loads.append(_run(LOAD, LAZY, environment))
            print(f"dagster alone {floors[-1].figures()}, code location {loads[-1].figures()}", flush=True)
    told = json.loads(loads[-1].output.splitlines()[-1])
    load = min(loads, key=lambda spent: spent.wall_s)
    floor = min(floors, key=lambda spent: spent.wall_s)
    figures = {"sources": args.sources, **told, **load.figures(), **floor.figures("dagster_alone_")}
    failed = [f"loaded without need: {', '.join(told['heavy'])}"] if told["heavy"] else []
    if load.wall_s >= TARGET_S:
        failed.append(f"{load.wall_s:.2f} s of wall time, {load.cpu_s:.2f} s of CPU")
    report("code_location", figures, f"under {TARGET_S} s of wall time", not failed, "; ".join(failed))


def _run(code: str, arguments: tuple[str, ...] | list[str], environment: dict[str, str]) -> Spent:
    spent = spend([sys.executable, "-c", code, *arguments], environment=environment)
    if spent.code != 0:
        raise RuntimeError(f"exit code {spent.code}: {spent.output[-2000:]}")
    return spent


if __name__ == "__main__":
    main()
