"""Who runs on this machine, from ``/proc``, and where nobody listens."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from pathlib import Path


def children(pid: int) -> list[int]:
    """Processes that a process started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descendants(pid: int) -> set[int]:
    """Every process under this one that runs."""
    known, found = {one: parent for one, (parent, _) in running().items()}, {pid}
    while new := {child for child, parent in known.items() if parent in found} - found:
        found |= new
    return found - {pid}


def group(leader: int) -> list[int]:
    """Processes of a group that live."""
    return [pid for pid, (_, of) in running().items() if of == leader]


def running() -> dict[int, tuple[int, int]]:
    """Parent and group of every process; one that ended and was not fetched does not run."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            state, parent, of = stat.read_text().rsplit(") ", 1)[1].split()[:3]
            if state != "Z":
                found[int(stat.parent.name)] = int(parent), int(of)
    return found


def gone(leader: int) -> bool:
    """Whether all of a group ends within ten seconds."""
    until = time.monotonic() + 10
    while group(leader) and time.monotonic() < until:
        time.sleep(0.05)
    return not group(leader)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
