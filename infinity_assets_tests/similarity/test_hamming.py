"""The exact search, held against comparing each hash with each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.similarity import across, within
from infinity_assets.similarity.hamming import Pairs, near_pairs, near_pairs_between

NONE = np.empty(0, np.uint64)


def by_each_with_each(left: np.ndarray, right: np.ndarray, radius: int) -> np.ndarray:
    """Rows of position, position, distance."""
    distance = np.bitwise_count(left[:, None] ^ right[None, :])
    i, j = np.nonzero(distance <= radius)
    return np.stack([i, j, distance[i, j]], 1)


def within_itself(hashes: np.ndarray, radius: int) -> np.ndarray:
    pairs = by_each_with_each(hashes, hashes, radius)
    return pairs[pairs[:, 0] < pairs[:, 1]]


def rows(pairs: Pairs) -> np.ndarray:
    assert (pairs.left.dtype, pairs.right.dtype, pairs.distance.dtype) == (np.int64, np.int64, np.uint8)
    return np.stack([pairs.left, pairs.right, pairs.distance], 1)


@st.composite
def clustered(draw: st.DrawFn) -> np.ndarray:
    """Distinct hashes, shuffled: some at random, some around centres, in few bits or in all of them."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(0, 1000))
    centres = random.integers(0, 2**64, draw(st.sampled_from([1, 3, 40, 1500])), np.uint64)
    low, high = sorted(draw(st.tuples(st.integers(0, 64), st.integers(0, 64))))
    hashes = centres[random.integers(0, len(centres), count)]
    if low < high:
        for _ in range(draw(st.integers(0, 12))):
            hashes ^= np.uint64(1) << random.integers(low, high, count, np.uint64)
    hashes = np.unique(hashes)
    random.shuffle(hashes)
    return hashes


@pytest.fixture(params=["as tuned", "by blocks"])
def tuning(request, monkeypatch):
    """With small inputs the costs would nearly always choose to compare each with each."""
    if request.param == "by blocks":
        monkeypatch.setattr(within, "PER_PASS", 0)
        monkeypatch.setattr(within, "PER_CELL", 10)
        monkeypatch.setattr(within, "LONGEST_RUN", 8)
        monkeypatch.setattr(within, "SLICE", 300)
        monkeypatch.setattr(across, "PER_PASS", 0)
        monkeypatch.setattr(across, "PER_CELL", 10)
        monkeypatch.setattr(across, "LONGEST_RUN", 8)
        monkeypatch.setattr(across, "CHUNK", 300)
        monkeypatch.setattr(across, "CELLS", 64)


@pytest.mark.usefixtures("tuning")
class TestAgainstEachWithEach:
    """Lost otherwise: a near copy that stays in the training data, or one pair counted twice."""

    @settings(deadline=None, max_examples=25)
    @given(clustered(), st.integers(0, 16))
    def test_no_pair_is_missed_or_found_twice(self, hashes, radius):
        assert np.array_equal(rows(near_pairs(hashes, radius)), within_itself(hashes, radius))

    @settings(deadline=None, max_examples=25)
    @given(clustered(), st.integers(0, 16), st.floats(0, 1))
    def test_new_against_known_is_what_the_whole_has_across(self, hashes, radius, share):
        cut = int(len(hashes) * share)
        pairs = rows(near_pairs_between(hashes[:cut], hashes[cut:], radius))
        whole = rows(near_pairs(hashes, radius))
        pairs[:, 1] += cut
        assert np.array_equal(pairs, whole[(whole[:, 0] < cut) & (whole[:, 1] >= cut)])
