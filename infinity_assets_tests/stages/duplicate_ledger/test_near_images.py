"""Pairs of pHashes: one that is missed is a duplicate that nobody looks at."""

from __future__ import annotations

import tempfile
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.similarity.pictures import INVERTED_RADIUS
from infinity_assets.stages.duplicate_ledger.near_images import hash_pairs
from infinity_assets.store.tables import Store

ALL = 2**64 - 1
RADIUS = 8


@st.composite
def near_and_dark(draw: st.DrawFn) -> list[int]:
    """Hashes, of which many are near one of three or near its complement."""
    centres = draw(st.lists(st.integers(0, ALL), min_size=1, max_size=3))
    hashes = set(centres)
    for _ in range(draw(st.integers(1, 14))):
        value = draw(st.sampled_from(centres)) ^ (ALL if draw(st.booleans()) else 0)
        for bit in draw(st.lists(st.integers(0, 63), max_size=9)):
            value ^= 1 << bit
        hashes.add(value)
    return sorted(hashes)


@settings(deadline=None)
@given(near_and_dark(), st.data())
def test_pairs_are_those_of_all_compared_with_all_however_they_came(hashes, data) -> None:
    first = sorted(h for h in hashes if data.draw(st.booleans()))
    second = sorted(h for h in hashes if h not in first or data.draw(st.booleans()))
    expected = {
        (a, b)
        for a, b in combinations(second, 2)
        if (d := (a ^ b).bit_count()) <= RADIUS or d >= 64 - INVERTED_RADIUS
    }
    with tempfile.TemporaryDirectory() as folder:
        objects = Store(folder).objects
        for some in (first, second):
            found = hash_pairs(np.array(some, np.uint64), RADIUS, objects)
    pairs = [(min(p), max(p)) for p in zip(found.left.tolist(), found.right.tolist(), strict=True)]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == expected
