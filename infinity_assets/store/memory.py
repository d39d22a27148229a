"""Memory that was freed and that glibc keeps. Where there is another C library, nothing happens."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import pyarrow as pa

_M_ARENA_MAX = -8


def release_memory() -> None:
    """Give freed pages back to the system; a few milliseconds.

    A process that lives through many stages would else hold the peak of each, while other processes are at
    theirs.
    """
    pa.default_memory_pool().release_unused()
    if (trim := _function("malloc_trim")) is not None:
        trim(0)


def share_arenas(arenas: int) -> None:
    """Have threads that start from now on allocate from so many arenas.

    By default each thread gets one of its own, up to eight for each core, and what one frees no other can
    use: a run holds a fifth less with one or two, and no more processor time.

    Args:
        arenas: one for a process that works in one thread at a time.
    """
    if (mallopt := _function("mallopt")) is not None:
        mallopt(_M_ARENA_MAX, arenas)


@cache
def _function(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None)
