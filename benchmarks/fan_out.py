"""How well the shards of a step spread over two cores.

Run: ``python -m benchmarks.fan_out [--rows N] [--turns N]``. Eight drafts of texts (read, normalize, hash,
count tokens, tell the language) are run by the pool as a step runs them: with one worker and with two. Beside
it, turn about: the same shards in bare processes without a pool, plan or progress: one, then two with half
each. That is what this machine can do, where two cores share caches, memory and whatever else runs. The
best turns count. Workers are started beforehand, as they are from a run's first partition on.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.synchronize
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks._common import report, write_source
from benchmarks._made import write_texts
from infinity_assets.platform import Platform
from infinity_assets.readers import parse_options
from infinity_assets.settings import Settings
from infinity_assets.sharding.plan import Plan, Task
from infinity_assets.sharding.pool import close_pools, run_plan
from infinity_assets.sharding.worker import run_task
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.stages.unified.draft import draft_key, payload_of, source_files

SHARDS = 8
CORES = 2
TARGET = 0.85

SPAWN = multiprocessing.get_context("spawn")


def main() -> None:
    """Print each turn and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000, help="rows of a shard")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, plan = _plan(Path(folder), args.rows)
        sides: dict[str, Callable[[], float]] = {
            "pool_1": lambda: _pool(root, plan, 1),
            "pool_2": lambda: _pool(root, plan, CORES),
            "bare_1": lambda: _bare(root, plan.tasks, 1),
            "bare_2": lambda: _bare(root, plan.tasks, CORES),
        }
        _pool(root, plan, 1)
        _pool(root, plan, CORES)
        walls: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(args.turns):
            for name, side in sides.items():
                walls[name].append(side())
            print({name: round(found[-1], 2) for name, found in walls.items()}, flush=True)
        close_pools()
    best = {name: min(found) for name, found in walls.items()}
    efficiency = best["pool_1"] / (CORES * best["pool_2"])
    possible = best["bare_1"] / (CORES * best["bare_2"])
    figures = {
        "shards": SHARDS,
        "rows_per_shard": args.rows,
        **{f"{name}_s": round(wall, 3) for name, wall in best.items()},
        "efficiency": round(efficiency, 3),
        "bare_efficiency": round(possible, 3),
    }
    why = "" if efficiency >= TARGET else f"{efficiency:.0%}; bare processes reach {possible:.0%} here"
    report(
        "fan_out",
        figures,
        f"two workers at {TARGET:.0%} or more of twice the speed of one",
        efficiency >= TARGET,
        why,
    )


def _plan(folder: Path, rows: int) -> tuple[str, Plan]:
    """A store with ``raw`` of one source, and the plan of its drafts: one shard for each of its files."""
    files = folder / "texts"
    files.mkdir()
    for i in range(SHARDS):
        write_texts(files / f"{i}.jsonl", i * rows, rows)
    write_source(folder / "catalogue", "texts", files, {"format": "alpaca"})
    platform = Platform(Settings(home=folder / "home", catalogue=folder / "catalogue"))
    raw = materialize_raw(platform, "texts", "benchmark").published
    source = platform.catalogue["texts"]
    spec, base = source.spec, source.file.parent
    reader, options = parse_options(spec.reader)
    pieces = list(reader.plan(source_files(platform.store, spec, base, raw.version), options))
    if len(pieces) != SHARDS:
        raise ValueError(f"{len(pieces)} shards: fewer rows, so that a file is one")
    payload = payload_of(spec, base, raw)
    tasks = [Task("draft", draft_key(spec, piece), payload | {"slice": asdict(piece)}) for piece in pieces]
    return platform.store.root, Plan("unified", "texts", tuple(tasks))


def _pool(root: str, plan: Plan, workers: int) -> float:
    def died(task: Task, why: str) -> Sequence[Task]:
        raise RuntimeError(f"{task.key}: {why}")

    began = time.perf_counter()
    run_plan(root, plan, workers=workers, timeout_s=600, on_death=died)
    return time.perf_counter() - began


def _bare(root: str, tasks: Sequence[Task], processes: int) -> float:
    """Wall time from when all processes are ready to when the last one has done its share."""
    ready = SPAWN.Barrier(processes + 1)
    shares = [tasks[i::processes] for i in range(processes)]
    started = [SPAWN.Process(target=_run_share, args=(root, share, ready)) for share in shares]
    for process in started:
        process.start()
    ready.wait()
    began = time.perf_counter()
    for process in started:
        process.join()
    wall = time.perf_counter() - began
    if any(process.exitcode for process in started):
        raise RuntimeError("a bare process failed; see above")
    return wall


def _run_share(root: str, tasks: Sequence[Task], ready: multiprocessing.synchronize.Barrier) -> None:
    import infinity_assets.sharding.preload  # noqa: F401, PLC0415 - what the pool's workers have loaded as well

    ready.wait()
    for task in tasks:
        run_task(root, task)


if __name__ == "__main__":
    main()
