"""All near pairs between two sets of hashes, as positions; the larger set is streamed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from infinity_assets.similarity.blocks import Hashes, Packing, Scheme, cheapest

Positions = tuple[NDArray[np.int64], NDArray[np.int64]]  #: of the few and of the many, pair by pair

CHUNK = 1 << 16  #: of the many that are looked at together
CELLS = 1 << 17  #: of candidates, or of a matrix of distances, at once
LONGEST_RUN = 64  #: of the few that are equal in the chosen blocks; a longer one is a search of its own
MOST_BITS = 26  #: of the chosen blocks: the tables of what occurs have five bytes for each value

# Nanoseconds as measured on one core of a server of 2023. They choose a way to search, never what is found.
PER_PASS = 200_000.0
PER_VALUE = 4.0
PER_CANDIDATE = 15.0
PER_CELL = 1.2


def search(new: Hashes, known: Hashes, width: int, radius: int, workers: int) -> Positions:
    """Each pair of one of ``new`` and one of ``known`` within ``radius`` once, in no order."""
    if len(new) > len(known):
        right, left = search(known, new, width, radius, workers)
        return left, right
    if not len(new):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    scheme = _choose(len(new), len(known), width, radius, width)
    if scheme is None:
        return _joined(_compare_all(new, known, radius))
    with ThreadPoolExecutor(workers) as pool:
        passes = combinations(range(scheme.blocks), scheme.exact)
        return _joined(pool.map(lambda chosen: _joined(_pass(new, known, scheme, chosen)), passes))


def _search_run(few: Hashes, many: Hashes, radius: int) -> Iterator[Positions]:
    """As :func:`search`, for hashes that share some bits."""
    packing = Packing.of(few, many)
    scheme = _choose(len(few), len(many), len(packing.bits), radius, packing.entropy)
    if scheme is None:
        yield from _compare_all(few, many, radius)
        return
    few, many = packing.pack(few, scheme), packing.pack(many, scheme)
    for chosen in combinations(range(scheme.blocks), scheme.exact):
        yield from _pass(few, many, scheme, chosen)


def _choose(few: int, many: int, width: int, radius: int, entropy: float) -> Scheme | None:
    def cost(scheme: Scheme) -> float:
        if sum(scheme.sizes[: scheme.exact]) > MOST_BITS:
            return float("inf")
        run: float = few / 2.0 ** (scheme.exact * entropy / scheme.blocks)
        return scheme.passes * (PER_PASS + 50.0 * few + many * (PER_VALUE + PER_CANDIDATE * run))

    scheme, price = cheapest(width, radius, cost)
    return scheme if price < PER_CELL * few * many else None


def _compare_all(few: Hashes, many: Hashes, radius: int) -> Iterator[Positions]:
    columns = min(len(many), CHUNK)
    rows = max(1, CELLS // columns)
    for start in range(0, len(many), columns):
        part = many[None, start : start + columns]
        for row in range(0, len(few), rows):
            left, right = np.nonzero(np.bitwise_count(few[row : row + rows, None] ^ part) <= radius)
            if len(left):
                yield left + row, right + start


def _pass(few: Hashes, many: Hashes, scheme: Scheme, chosen: tuple[int, ...]) -> Iterator[Positions]:
    """The pairs of one pass."""
    key = _key(few, scheme, chosen)
    order = np.argsort(key, kind="stable")
    key = key[order]
    ends = np.append(np.flatnonzero(np.diff(key)) + 1, len(key))
    starts = np.append(0, ends[:-1])
    runs = key[starts]
    heavy = ends - starts > LONGEST_RUN
    size = 1 << sum(scheme.sizes[block] for block in chosen)
    occurs, place = np.zeros(size, bool), np.empty(size, np.int32)
    occurs[runs] = True
    place[runs] = np.arange(len(runs), dtype=np.int32)
    set_aside: list[Positions] = []  # run and position of those that meet a long run
    for keys, hits in _hits(many, scheme, chosen, occurs):
        run, at = place[keys].astype(np.int64), hits
        if heavy.any():
            long = heavy[run]
            set_aside.append((run[long], at[long]))
            run, at = run[~long], at[~long]
        for slots, right in _expanded(starts[run], ends[run], at):
            left = order[slots]
            difference = few[left] ^ many[right]
            near = np.bitwise_count(difference) <= scheme.radius
            near[near] = scheme.owns(chosen, difference[near])
            if near.any():
                yield left[near], right[near]
    run, at = _joined(set_aside)
    by_run = np.argsort(run, kind="stable")
    run, at = run[by_run], at[by_run]
    for number in np.flatnonzero(heavy).tolist():
        left_run = order[starts[number] : ends[number]]
        right_run = at[np.searchsorted(run, number) : np.searchsorted(run, number, "right")]
        if len(right_run):
            for i, j in _search_run(few[left_run], many[right_run], scheme.radius):
                left, right = left_run[i], right_run[j]
                mine = scheme.owns(chosen, few[left] ^ many[right])
                yield left[mine], right[mine]


def _hits(
    many: Hashes, scheme: Scheme, chosen: tuple[int, ...], occurs: NDArray[np.bool_]
) -> Iterator[Positions]:
    """Keys that occur among the few, and where they stand among the many; some :data:`CELLS` at once."""
    found: list[Positions] = []
    count = 0
    for start in range(0, len(many), CHUNK):
        keys = _key(many[start : start + CHUNK], scheme, chosen)
        # All are in range: looking for that costs as much.
        at = np.flatnonzero(occurs.take(keys, mode="clip"))
        found.append((keys[at], at + start))
        count += len(at)
        if count >= CELLS:
            yield _joined(found)
            found, count = [], 0
    yield _joined(found)


def _key(values: Hashes, scheme: Scheme, chosen: tuple[int, ...]) -> NDArray[np.int64]:
    """The bits of the chosen blocks side by side."""
    key: Hashes | None = None
    place = 0
    for block in chosen:
        bits = values & scheme.mask([block])
        bits >>= np.uint64(scheme.shifts[block] - place)  # blocks ascend: none moves up
        place += scheme.sizes[block]
        key = bits if key is None else np.bitwise_or(key, bits, out=key)
    assert key is not None, "a pass chooses a block"
    return key.view(np.int64)


def _expanded(
    starts: NDArray[np.int64], ends: NDArray[np.int64], at: NDArray[np.int64]
) -> Iterator[Positions]:
    """Each number from ``starts[i]`` to below ``ends[i]`` beside ``at[i]``, a bounded number at a time."""
    counts = ends - starts
    total = np.cumsum(counts)
    first = 0
    while first < len(counts):
        done = int(total[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(total, done + CELLS, "right")))
        count = counts[first:last]
        offset = total[first:last] - count - done
        slots = np.arange(int(count.sum())) + np.repeat(starts[first:last] - offset, count)
        yield slots, np.repeat(at[first:last], count)
        first = last


def _joined(found: Iterator[Positions] | list[Positions]) -> Positions:
    pairs = list(found)
    if not pairs:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return np.concatenate([left for left, _ in pairs]), np.concatenate([right for _, right in pairs])
