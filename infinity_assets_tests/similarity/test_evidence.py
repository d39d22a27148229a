"""Edges that one picture lacks: they are looked for only where the two differ, and none may be missed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.similarity.evidence import EDGE, EDGE_LEFT, SOBEL, STRONGEST_EDGE, Evidence
from infinity_assets.similarity.levels import contrast_of, fitted_curve, mapped
from infinity_assets.similarity.pictures import closer
from infinity_assets.similarity.registration import Placement
from infinity_assets.similarity.signature import EARLY_PIXELS, Plane, Signature

#: What lies in the other together with its neighbours.
INNER = slice(1, -1), slice(1, -1)


def planes(seed: int, rows: int, columns: int) -> tuple[Plane, Plane]:
    """A picture of a few shapes, and the same in other levels with a little noise and one shape more."""
    rng = np.random.default_rng(seed)
    one = np.full((rows, columns), rng.integers(256), np.uint8)
    for _ in range(5):
        y, x = rng.integers(0, rows), rng.integers(0, columns)
        one[y : y + rng.integers(1, 12), x : x + rng.integers(1, 12)] = rng.integers(256)
    other = np.clip(one * 0.8 + 20 + rng.normal(0, rng.integers(0, 12), one.shape), 0, 255).astype(np.uint8)
    y, x = rng.integers(0, rows), rng.integers(0, columns)
    other[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = rng.integers(256)
    return one, other


def worst_missing(one: Plane, other: Plane, contrast: float) -> float:
    """By its definition, at every pixel."""
    (x, y), (other_x, other_y) = (
        [cv2.Sobel(p, cv2.CV_64F, n, 1 - n, ksize=3) / SOBEL for n in (1, 0)] for p in (one, other)
    )
    rows, columns = one.shape
    kept = np.zeros(one.shape, np.bool_)
    padded_x, padded_y = (np.pad(p, 1, mode="edge") for p in (other_x, other_y))
    for down in range(3):
        for right in range(3):
            there = slice(down, down + rows), slice(right, right + columns)
            kept |= x * padded_x[there] + y * padded_y[there] >= EDGE_LEFT * (x * x + y * y)
    strength = np.hypot(x, y)
    missing = np.zeros(one.shape)
    gone = (strength > EDGE * contrast) & ~kept
    missing[INNER] = np.where(gone, np.minimum(strength, STRONGEST_EDGE), 0)[INNER]
    return float(cv2.blur(missing, (7, 7)).max()) / contrast


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(8, 60), st.integers(8, 60))
def test_no_edge_is_missed_where_only_differences_are_looked_at(seed: int, rows: int, columns: int) -> None:
    """A changed digit would be overlooked, and another page dropped as a copy."""
    one, other = planes(seed, rows, columns)
    signatures = [Signature(columns, rows, plane, None) for plane in (one, other)]
    seen = Evidence(*signatures, one, other, Placement())
    curve, _ = fitted_curve(one[INNER].ravel(), other[INNER].ravel())
    laid = other.copy()
    laid[INNER] = np.rint(mapped(curve, one[INNER].astype(np.float32)))
    contrast = contrast_of(other[INNER].ravel())
    assert seen.lost == pytest.approx(worst_missing(laid, other, contrast), abs=1e-3)
    assert seen.added == pytest.approx(worst_missing(other, laid, contrast), abs=1e-3)


def test_what_a_closeup_was_compared_with_before_changes_nothing() -> None:
    """A verdict would depend on the order of pairs: a close-up is reduced once for all of them."""
    made = [
        Signature(400, 300, cv2.resize(plane, (400, 300), interpolation=cv2.INTER_CUBIC), None)
        for seed in range(3)
        for plane in planes(seed, 40, 50)
    ]
    assert made[0].luma.size > 2.5 * EARLY_PIXELS >= made[0].small.luma.size
    pairs = [(a, b) for a in range(len(made)) for b in range(len(made))]

    def alone(a: int, b: int) -> object:
        fresh = [Signature(400, 300, made[i].luma.copy(), None) for i in (a, b)]
        return closer(fresh[0], fresh[1], Placement())

    assert [closer(made[a], made[b], Placement()) for a, b in pairs] == [alone(a, b) for a, b in pairs]
