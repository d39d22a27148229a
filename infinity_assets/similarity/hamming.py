"""Exact search for 64-bit hashes within a Hamming distance: pHashes of pictures, SimHashes of texts.

No pair is missed, and none is compared with all others: see :mod:`infinity_assets.similarity.blocks`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from infinity_assets.similarity import across, within
from infinity_assets.similarity.blocks import Hashes, Scheme

WIDTH = 64
CHUNK = 1 << 16  #: hashes looked at together where all are streamed
SMALLEST_PART, LARGEST_PART = 1 << 18, 1 << 24  #: hashes that one thread holds and sorts at a time


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of hashes by their positions, each once, sorted by ``left``, then ``right``."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    distance: NDArray[np.uint8]  #: differing bits

    def __len__(self) -> int:
        return len(self.left)


def near_pairs(hashes: Hashes, radius: int, *, threads: int | None = None) -> Pairs:
    """All pairs of ``hashes`` that differ in at most ``radius`` bits; ``left < right``.

    What is found does not depend on the order of the hashes or on the number of threads. The memory it takes
    is bounded by 1 GiB per thread and 50 bytes for each pair, beside the hashes, which may be a memory map.

    Args:
        hashes: one dimension, uint64, distinct, in any order.
        radius: 0 to 64.
        threads: as many as this process has cores, unless said.

    Raises:
        ValueError: if a hash occurs twice (the message names it and two positions), or an argument is not as
            described.
    """
    _check(hashes, radius, "hashes")
    workers = threads or len(os.sched_getaffinity(0))
    try:
        found = list(_search(hashes, radius, workers))
    except within.Repeated as error:
        at = np.flatnonzero(hashes == np.uint64(error.value))[:2].tolist()
        raise ValueError(
            f"hash {error.value:#018x} occurs at positions {at[0]} and {at[1]}; "
            "collapse equal hashes (numpy.unique) before the search"
        ) from None
    left = _positions(hashes, [pair[0] for pair in found])
    right = _positions(hashes, [pair[1] for pair in found])
    return _sorted(hashes, hashes, np.minimum(left, right), np.maximum(left, right))


def near_pairs_between(new: Hashes, known: Hashes, radius: int, *, threads: int | None = None) -> Pairs:
    """All pairs of one of ``new`` (left) and one of ``known`` (right) that differ in at most ``radius`` bits.

    Equal hashes are pairs too, of distance 0. ``known`` is streamed: no index of it is made, kept or needed.

    Args:
        new: one dimension, uint64; equal ones among them are searched each on its own.
        known: the same; it may be a memory map.
        radius: 0 to 64.
        threads: as many as this process has cores, unless said.

    Raises:
        ValueError: if an argument is not as described.
    """
    _check(new, radius, "new")
    _check(known, radius, "known")
    workers = threads or len(os.sched_getaffinity(0))
    left, right = across.search(new, known, WIDTH, radius, workers)
    return _sorted(new, known, left, right)


def _check(hashes: Hashes, radius: int, name: str) -> None:
    if hashes.dtype != np.uint64 or hashes.ndim != 1:
        raise ValueError(f"{name} must be one dimension of uint64, not {hashes.ndim} of {hashes.dtype}")
    if not 0 <= radius <= WIDTH:
        raise ValueError(f"radius must be 0 to {WIDTH}, not {radius}")


def _search(hashes: Hashes, radius: int, workers: int) -> Iterator[within.Found]:
    scheme = within.choose(len(hashes), WIDTH, radius, WIDTH)
    if scheme is None:
        return within.compare_all(hashes, radius)
    with ThreadPoolExecutor(workers) as pool:
        tasks = [
            pool.submit(_search_part, hashes, scheme, first, low, high)
            for first in range(radius + 1)
            for low, high in _parts(hashes, scheme, first, workers)
        ]
        try:
            return chain.from_iterable([task.result() for task in tasks])
        finally:
            for task in tasks:
                task.cancel()


def _parts(hashes: Hashes, scheme: Scheme, first: int, workers: int) -> Iterator[tuple[int, int]]:
    """Ranges of the keys of a block, each with about as many hashes as a thread should hold.

    A key that more hashes have is a range of its own.
    """
    target = min(max(len(hashes) // workers, SMALLEST_PART), LARGEST_PART)
    counts = np.zeros(1 << scheme.sizes[first], np.int64)
    for start in range(0, len(hashes), CHUNK):
        counts += np.bincount(scheme.key(hashes[start : start + CHUNK], first), minlength=len(counts))
    ends = np.cumsum(counts)
    low = 0
    while low < len(ends):
        taken = int(ends[low - 1]) if low else 0
        high = max(low + 1, int(np.searchsorted(ends, taken + target, "right")))
        yield low, high
        low = high


def _search_part(hashes: Hashes, scheme: Scheme, first: int, low: int, high: int) -> list[within.Found]:
    """Pairs of the hashes whose block ``first`` is from ``low`` to below ``high``."""
    part = hashes
    if high - low < 1 << scheme.sizes[first]:
        kept = []
        for start in range(0, len(hashes), CHUNK):
            chunk = hashes[start : start + CHUNK]
            key = scheme.key(chunk, first)
            key -= np.uint16(low)
            kept.append(chunk[key < high - low])
        part = np.concatenate(kept)
    pairs = list(within.search_first(part, scheme, first))
    if not pairs:
        return []
    return [(np.concatenate([left for left, _ in pairs]), np.concatenate([right for _, right in pairs]))]


def _positions(hashes: Hashes, wanted: list[Hashes]) -> NDArray[np.int64]:
    """Where each wanted value stands in ``hashes``; all of them occur there, each once."""
    if not wanted:
        return np.empty(0, np.int64)
    values, inverse = np.unique(np.concatenate(wanted), return_inverse=True)
    maybe = np.zeros(1 << 24, bool)  # most hashes have no pair: one look tells
    maybe[values >> np.uint64(40)] = True
    at = np.empty(len(values), np.int64)
    for start in range(0, len(hashes), CHUNK):
        chunk = hashes[start : start + CHUNK]
        rows = np.flatnonzero(maybe[chunk >> np.uint64(40)])
        rows = rows[np.argsort(chunk[rows])]  # in order, a search in ``values`` stays in the cache
        slot = np.minimum(np.searchsorted(values, chunk[rows]), len(values) - 1)
        there = values[slot] == chunk[rows]
        at[slot[there]] = rows[there] + start
    return at[inverse]


def _sorted(lefts: Hashes, rights: Hashes, left: NDArray[np.int64], right: NDArray[np.int64]) -> Pairs:
    if max(len(lefts), len(rights)) <= 1 << 32:
        key = (left.view(np.uint64) << np.uint64(32)) | right.view(np.uint64)
        key.sort()
        left = (key >> np.uint64(32)).view(np.int64)
        right = (key & np.uint64(0xFFFFFFFF)).view(np.int64)
    else:
        order = np.lexsort((right, left))
        left, right = left[order], right[order]
    distance = np.bitwise_count(lefts[left] ^ rights[right])
    return Pairs(left, right, distance)
