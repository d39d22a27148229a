"""The levels of a picture: how far they reach, and the curve that takes them to another picture's."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from infinity_assets.similarity.registration import Floats

Levels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
Values = TypeVar("Values", npt.NDArray[np.uint8], npt.NDArray[np.int16], npt.NDArray[np.float32])

#: Pixels to which a curve of brightness is fitted.
CURVE_PIXELS = 2_000

#: Where the slope of a curve is measured: between these shares of its levels.
STEPS = np.linspace(0, 1, 9)


def sampled(x: Values, y: Values) -> tuple[Values, Values]:
    """At most some :data:`CURVE_PIXELS` of two pictures' pixels, ``(pixels,)`` each, evenly chosen."""
    step = max(1, len(x) // CURVE_PIXELS)
    return x[::step], y[::step]


def fitted_curve(x: Levels, y: Levels) -> tuple[npt.NDArray[np.float64], float]:
    """The cubic that takes levels x to y (brightness, contrast, gamma, clipping), fitted robustly: its
    coefficients over (level - 128) / 128 from the highest, and its least slope over the levels of x.

    Rare levels count for more than their number, or the ink of a page would be left out.
    """
    powers = np.ones((4, len(x)), np.float32)
    u = powers[2]
    np.multiply(x - np.float32(128), np.float32(1 / 128), out=u)
    np.multiply(u, u, out=powers[1])
    np.multiply(powers[1], u, out=powers[0])
    v = y.astype(np.float32)
    levels = ((u + 1) * 8).astype(np.intp)
    counts = np.bincount(levels, minlength=16) / len(u)
    rarity = (1 / np.sqrt(counts + 0.01)).astype(np.float32)[levels]
    whole = float(rarity.sum())
    ridge = np.diag([1e-3, 1e-3, 1e-6, 1e-6]) * whole
    weight = rarity
    for _ in range(3):
        weighted = powers * weight
        normal, moments = (weighted @ powers.T).astype(np.float64) + ridge, weighted @ v[:, None]
        curve = cv2.solve(normal, moments.astype(np.float64), flags=cv2.DECOMP_CHOLESKY)[1].ravel()
        residual = np.abs(v - curve.astype(np.float32) @ powers)
        usual = float(residual @ rarity) / whole
        residual *= np.float32(1 / (1.5 * usual + 1))
        weight = rarity / (1 + residual * residual)
    low, high = _ends(u, 0.02)
    if high - low < 0.25:
        low, high = float(u.min()), float(u.max())
    u = low + (high - low) * STEPS
    rise = np.diff(((curve[0] * u + curve[1]) * u + curve[2]) * u)
    return curve, float(rise.min()) / (max((high - low) / 8, 1e-3) * 128)


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


def contrast_of(values: Levels) -> float:
    """Share of the full range that the levels span, 0.3 at least."""
    low, high = _ends(values, 0.01)
    return min(1.0, max(0.3, (high - low) / 255))


def _ends(values: Levels, share: float) -> tuple[float, float]:
    """What lies below and above all but a share of the values at either end."""
    at = int(share * (len(values) - 1))
    ordered = np.partition(values, (at, len(values) - 1 - at))
    return float(ordered[at]), float(ordered[-1 - at])
