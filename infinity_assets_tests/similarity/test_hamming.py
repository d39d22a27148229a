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
        monkeypatch.setattr(within, "PER_PASS", 2000)
        monkeypatch.setattr(within, "PER_CELL", 5)
        monkeypatch.setattr(within, "LONGEST_RUN", 8)
        monkeypatch.setattr(within, "SLICE", 300)
        monkeypatch.setattr(across, "PER_PASS", 2000)
        monkeypatch.setattr(across, "PER_CELL", 5)
        monkeypatch.setattr(across, "LONGEST_RUN", 8)
        monkeypatch.setattr(across, "CHUNK", 300)
        monkeypatch.setattr(across, "CELLS", 64)


@pytest.mark.usefixtures("tuning")
class TestAgainstEachWithEach:
    """Lost otherwise: a near copy that stays in the training data, or one pair counted twice."""

    @settings(deadline=None, max_examples=15)
    @given(clustered(), st.integers(0, 16))
    def test_no_pair_is_missed_or_found_twice(self, hashes, radius):
        assert np.array_equal(rows(near_pairs(hashes, radius)), within_itself(hashes, radius))

    @settings(deadline=None, max_examples=15)
    @given(clustered(), st.integers(0, 16), st.floats(0, 1))
    def test_new_against_known_is_what_the_whole_has_across(self, hashes, radius, share):
        cut = int(len(hashes) * share)
        pairs = rows(near_pairs_between(hashes[:cut], hashes[cut:], radius))
        whole = rows(near_pairs(hashes, radius))
        pairs[:, 1] += cut
        assert np.array_equal(pairs, whole[(whole[:, 0] < cut) & (whole[:, 1] >= cut)])


def test_the_order_of_hashes_and_the_number_of_threads_change_nothing():
    """Lost otherwise: a ledger that depends on which source came first."""
    random = np.random.default_rng(5)
    hashes = np.unique(
        random.integers(0, 2**64, 40, np.uint64)[:, None] ^ random.integers(0, 999, (40, 900), np.uint64)
    )
    expected = rows(near_pairs(hashes, 2, threads=1))
    order = random.permutation(len(hashes))
    found = rows(near_pairs(hashes[order], 2, threads=3))
    found[:, :2] = np.sort(order[found[:, :2]], axis=1)
    assert np.array_equal(found[np.lexsort((found[:, 1], found[:, 0]))], expected)


def test_a_long_run_is_searched_and_not_compared_each_with_each():
    """Lost otherwise: hours, once many pictures of one kind share most of their bits."""
    random = np.random.default_rng(6)
    hashes = np.unique(random.integers(0, 2**36, 30_000, np.uint64) | np.uint64(0xABCDEF << 40))
    hashes[1:400] = hashes[0] ^ (np.uint64(1) << np.arange(36, dtype=np.uint64)[random.integers(0, 36, 399)])
    hashes = np.unique(hashes)
    random.shuffle(hashes)
    pairs = rows(near_pairs(hashes, 4))
    assert len(pairs) > 600
    for row in random.choice(pairs[:, 0], 30).tolist() + random.integers(0, len(hashes), 30).tolist():
        near = np.count_nonzero(np.bitwise_count(hashes ^ hashes[row]) <= 4) - 1
        assert near == np.count_nonzero((pairs[:, :2] == row).any(1))


@pytest.mark.parametrize("count", [2, 3_000, 300_000])
def test_equal_hashes_are_refused_with_their_places(count):
    """Lost otherwise: n copies of one blank page as n * n pairs."""
    hashes = np.random.default_rng(7).integers(0, 2**64, count, np.uint64)
    hashes[-1] = hashes[0]
    with pytest.raises(ValueError, match=f"positions 0 and {count - 1}; collapse"):
        near_pairs(hashes, 3)


def test_equal_hashes_on_both_sides_are_pairs_of_distance_0():
    """Lost otherwise: a new copy of a known picture."""
    known = np.arange(5000, dtype=np.uint64) << np.uint64(32)
    assert rows(near_pairs_between(known[7:9], known, 0)).tolist() == [[0, 7, 0], [1, 8, 0]]


@pytest.mark.parametrize(
    ("hashes", "radius"),
    [(np.zeros((2, 2), np.uint64), 1), (np.zeros(2, np.int64), 1), (NONE, 65), (NONE, -1)],
)
def test_what_is_no_hash_is_refused(hashes, radius):
    """Lost otherwise: signed or cut hashes compared in silence."""
    with pytest.raises(ValueError, match="must be"):
        near_pairs(hashes, radius)
    with pytest.raises(ValueError, match="must be"):
        near_pairs_between(hashes, hashes, radius)
