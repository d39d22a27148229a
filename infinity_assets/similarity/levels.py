"""The levels of a picture: how far they reach, and the curve that takes them to another picture's."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from infinity_assets.similarity.registration import Floats

#: Pixels to which the curve of brightness is fitted, evenly chosen.
CURVE_PIXELS = 4_000


def fitted_curve(x: Floats, y: Floats) -> tuple[npt.NDArray[np.float64], float]:
    """The cubic that takes levels x to y (brightness, contrast, gamma, clipping), fitted robustly: its
    coefficients over (level - 128) / 128 from the highest, and its least slope over the levels of x.

    Rare levels count for more than their number, or the ink of a page would be left out.
    """
    step = max(1, len(x) // CURVE_PIXELS)
    u = (x[::step].astype(np.float64) - 128) / 128
    v = y[::step].astype(np.float64)
    levels = ((u + 1) * 8).astype(np.int64).clip(0, 15)
    rarity = 1 / np.sqrt(np.bincount(levels, minlength=16)[levels] / len(u) + 0.01)
    powers = np.stack([u * u * u, u * u, u, np.ones_like(u)], axis=1)
    ridge = np.diag([1e-3, 1e-3, 1e-6, 1e-6]) * float(rarity.sum())
    weight = rarity
    for _ in range(3):
        weighted = powers * weight[:, None]
        normal, moments = weighted.T @ powers + ridge, weighted.T @ v[:, None]
        curve = cv2.solve(normal, moments, flags=cv2.DECOMP_CHOLESKY)[1].ravel()
        residual = np.abs(v - powers @ curve)
        usual = float(residual @ rarity) / float(rarity.sum())
        weight = rarity / (1 + (residual / (1.5 * usual + 1)) ** 2)
    low, high = _ends(u, 0.02)
    if high - low < 0.25:
        low, high = float(u.min()), float(u.max())
    ends = np.linspace(low, high, 9)
    width = max(float(ends[1] - ends[0]), 1e-3) * 128
    return curve, float(np.diff(np.polyval(curve, ends)).min()) / width


def mapped(curve: npt.NDArray[np.float64], levels: Floats) -> Floats:
    """Levels through a :func:`fitted_curve`, from 0 to 255."""
    cubic, square, line, offset = curve.astype(np.float32)
    u = (levels - 128) * np.float32(1 / 128)
    levels = cubic * u
    for coefficient in (square, line):
        levels += coefficient
        levels *= u
    levels += offset
    return np.clip(levels, 0, 255, out=levels)


def contrast_of(values: Floats) -> float:
    """Share of the full range that the levels span, 0.3 at least."""
    low, high = _ends(values[:: max(1, len(values) // 4000)], 0.01)
    return min(1.0, max(0.3, (high - low) / 255))


def _ends(values: npt.NDArray[np.floating[Any]], share: float) -> tuple[float, float]:
    """What lies below and above all but a share of the values at either end."""
    at = int(share * (len(values) - 1))
    ordered = np.partition(values, (at, len(values) - 1 - at))
    return float(ordered[at]), float(ordered[-1 - at])
