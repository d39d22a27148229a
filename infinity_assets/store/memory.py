"""Memory that was freed and that glibc keeps, and that of a library which is loaded without being asked for.

Where there is another C library than glibc, nothing is given back.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from importlib.machinery import ModuleSpec
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
def spare_pandas() -> None:
    """Have Arrow do without pandas, which it would import at its first array, to know a frame if it saw one.

    That is 0.2 CPU-seconds and 30 MB of every process. ``to_pandas`` and an import of pandas work as ever.
    """
    if "pandas" in sys.modules:
        return
    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([None])
    finally:
        sys.meta_path.remove(_NoPandas)


class _NoPandas:
    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name == "pandas":
            raise ModuleNotFoundError(name)
        return None


@cache
def _function(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None)
