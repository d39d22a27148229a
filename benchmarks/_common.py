"""What the benchmarks share: where real data lies, what a process and its children cost, how to say it."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]

#: Where real data lies unless an argument says otherwise: beside the repository.
REAL_DATA = REPOSITORY.parent / "shared" / "data" / "real"

POLL_S = 0.05
PR_SET_CHILD_SUBREAPER = 36  #: of ``prctl(2)``


@dataclass(frozen=True, slots=True)
class Spent:
    """What a command and all processes below it cost."""

    cpu_s: float  #: user and system
    wall_s: float
    peak_rss_mb: float  #: largest sum of resident memory at any moment; shared pages count in each process
    peak_pss_mb: float  #: the same, shared pages counted once
    output: str
    code: int

    def figures(self, prefix: str = "") -> dict[str, float]:
        """The figures, rounded, under prefixed names."""
        return {
            f"{prefix}cpu_s": round(self.cpu_s, 2),
            f"{prefix}wall_s": round(self.wall_s, 2),
            f"{prefix}peak_rss_mb": round(self.peak_rss_mb),
            f"{prefix}peak_pss_mb": round(self.peak_pss_mb),
        }


def install_peer(home: Path, packages: Sequence[str], alone: Sequence[str], limit_s: float) -> str | None:
    """Make a peer's own environment where it is not there; None, or why it could not be made.

    Args:
        home: of the environment.
        packages: with all that they need.
        alone: without what they need.
        limit_s: seconds for each step.
    """
    if (home / "installed").exists():
        return None
    try:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, timeout=limit_s)
        pip = [str(home / "bin" / "pip"), "install", "--quiet"]
        subprocess.run([*pip, *packages], check=True, timeout=limit_s)
        if alone:
            subprocess.run([*pip, "--no-deps", *alone], check=True, timeout=limit_s)
    except (subprocess.SubprocessError, OSError) as error:
        return f"could not be installed: {error}"
    (home / "installed").touch()
    return None


def spend(
    command: Sequence[str | Path], *, cwd: Path = REPOSITORY, environment: Mapping[str, str] | None = None
) -> Spent:
    """Run a command and all that it starts to their end.

    Linux only: memory is read from ``/proc`` every 50 ms, and processes that outlive the command (the server
    from which workers are forked) become children of this one, so that none goes uncounted.
    """
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError("this system cannot adopt the processes that a command leaves behind")
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    peak = [0, 0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_S):
            tree = [_memory(pid) for pid in _tree(process.pid)]
            peak[0] = max(peak[0], sum(rss for rss, _ in tree))
            peak[1] = max(peak[1], sum(pss for _, pss in tree))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    ended.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    return Spent(
        usage.ru_utime + usage.ru_stime + _reap(),
        wall,
        peak[0] / 1024,
        peak[1] / 1024,
        output,
        process.returncode,
    )


def _reap() -> float:
    """CPU seconds of the processes left behind, once they have ended."""
    seconds = 0.0
    while True:
        try:
            _, _, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return seconds
        seconds += usage.ru_utime + usage.ru_stime


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            children = (thread / "children").read_text()
            for child in children.split():
                yield from _tree(int(child))
    except OSError:
        return


def _memory(pid: int) -> tuple[int, int]:
    """Resident and proportional memory of one process in KiB; zeros where it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0, 0
    found = dict(line.split()[:2] for line in text.splitlines()[1:])
    return int(found["Rss:"]), int(found["Pss:"])


def run_spine(
    home: Path, catalogue: Path, until: str, *, workers: int = 2, trace: Path | None = None
) -> Spent:
    """Materialize every source of a catalogue from ``raw`` to ``until`` through Dagster, in one process.

    The process has ``workers`` processes for heavy work.

    Raises:
        RuntimeError: if anything failed, with the end of what it said.
    """
    environment = {"INFINITY_HOME": str(home), "INFINITY_CATALOGUE": str(catalogue)}
    environment["INFINITY_WORKERS"] = str(workers)
    if trace is not None:
        environment["INFINITY_TRACE"] = str(trace)
    spent = spend([sys.executable, "-m", "benchmarks._spine", until], environment=environment)
    if spent.code != 0:
        raise RuntimeError(f"exit code {spent.code}: {spent.output[-2000:]}")
    return spent


def write_source(catalogue: Path, name: str, location: Path, reader: Mapping[str, Any], **more: Any) -> None:
    """Put one source into a catalogue folder."""
    catalogue.mkdir(parents=True, exist_ok=True)
    spec = {
        "name": name,
        "category": "general",
        "licence": {"id": "CC0-1.0"},
        "language": "en",
        "location": str(location),
        "reader": dict(reader),
        **more,
    }
    (catalogue / f"{name}.yaml").write_text(yaml.safe_dump(spec))


def report(name: str, figures: Mapping[str, Any], target: str, met: bool | None, why: str = "") -> None:
    """Print the result as one line of JSON, the last that a benchmark prints.

    Args:
        met: None where something needed was absent; ``why`` says what.
    """
    result = {"name": name, "figures": dict(figures), "target": target, "met": met, "why": why}
    print(json.dumps(result), flush=True)
