"""Memory that was freed and that allocators keep, given back."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import pyarrow as pa


def release_memory() -> None:
    """Give freed pages back to the system, where its allocator can (glibc); a few milliseconds.

    A process that lives through many stages would else hold the peak of each of its threads' arenas, while
    other processes are at theirs.
    """
    pa.default_memory_pool().release_unused()
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
