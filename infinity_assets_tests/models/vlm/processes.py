"""Who runs, from ``/proc``."""

from __future__ import annotations

import time
from pathlib import Path


def children(pid: int) -> list[int]:
    """Processes that a process started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def group(leader: int) -> list[int]:
    """Processes of a group that live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of = path.read_text().rsplit(") ", 1)[1].split()[:3]
        except OSError:
            continue
        if int(of) == leader and state != "Z":
            found.append(int(path.parent.name))
    return found


def gone(leader: int) -> bool:
    """Whether all of a group ends within ten seconds."""
    until = time.monotonic() + 10
    while group(leader) and time.monotonic() < until:
        time.sleep(0.05)
    return not group(leader)
