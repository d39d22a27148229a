"""How the bits of a hash are cut into blocks, some of which must match exactly in each pass of a search.

Two hashes within ``radius`` touch at most ``radius`` of ``m`` blocks, so ``m - radius`` untouched ones can be
chosen in which they agree (pigeonhole; Norouzi, Punjani, Fleet, "Fast Exact Search in Hamming Space with
Multi-Index Hashing", section 2, generalised as by Manku, Jain, Das Sarma, "Detecting Near-Duplicates for Web
Crawling", section 3). Each choice is a pass. A pair belongs to the first pass that can find it, the one that
chooses its first untouched blocks; no other pass reports it, so nothing has to be made unique afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from math import ceil, comb

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

KEY_BITS = 16  #: a block is a radix key of NumPy, whose stable sort of 16-bit integers is linear


@dataclass(frozen=True)
class Scheme:
    """``width`` bits in ``blocks`` blocks, lowest bits first; a pass chooses ``blocks - radius`` of them."""

    width: int
    radius: int
    blocks: int

    @property
    def exact(self) -> int:
        """How many blocks a pass chooses."""
        return self.blocks - self.radius

    @property
    def passes(self) -> int:
        """How many passes find every pair."""
        return comb(self.blocks, self.radius)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Bits of each block, as even as can be."""
        size, larger = divmod(self.width, self.blocks)
        return tuple(size + (block < larger) for block in range(self.blocks))

    @cached_property
    def shifts(self) -> tuple[int, ...]:
        """Lowest bit of each block."""
        return tuple(sum(self.sizes[:block]) for block in range(self.blocks))

    def mask(self, chosen: Iterable[int]) -> np.uint64:
        """The bits of some blocks."""
        return np.uint64(sum(((1 << self.sizes[b]) - 1) << self.shifts[b] for b in chosen))

    def key(self, values: Hashes, block: int) -> NDArray[np.uint16]:
        """The bits of one block of each value."""
        key = (values >> np.uint64(self.shifts[block])).astype(np.uint16)
        key &= np.uint16((1 << self.sizes[block]) - 1)
        return key

    def owns(self, chosen: tuple[int, ...], difference: Hashes) -> NDArray[np.bool_]:
        """Whether a pass is the first that can find pairs, of which it sees the differing bits.

        It is where every block that it passed over differs.
        """
        first = np.ones(len(difference), bool)
        for block in range(chosen[-1]):
            if block not in chosen:
                first &= (difference & self.mask([block])) != 0
        return first


def cheapest(width: int, radius: int, cost: Callable[[Scheme], float]) -> tuple[Scheme | None, float]:
    """The scheme that costs least, and its cost; None where no scheme can choose a block."""
    fewest = max(radius + 1, ceil(width / KEY_BITS))
    schemes = [Scheme(width, radius, m) for m in range(fewest, min(width, fewest + 8) + 1)]
    if not schemes:
        return None, float("inf")
    costs = [cost(scheme) for scheme in schemes]
    best = int(np.argmin(costs))
    return schemes[best], costs[best]


@dataclass(frozen=True)
class Packing:
    """The bits in which some hashes differ at all, moved together; distances stay what they are."""

    constant: np.uint64  #: the bits that all share, in place
    bits: tuple[int, ...]  #: where the bits that vary stand, most telling first
    entropy: float  #: of the bits that vary, as if independent

    @classmethod
    def of(cls, *sides: Hashes) -> Packing:
        """The packing of some hashes, none of ``sides`` empty."""
        base = sides[0][0]
        varying = np.bitwise_or.reduce([np.bitwise_or.reduce(side ^ base) for side in sides])
        bits = [bit for bit in range(64) if int(varying) >> bit & 1]
        sample = np.concatenate([side[:: len(side) // 65536 + 1] for side in sides])
        ones = np.array([float(((sample >> np.uint64(bit)) & np.uint64(1)).mean()) for bit in bits])
        share = np.clip(ones, 1e-9, 1 - 1e-9)
        entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
        order = np.argsort(-entropy, kind="stable")
        return cls(base & ~varying, tuple(bits[i] for i in order), float(entropy.sum()))

    def places(self, scheme: Scheme) -> list[tuple[np.uint64, np.uint64]]:
        """From where to where each bit goes: dealt out, so that each block tells equally much."""
        blocks = scheme.blocks
        return [
            (np.uint64(bit), np.uint64(scheme.shifts[rank % blocks] + rank // blocks))
            for rank, bit in enumerate(self.bits)
        ]

    def pack(self, values: Hashes, scheme: Scheme) -> Hashes:
        """Values of ``scheme.width`` bits."""
        packed = np.zeros_like(values)
        for source, target in self.places(scheme):
            packed |= ((values >> source) & np.uint64(1)) << target
        return packed

    def unpack(self, packed: Hashes, scheme: Scheme) -> Hashes:
        """What :meth:`pack` was given."""
        values = np.full_like(packed, self.constant)
        for source, target in self.places(scheme):
            values |= ((packed >> target) & np.uint64(1)) << source
        return values
