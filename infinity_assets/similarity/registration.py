"""Where one picture lies in another: scale and shift of each axis, found from coarse to fine.

The map is ``x_a = scale_x * x_b + shift_x`` (and for y), in coordinates from -1 to 1 over each picture. So
two copies of different sizes, squeezed ones too, map by (1, 1, 0, 0), and a crop by scales of 0.8 to 1.25.
Gauss-Newton on scale, shift, gain and offset (Lucas and Kanade 1981, Baker and Matthews 2004), from the best
of a set of crops.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Inside = tuple[slice, slice]

SAMPLE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

#: Scales that are tried at first, beside 1, and the sides of the pictures on which that is done.
SCALES = (0.96, 0.92, 0.87, 0.81)
COARSE_SIDE, MIDDLE_SIDE = 32, 48

#: Correlation of the coarse pictures from which no crop is tried: the frames agree already.
FRAMES_AGREE = 0.97

#: Steps below are not worth another one: 0.01 pixels of a picture 100 pixels wide.
LEAST_STEP = 2e-4
LEAST_COARSE_STEP = 2e-3  #: of pictures that are only to choose a start by

#: Largest scale, or its inverse. A crop of a tenth from both ends of an axis leaves 0.8.
MOST_SCALE = 1.35


@dataclass(frozen=True, slots=True)
class Placement:
    """The map from b to a."""

    scale_x: float = 1.0
    scale_y: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    def matrix(self, a: tuple[int, ...], b: tuple[int, ...]) -> Floats:
        """The 2 x 3 matrix from pixels of b, of shape (rows, columns), to those of a."""
        made = np.zeros((2, 3), np.float32)
        axes = ((self.scale_x, self.shift_x, a[1], b[1]), (self.scale_y, self.shift_y, a[0], b[0]))
        for axis, (scale, shift, size_a, size_b) in enumerate(axes):
            step = scale * size_a / size_b
            made[axis, axis] = step
            made[axis, 2] = (shift + 1 - scale) * size_a / 2 + step / 2 - 0.5
        return made

    @property
    def contained(self) -> float:
        """Share of the narrower that lies in the wider, over both axes; 1 for any crop."""
        share = 1.0
        for scale, shift in ((self.scale_x, self.shift_x), (self.scale_y, self.shift_y)):
            inside = min(1.0, shift + scale) - max(-1.0, shift - scale)
            share *= max(0.0, inside) / (2 * min(1.0, scale))
        return share


def place(a: Floats, b: Floats) -> Placement:
    """Where b lies in a, both grey from 0 to 255 and of any sizes."""
    coarse_a, coarse_b = _square(a, COARSE_SIDE), _square(b, COARSE_SIDE)
    starts = [Placement()]
    if _line(coarse_a.ravel(), coarse_b.ravel())[2] < FRAMES_AGREE:
        starts = list(dict.fromkeys(starts + _crops(coarse_a, coarse_b)))
    middle_a, middle_b = _square(a, MIDDLE_SIDE), _square(b, MIDDLE_SIDE)
    refined = [_refine(middle_a, middle_b, start, 8, LEAST_COARSE_STEP) for start in starts]
    best = max(refined, key=lambda found: found[1])[0]
    return refine(a, b, best, 5)


def refine(a: Floats, b: Floats, start: Placement, steps: int) -> Placement:
    """The best of ``steps`` Gauss-Newton steps from ``start``."""
    return _refine(a, b, start, steps)[0]


def within(matrix: Floats, a: tuple[int, ...], b: tuple[int, ...]) -> Inside:
    """Rows and columns of b whose pixels lie inside of a, together with their neighbours."""
    return _span(matrix, 1, a[0], b[0]), _span(matrix, 0, a[1], b[1])


def share(inside: Inside, shape: tuple[int, ...]) -> float:
    """Of a picture of ``shape``, how much lies inside."""
    rows, columns = inside
    pixels: int = (rows.stop - rows.start) * (columns.stop - columns.start)
    return pixels / (shape[0] * shape[1])


def _span(matrix: Floats, axis: int, size_a: int, size_b: int) -> slice:
    step, shift = float(matrix[axis, axis]), float(matrix[axis, 2])
    edge = step - 0.6
    first = max(0, math.ceil((edge - shift) / step))
    last = min(size_b - 1, math.floor((size_a - 1 - edge - shift) / step))
    return slice(first, max(first, last + 1))


def _refine(
    a: Floats, b: Floats, start: Placement, steps: int, least: float = LEAST_STEP
) -> tuple[Placement, float]:
    """The placement with the highest correlation that was met, and that correlation."""
    rows, columns = b.shape
    x, y = _axes(rows, columns)
    p = np.array([start.scale_x, start.scale_y, start.shift_x, start.shift_y])
    best, likeness = start, -1.0
    for _ in range(steps):
        at = Placement(*p.tolist())
        matrix = at.matrix(a.shape, b.shape)
        inside = within(matrix, a.shape, b.shape)
        if share(inside, b.shape) < 0.5:
            break
        warped = cv2.warpAffine(a, matrix, (columns, rows), flags=SAMPLE, borderMode=cv2.BORDER_REPLICATE)
        value, target = warped[inside].ravel(), b[inside].ravel()
        gain, offset, correlation = _line(value, target)
        if correlation > likeness:
            best, likeness = at, correlation
        if gain <= 0:
            break
        residual = target - np.float32(gain) * value - np.float32(offset)
        # Pixels that the map does not explain (a watermark, another object) count for little.
        usual = 2 * float(cv2.norm(residual, cv2.NORM_L1)) / len(residual) + 1
        weight = 1 / (1 + (residual * np.float32(1 / usual)) ** 2)
        jacobian = np.empty((6, len(value)), np.float32)
        scale = (gain * a.shape[1] / 2 / matrix[0, 0], gain * a.shape[0] / 2 / matrix[1, 1])
        jacobian[2] = _slope(warped, 1, scale[0])[inside].ravel()
        jacobian[3] = _slope(warped, 0, scale[1])[inside].ravel()
        np.multiply(jacobian[2], x[inside].ravel(), out=jacobian[0])
        np.multiply(jacobian[3], y[inside].ravel(), out=jacobian[1])
        jacobian[4] = value
        jacobian[5] = 1
        weighted = jacobian * weight
        normal = (weighted @ jacobian.T).astype(np.float64)
        normal[np.diag_indices(6)] = normal.diagonal() * (1 + 1e-4) + 1e-6
        step = np.linalg.solve(normal, (weighted @ residual).astype(np.float64))[:4]
        p = p + np.clip(step, -0.15, 0.15)
        if p[:2].max() > MOST_SCALE or p[:2].min() < 1 / MOST_SCALE or np.abs(step).max() < least:
            break
    return best, likeness


def _slope(picture: Floats, axis: int, scale: float) -> Floats:
    slope: Floats = cv2.Sobel(picture, cv2.CV_32F, axis, 1 - axis, ksize=1, scale=0.5 * scale)
    return slope


def _line(x: Floats, y: Floats) -> tuple[float, float, float]:
    """Gain, offset and correlation of y over x; gain and correlation are 0 where either is flat."""
    mean_x, mean_y = float(x.mean()), float(y.mean())
    u, v = x - mean_x, y - mean_y
    xx, yy, xy = float(u @ u), float(v @ v), float(u @ v)
    if xx <= 0 or yy <= 0:
        return 0.0, mean_y, 0.0
    return xy / xx, mean_y - xy / xx * mean_x, xy / (xx * yy) ** 0.5


def _square(picture: Floats, side: int) -> Floats:
    small: Floats = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return small


@cache
def _axes(rows: int, columns: int) -> tuple[Floats, Floats]:
    x = (((np.arange(columns) + 0.5) / columns * 2 - 1)[None].repeat(rows, 0)).astype(np.float32)
    y = (((np.arange(rows) + 0.5) / rows * 2 - 1)[:, None].repeat(columns, 1)).astype(np.float32)
    return x, y


def _crops(a: Floats, b: Floats) -> list[Placement]:
    """The likeliest crop of either by the other."""
    placements, rows, columns = _samplers()
    found = []
    for wide, narrow in ((a, b), (b, a)):
        views = np.matmul(np.matmul(rows, wide), columns).reshape(len(placements), -1)
        views = views - views.mean(axis=1, keepdims=True)
        norms = np.sqrt((views * views).sum(axis=1)) + 1e-6
        at = placements[int(np.argmax(views @ (narrow - narrow.mean()).ravel() / norms))]
        if wide is b:
            x, y = 1 / at.scale_x, 1 / at.scale_y
            at = Placement(x, y, -at.shift_x * x, -at.shift_y * y)
        found.append(at)
    return found


@cache
def _samplers() -> tuple[list[Placement], Floats, Floats]:
    """Every crop that is tried, with the matrices that make it from a coarse picture, left and right."""
    axis = [(1.0, 0.0)] + [(scale, end * (1 - scale)) for scale in SCALES for end in (-1, 0, 1)]
    pairs = [(x, y) for x in axis for y in axis if x[0] == y[0] or 1.0 in (x[0], y[0])]
    matrices = {one: _sampler(*one) for one in axis}
    return (
        [Placement(x[0], y[0], x[1], y[1]) for x, y in pairs],
        np.stack([matrices[y] for _, y in pairs]),
        np.stack([matrices[x].T for x, _ in pairs]),
    )


def _sampler(scale: float, shift: float) -> Floats:
    """Linear interpolation along a coarse axis at ``scale * x + shift``."""
    n = COARSE_SIDE
    x = ((np.arange(n) + 0.5) / n * 2 - 1) * scale + shift
    at = np.clip((x + 1) / 2 * n - 0.5, 0, n - 1)
    weights: Floats = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n))).astype(np.float32)
    return weights
