"""Where one picture lies in another: scale and shift of each axis, found from coarse to fine.

The map is ``x_a = scale_x * x_b + shift_x`` (and for y), in coordinates from -1 to 1 over each picture. So
two copies of different sizes, squeezed ones too, map by (1, 1, 0, 0), and a crop by scales of 0.8 to 1.25.
Gauss-Newton on scale, shift, gain and offset (Lucas and Kanade 1981, Baker and Matthews 2004), from the best
of a set of crops.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Inside = tuple[slice, slice]

SAMPLE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

#: Scales that are tried at first, beside 1, and the side of the pictures on which that is done.
SCALES = (0.96, 0.92, 0.87, 0.81)
COARSE_SIDE = 32

#: Correlation of the coarse pictures from which nothing is tried on them: the frames agree already.
FRAMES_AGREE = 0.97

#: Correlation of the coarse pictures, or of one with the other's negative, below which they are others. Of
#: the tune half's same pairs it is .86 at least; of a third of the others within the radius it is less.
LEAST_COARSE = 0.8
LEAST_START = 0.7  #: the same before anything is refined

#: Steps below are not worth another one, in pixels of b.
LEAST_STEP = 0.03

#: How far a placement may be from the frames' agreeing for that to be tried as well, and how many times as
#: much the frames may leave unexplained.
NEARLY, AS_WELL = 0.05, 1.05

#: Pixels by which a picture is laid upon another; with so few nothing can be said.
MARKS = 4_000
LEAST_MARKS = 30

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

    def inverse(self) -> Placement:
        """The map from a to b."""
        return Placement(
            1 / self.scale_x, 1 / self.scale_y, -self.shift_x / self.scale_x, -self.shift_y / self.scale_y
        )

    @property
    def contained(self) -> float:
        """Share of the narrower that lies in the wider, over both axes; 1 for any crop."""
        share = 1.0
        for scale, shift in ((self.scale_x, self.shift_x), (self.scale_y, self.shift_y)):
            inside = min(1.0, shift + scale) - max(-1.0, shift - scale)
            share *= max(0.0, inside) / (2 * min(1.0, scale))
        return share


def place(a: Floats, b: Floats) -> Placement | None:
    """Where b lies in a, both grey from 0 to 255 and of any sizes; None where it lies nowhere."""
    coarse_a, coarse_b = _square(a, COARSE_SIDE), _square(b, COARSE_SIDE)
    framed = _line(coarse_a.ravel(), coarse_b.ravel())[2]
    if framed >= FRAMES_AGREE:
        return refine(a, b, Placement(), 6)
    likely = [(framed, Placement()), *_crops(coarse_a, coarse_b)]
    if max(abs(likeness) for likeness, _ in likely) < LEAST_START:
        return None
    _, start = max(likely, key=lambda found: found[0])
    best, likeness = _refine(coarse_a, _marks(coarse_b), start, 4)
    if abs(likeness) < LEAST_COARSE:  # far below 0, light and dark changed places
        return None
    return refine(a, b, best, 6)


def refine(a: Floats, b: Floats, start: Placement, steps: int) -> Placement:
    """The best of ``steps`` Gauss-Newton steps from ``start``, or frame on frame if that is nearly as good.

    Most copies are no crops, and what is blurred lies as well upon something a little larger.
    """
    best = _refine(a, _marks(b), start, steps)[0]
    moved = (best.scale_x - 1, best.scale_y - 1, best.shift_x, best.shift_y)
    if max(map(abs, moved)) > NEARLY or best == Placement():
        return best
    framed = 1 - _likeness(a, b, Placement())
    return Placement() if framed <= AS_WELL * (1 - _likeness(a, b, best)) else best


def _likeness(a: Floats, b: Floats, at: Placement) -> float:
    """Correlation where the two overlap."""
    matrix = at.matrix(a.shape, b.shape)
    inside = within(matrix, a.shape, b.shape)
    size = (b.shape[1], b.shape[0])
    laid = cv2.warpAffine(a, matrix, size, flags=SAMPLE, borderMode=cv2.BORDER_REPLICATE)
    return _line(laid[inside].ravel(), b[inside].ravel())[2]


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


@dataclass(frozen=True, slots=True)
class _Marks:
    """Pixels of a picture by which another is laid upon it: ``(pixels,)`` each."""

    shape: tuple[int, ...]
    x: Floats  #: columns
    y: Floats
    middle_x: Floats  #: the same from -1 to 1
    middle_y: Floats
    levels: Floats


def _marks(picture: Floats) -> _Marks:
    """All pixels of a small picture; of a larger one an even choice of all, and one of those with slopes."""
    if picture.size <= MARKS:
        return _Marks(picture.shape, *_grid(*picture.shape), picture.ravel())
    steep = np.abs(_slope(picture, 1)) + np.abs(_slope(picture, 0))
    edges = np.flatnonzero(steep > steep.mean())
    chosen = np.zeros(picture.size, np.bool_)
    chosen[edges[:: max(1, len(edges) * 2 // MARKS)]] = True
    chosen[:: picture.size * 2 // MARKS] = True  # what lies between slopes holds the levels
    at = np.flatnonzero(chosen)
    return _Marks(picture.shape, *_positions(at, *picture.shape), picture.ravel()[at])


@lru_cache(64)
def _grid(rows: int, columns: int) -> tuple[Floats, Floats, Floats, Floats]:
    return _positions(np.arange(rows * columns), rows, columns)


def _positions(at: npt.NDArray[np.intp], rows: int, columns: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Columns and rows of pixels, in pixels and from -1 to 1."""
    y, x = np.divmod(at, columns)
    return x.astype(np.float32), y.astype(np.float32), _middles(columns)[x], _middles(rows)[y]


def _inside(marks: _Marks, inside: Inside) -> _Marks:
    """The marks that lie in some rows and columns."""
    rows, columns = inside
    if (rows.start, columns.start, rows.stop, columns.stop) == (0, 0, *marks.shape):
        return marks
    at = np.flatnonzero(
        (marks.y >= rows.start)
        & (marks.y < rows.stop)
        & (marks.x >= columns.start)
        & (marks.x < columns.stop)
    )
    columns_of = (marks.x, marks.y, marks.middle_x, marks.middle_y, marks.levels)
    return _Marks(marks.shape, *(column[at] for column in columns_of))


def _refine(a: Floats, b: _Marks, start: Placement, steps: int) -> tuple[Placement, float]:
    """The placement with the highest correlation that was met, and that correlation."""
    at, best, likeness = start, start, -1.0
    least = LEAST_STEP * 2 / max(b.shape)
    inside = within(at.matrix(a.shape, b.shape), a.shape, b.shape)
    marks = _inside(b, inside)
    if share(inside, b.shape) < 0.5 or len(marks.x) < LEAST_MARKS:
        return best, likeness
    slopes = _slope(a, 1), _slope(a, 0)
    jacobian = np.empty((6, len(marks.x)), np.float32)
    jacobian[5] = 1
    for _ in range(steps):
        matrix = at.matrix(a.shape, b.shape)
        x, y = marks.x * matrix[0, 0], marks.y * matrix[1, 1]
        x += matrix[0, 2]
        y += matrix[1, 2]
        value, across, down = (
            cv2.remap(picture, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
            for picture in (a, *slopes)
        )
        gain, offset, correlation = _line(value, marks.levels)
        if correlation > likeness:
            best, likeness = at, correlation
        if gain <= 0:
            break
        residual = marks.levels - np.float32(gain) * value
        residual -= np.float32(offset)
        # Pixels that the map does not explain (a watermark, another object) count for little.
        usual = 2 * float(cv2.norm(residual, cv2.NORM_L1)) / len(residual) + 1
        weight = residual * np.float32(1 / usual)
        weight *= weight
        weight += 1
        np.reciprocal(weight, out=weight)
        np.multiply(across, np.float32(gain * a.shape[1] / 2), out=jacobian[2])
        np.multiply(down, np.float32(gain * a.shape[0] / 2), out=jacobian[3])
        np.multiply(jacobian[2], marks.middle_x, out=jacobian[0])
        np.multiply(jacobian[3], marks.middle_y, out=jacobian[1])
        jacobian[4] = value
        weighted = jacobian * weight
        normal = (weighted @ jacobian.T).astype(np.float64)
        diagonal = normal.reshape(-1)[::7]
        diagonal *= 1 + 1e-4
        diagonal += 1e-6
        # A tenth of NumPy's overhead, which is as much as all else on a coarse picture.
        gradient = (weighted @ residual[:, None]).astype(np.float64)
        solved, step = cv2.solve(normal, gradient, flags=cv2.DECOMP_CHOLESKY)
        if not solved:
            break
        moves = [max(-0.15, min(0.15, move)) for move in step.ravel().tolist()[:4]]
        at = Placement(
            at.scale_x + moves[0], at.scale_y + moves[1], at.shift_x + moves[2], at.shift_y + moves[3]
        )
        largest, smallest = max(at.scale_x, at.scale_y), min(at.scale_x, at.scale_y)
        if largest > MOST_SCALE or smallest < 1 / MOST_SCALE or max(map(abs, moves)) < least:
            break
    return best, likeness


def _slope(picture: Floats, axis: int) -> Floats:
    slope: Floats = cv2.Sobel(picture, cv2.CV_32F, axis, 1 - axis, ksize=1, scale=0.5)
    return slope


def _line(x: Floats, y: Floats) -> tuple[float, float, float]:
    """Gain, offset and correlation of y over x; gain and correlation are 0 where either is flat."""
    mean_x, mean_y = float(np.add.reduce(x)) / len(x), float(np.add.reduce(y)) / len(y)
    u, v = x - np.float32(mean_x), y - np.float32(mean_y)
    xx, yy, xy = float(u @ u), float(v @ v), float(u @ v)
    if xx <= 0 or yy <= 0:
        return 0.0, mean_y, 0.0
    return xy / xx, mean_y - xy / xx * mean_x, xy / (xx * yy) ** 0.5


def _square(picture: Floats, side: int) -> Floats:
    small: Floats = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return small


def _middles(size: int) -> Floats:
    """Where the pixels of an axis lie, from -1 to 1."""
    middles: Floats = ((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32)
    return middles


def _crops(a: Floats, b: Floats) -> list[tuple[float, Placement]]:
    """The likeliest crop of either by the other, with its correlation."""
    axis, samplers, products, tried = _samplers()
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    found: list[tuple[float, Placement]] = []
    for wide, narrow in ((a, b), (b, a)):
        # Of each view ``rows @ wide @ columns.T``: its product with the narrow one, its mean and its norm,
        # without the view itself.
        rows = np.matmul(samplers, wide)
        columns = np.matmul(narrow, samplers)
        common = _flat(rows) @ _flat(columns).T
        means = rows.sum(axis=1) @ samplers.sum(axis=1).T / narrow.size
        squares = _flat(np.matmul(rows.transpose(0, 2, 1), rows)) @ products.T
        likeness = common / np.sqrt(np.maximum(squares - narrow.size * means * means, 0) + 1e-3)
        likeness = np.where(tried, likeness, -np.inf)
        y, x = np.unravel_index(int(np.argmax(likeness)), tried.shape)
        (scale_x, shift_x), (scale_y, shift_y) = axis[x], axis[y]
        if found:  # b is the wide one
            scale_x, shift_x = 1 / scale_x, -shift_x / scale_x
            scale_y, shift_y = 1 / scale_y, -shift_y / scale_y
        whole = max(norm[0 if found else 1], 1e-3)
        found.append((float(likeness[y, x]) / whole, Placement(scale_x, scale_y, shift_x, shift_y)))
    return found


def _flat(matrices: Floats) -> Floats:
    return matrices.reshape(len(matrices), -1)


@cache
def _samplers() -> tuple[list[tuple[float, float]], Floats, Floats, npt.NDArray[np.bool_]]:
    """Crops of one axis as scale and shift, ``(crops,)``; the matrices ``(crops, side, side)`` that make them
    of a coarse picture's rows; products of each with itself, flat; and which of y with x are tried."""
    axis = [(1.0, 0.0)] + [(scale, end * (1 - scale)) for scale in SCALES for end in (-1, 0, 1)]
    samplers = np.stack([_sampler(*one) for one in axis])
    scales = np.array([scale for scale, _ in axis])
    tried = (scales[:, None] == scales) | (scales[:, None] == 1) | (scales == 1)
    return axis, samplers, _flat(np.matmul(samplers.transpose(0, 2, 1), samplers)), tried


def _sampler(scale: float, shift: float) -> Floats:
    """Linear interpolation along a coarse axis at ``scale * x + shift``."""
    n = COARSE_SIDE
    x = _middles(n) * scale + shift
    at = np.clip((x + 1) / 2 * n - 0.5, 0, n - 1)
    weights: Floats = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n))).astype(np.float32)
    return weights
