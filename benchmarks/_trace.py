"""Where CPU seconds go: exclusive process CPU time of named parts, in the main process and in workers.

Threads below a part (Lance, Polars) count for it. Every figure includes the tracer's own cost, a microsecond
a call.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

#: Part, module, function or ``Class.method``; a part inside another is taken out of it.
PARTS = (
    ("raw: list and hash files", "infinity_assets.stages.raw.manifest", "build_manifest"),
    ("unified: plan slices", "infinity_assets.stages.unified.stage", "_Work.read"),
    ("unified: plan pictures", "infinity_assets.stages.unified.stage", "_Work.decode"),
    ("unified: finalize", "infinity_assets.stages.unified.stage", "_Work.finalize"),
    ("unified: references, version", "infinity_assets.stages.unified.stage", "_Work.commit"),
    ("pool: waiting for workers", "infinity_assets.sharding.pool", "run_plan"),
    ("drafts: read, build rows", "infinity_assets.stages.unified.draft", "run_draft"),
    ("language identifier: load", "infinity_assets.stages.unified.text", "_identifier"),
    ("languages", "infinity_assets.stages.unified.text", "identify_languages"),
    ("tokenizer: load", "infinity_assets.stages.unified.text", "_encoding"),
    ("tokens", "infinity_assets.stages.unified.text", "count_tokens"),
    ("images: read, hash, build rows", "infinity_assets.stages.images.shard", "run_images"),
    ("images: decode and measure", "infinity_assets.stages.images.measure", "measure_images"),
    ("ledger", "infinity_assets.stages.duplicate_ledger.stage", "materialize_duplicate_ledger"),
    ("deduped", "infinity_assets.stages.deduped.stage", "materialize_deduped"),
    ("tagged", "infinity_assets.stages.tagged.stage", "materialize_tagged"),
    ("filtered", "infinity_assets.stages.filtered.stage", "materialize_filtered"),
    ("audit", "infinity_assets.quality.audit", "audit"),
    ("digests", "infinity_assets.store.digests", "row_digests"),
    ("small objects", "infinity_assets.store.objects", "Objects.put"),
    ("small objects", "infinity_assets.store.objects", "Objects.get"),
    ("small objects", "infinity_assets.store.objects", "Objects.children"),
    ("small objects", "infinity_assets.store.objects", "Objects.exists_prefix"),
    ("small objects", "infinity_assets.store.objects", "Objects._delete"),
    ("small objects", "infinity_assets.store.objects", "Objects.delete_prefix"),
    ("Lance: open", "lance", "dataset"),
    ("Lance: write", "lance.fragment", "write_fragments"),
    ("Lance: commit, preview", "lance", "LanceDataset.commit"),
    ("Lance: read", "lance", "LanceDataset.to_table"),
    ("Lance: read", "lance", "LanceScanner.to_table"),
    ("Dagster", "dagster", "JobDefinition.execute_in_process"),
)
WORKER_PARTS = {"drafts: read, build rows", "images: read, hash, build rows"}  #: the outermost of a worker

_spent: dict[str, float] = defaultdict(float)
_calls: dict[str, int] = defaultdict(int)
_stack: list[str] = []
_clock = [0.0]  #: process CPU time of the last switch


def install() -> None:
    """Import what the parts lie in, then time them; what is spent until now is the start."""
    in_worker = "__mp_main__" in sys.modules
    parts = [p for p in PARTS if not in_worker or not _main_only(p[1])]
    for _, module, _ in parts:
        import_module(module)
    if not in_worker:
        import_module("infinity_assets.definitions")
    for part, module, path in parts:
        _patch(part, module, path)
    _spent["start and imports"] += _switch(book=False)


def finish() -> None:
    """Write what this process spent, and what its workers spent beyond what they wrote themselves."""
    close_pools = import_module("infinity_assets.sharding.pool").close_pools
    _switch()
    close_pools()
    atexit.unregister(close_pools)
    _switch()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    _write({"children": usage.ru_utime + usage.ru_stime})


def read(folder: Path) -> tuple[dict[str, float], dict[str, float], dict[str, int]]:
    """CPU seconds by part of the main process and of all workers, and calls by part."""
    main: dict[str, float] = {}
    workers: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    children = 0.0
    for path in folder.glob("*.json"):
        found = json.loads(path.read_text())
        for part, number in found["calls"].items():
            calls[part] += number
        if "children" in found:
            main, children = found["spent"], found["children"]
            continue
        for part, seconds in found["spent"].items():
            workers[part] += seconds
    workers["the server: imports, models; exits"] = children - sum(workers.values())
    return main, dict(workers), dict(calls)


def _main_only(module: str) -> bool:
    return module == "dagster" or (module.startswith("infinity_assets.stages") and module.endswith(".stage"))


def _patch(part: str, module: str, path: str) -> None:
    holder: Any = sys.modules[module]
    *classes, name = path.split(".")
    for inner in classes:
        holder = getattr(holder, inner)
    original = getattr(holder, name)
    static = isinstance(holder.__dict__.get(name), staticmethod)
    wrapped = _timed(part, original)
    setattr(holder, name, staticmethod(wrapped) if static else wrapped)
    for other in list(sys.modules.values()):  # names that others imported
        if getattr(other, "__name__", "").startswith("infinity_assets") and not classes:
            for key, value in list(vars(other).items()):
                if value is original:
                    setattr(other, key, wrapped)


def _timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return function(*args, **kwargs)
        with _inside(part):
            result = function(*args, **kwargs)
        if part in WORKER_PARTS:
            _write({})
        return result

    return timed


class _inside:
    def __init__(self, part: str) -> None:
        self._part = part

    def __enter__(self) -> None:
        _switch()
        _calls[self._part] += 1
        _stack.append(self._part)

    def __exit__(self, *error: object) -> None:
        _switch()
        _stack.pop()


def _switch(book: bool = True) -> float:
    """Book the time since the last switch to the part on top; gives that time."""
    now = time.process_time()
    passed, _clock[0] = now - _clock[0], now
    if book:
        _spent[_stack[-1] if _stack else "rest of this process"] += passed
    return passed


def _write(more: dict[str, float]) -> None:
    _switch()
    folder = Path(os.environ["INFINITY_TRACE"])
    document = {"spent": _spent, "calls": _calls, **more}
    (folder / f"{os.getpid()}.json").write_text(json.dumps(document))


def rows(folder: Path) -> Iterator[tuple[str, str, float, int]]:
    """Process, part, CPU seconds and calls, the costliest first."""
    main, workers, calls = read(folder)
    found = [("main", part, seconds) for part, seconds in main.items()]
    found += [("workers", part, seconds) for part, seconds in workers.items()]
    for process, part, seconds in sorted(found, key=lambda row: -row[2]):
        yield process, part, seconds, calls.get(part, 0)
