"""All near pairs within one set of distinct hashes, as values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from infinity_assets.similarity.blocks import KEY_BITS, Hashes, Packing, Scheme, cheapest

Found = tuple[Hashes, Hashes]  #: the two values of each pair, in either order

SLICE = 1 << 16  #: values that are sorted at once: half a megabyte, which a core's cache holds
LONGEST_RUN = 256  #: of values equal in the chosen blocks; a longer one is a search of its own
CELLS = 1 << 17  #: of a matrix of distances at once

# Nanoseconds as measured on one core of a server of 2023. They choose a way to search, never what is found.
PER_PASS = 80_000.0
PER_VALUE = 16.0
PER_CANDIDATE = 3.0
PER_CELL = 1.2


class Repeated(ValueError):
    """A value occurs twice."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


def choose(count: int, width: int, radius: int, entropy: float) -> Scheme | None:
    """The cheapest scheme for ``count`` values of ``width`` bits; None: compare each with each."""

    def cost(scheme: Scheme) -> float:
        run: float = count / 2.0 ** (scheme.exact * entropy / scheme.blocks)
        slices: float = max(1, count / SLICE, min(count, 2 ** scheme.sizes[0] / _most_bins(scheme)))
        return scheme.passes * (slices * PER_PASS + count * (PER_VALUE + PER_CANDIDATE * run / 2))

    scheme, price = cheapest(width, radius, cost)
    return scheme if price < PER_CELL * count * count / 2 else None


def _most_bins(scheme: Scheme) -> int:
    """Keys of the first block that a slice may span: their number and a further block are one radix key."""
    return 1 << (KEY_BITS if scheme.exact == 1 else KEY_BITS - scheme.sizes[0])


def search(values: Hashes, radius: int) -> Iterator[Found]:
    """Each pair within ``radius`` once; ``values`` are not empty.

    Raises:
        Repeated: if a value occurs twice.
    """
    packing = Packing.of(values)
    if not packing.bits:
        raise Repeated(int(values[0]))
    scheme = choose(len(values), len(packing.bits), radius, packing.entropy)
    if scheme is None:
        yield from compare_all(values, radius)
        return
    packed = packing.pack(values, scheme)
    for first in range(radius + 1):
        for left, right in search_first(packed, scheme, first):
            yield packing.unpack(left, scheme), packing.unpack(right, scheme)


def compare_all(values: Hashes, radius: int) -> Iterator[Found]:
    """Each pair within ``radius`` once, by comparing each value with each.

    Raises:
        Repeated: if a value occurs twice.
    """
    rows = max(1, CELLS // max(1, len(values)))
    for start in range(0, len(values), rows):
        rest = values[start:]
        distance = np.bitwise_count(rest[:rows, None] ^ rest[None, :])
        left, right = np.nonzero(distance <= radius)
        later = right > left
        left, right = left[later], right[later]
        if len(left):
            _refuse_equal(rest[left], rest[right])
            yield rest[left], rest[right]


def search_first(values: Hashes, scheme: Scheme, first: int) -> Iterator[Found]:
    """The pairs of all passes whose first chosen block is ``first``.

    Values that differ in that block need not be given at once.
    """
    key = scheme.key(values, first)
    order = np.argsort(key, kind="stable")
    ends = np.cumsum(np.bincount(key, minlength=1 << scheme.sizes[first]))
    values = values[order]
    del key, order
    bins = _most_bins(scheme)
    start, low = 0, 0
    while low < len(ends):
        high = max(low + 1, min(int(np.searchsorted(ends, start + SLICE, "right")), low + bins))
        end = int(ends[high - 1])
        if end - start > 1:
            yield from _descend(values[start:end], scheme, (first,), low, high)
        start, low = end, high


def _descend(values: Hashes, scheme: Scheme, chosen: tuple[int, ...], low: int, high: int) -> Iterator[Found]:
    """Sort by one more block; of the first block, ``values`` have the keys ``low`` to ``high``."""
    missing = scheme.exact - len(chosen)
    if missing == 0:
        yield from _scan(values, scheme, chosen)
        return
    for block in range(chosen[-1] + 1, scheme.blocks - missing + 1):
        key = scheme.key(values, block)
        if missing == 1 and high - low > 1:
            bins = scheme.key(values, chosen[0])
            bins -= np.uint16(low)
            key |= bins << np.uint16(scheme.sizes[block])
        order = np.argsort(key, kind="stable")
        yield from _descend(values[order], scheme, (*chosen, block), low, high)


def _scan(values: Hashes, scheme: Scheme, chosen: tuple[int, ...]) -> Iterator[Found]:
    """The pairs of one pass; values equal in the chosen blocks stand together."""
    mask = scheme.mask(chosen)
    equal = ((values[1:] ^ values[:-1]) & mask) == 0
    if _has_run(equal, LONGEST_RUN):
        ends = np.append(np.flatnonzero(~equal) + 1, len(values))
        lengths = np.diff(ends, prepend=0)
        long = lengths > LONGEST_RUN
        for end, length in zip(ends[long].tolist(), lengths[long].tolist(), strict=True):
            for left, right in search(values[end - length : end], scheme.radius):
                mine = scheme.owns(chosen, left ^ right)
                yield left[mine], right[mine]
        values = values[np.repeat(~long, lengths)]
        equal = ((values[1:] ^ values[:-1]) & mask) == 0
    for left, right in _neighbours(values, equal, scheme.radius):
        _refuse_equal(left, right)
        mine = scheme.owns(chosen, left ^ right)
        yield left[mine], right[mine]


def _has_run(equal: NDArray[np.bool_], length: int) -> bool:
    """Whether ``length`` (a power of two) neighbours in a row are equal."""
    span = 1
    while span < length and equal.any():
        equal = equal[:-span] & equal[span:]
        span *= 2
    return bool(equal.any())


def _neighbours(values: Hashes, equal: NDArray[np.bool_], radius: int) -> Iterator[Found]:
    """Pairs within ``radius`` in one run; ``equal[i]``: values ``i`` and ``i + 1`` are in one."""
    joined, offset = equal, 1
    while (alive := np.count_nonzero(joined)) * 4 > len(joined):
        distance = np.bitwise_count(values[offset:] ^ values[:-offset])
        at = np.flatnonzero((distance <= radius) & joined)
        if len(at):
            yield values[at], values[at + offset]
        joined = joined[:-1] & equal[offset:]
        offset += 1
    at = np.flatnonzero(joined) if alive else np.empty(0, np.int64)
    while len(at):
        left, right = values[at], values[at + offset]
        near = np.bitwise_count(left ^ right) <= radius
        if near.any():
            yield left[near], right[near]
        at = at[: np.searchsorted(at, len(equal) - offset)]
        at = at[equal[at + offset]]
        offset += 1


def _refuse_equal(left: Hashes, right: Hashes) -> None:
    same = left == right
    if same.any():
        raise Repeated(int(left[same][0]))
