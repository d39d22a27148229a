"""What speaks for and against two pictures being one: measured after one is laid upon the other.

The same code serves signatures (some 60 pixels wide: a changed digit cannot be seen) and close-ups (up to a
megapixel). All measures are our choice; their limits stand in :mod:`~infinity_assets.similarity.pictures`.
"""

from __future__ import annotations

import math
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from infinity_assets.similarity.levels import contrast_of, fitted_curve, mapped, sampled
from infinity_assets.similarity.registration import (
    SAMPLE,
    Floats,
    Placement,
    place,
    refine,
    share,
    within,
)
from infinity_assets.similarity.signature import (
    EARLY_PIXELS,
    FINE_ENOUGH,
    LEAST_SIDE,
    LUMA_PIXELS,
    Plane,
    Signature,
    scaled,
    smaller,
)

#: Least share of b on which a must lie.
LEAST_OVERLAP = 0.4

#: From and to how many pixels of a picture a placement is refined, on how many of them, and steps: in a first
#: look at a close-up, and in a look at one of which the first look saw too little.
LADDER = (
    (EARLY_PIXELS / 2, EARLY_PIXELS * FINE_ENOUGH, EARLY_PIXELS, 4),
    (60_000 * FINE_ENOUGH, math.inf, 60_000, 3),
)

#: Weakest edge that counts, in grey levels a pixel at full contrast, and the share that must be left of it.
EDGE = 14.0
EDGE_LEFT = 0.3
STRONGEST_EDGE = 80.0

#: Side of the windows in which structure is compared: a digit of a page at reading size.
WINDOW = 7
#: Standard deviation from which a window has structure, at full contrast.
STRUCTURE = 15.0
#: The same up to which a window is plain.
PLAIN = 10.0
#: What no look holds against a pair, whatever of it shifts would explain.
EXPLAINED = 40.0

#: ITU-R 601, and the share of a colour's strength by which it may differ.
TO_CB = np.array([-0.169, -0.331, 0.5], np.float32)
TO_CR = np.array([0.5, -0.419, -0.081], np.float32)
COLOUR_SHARE = 0.15

SQUARE = np.ones((3, 3), np.uint8)

#: How many times the slope Sobel's filter gives.
SOBEL = 8

#: Slopes to the right and down, :data:`SOBEL` times, with a rim of one: ``(h + 2, w + 2)`` each.
Edges = tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]

#: The pixels around one, down and right.
AROUND = np.array([(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)])


class Evidence:
    """Measures of b with a laid upon it, made when asked for; levels are of 255, at full contrast."""

    def __init__(self, a: Signature, b: Signature, one: Plane, other: Plane, placement: Placement) -> None:
        self.placement = placement
        self._a, self._b = a, b
        self._other = other
        matrix = placement.matrix(one.shape, other.shape)
        self._inside = within(matrix, one.shape, other.shape)
        #: share of b on which a lies; where it is 0, nothing can be measured
        self.overlap = share(self._inside, other.shape)
        self._laid = one
        if placement != Placement() or one.shape != other.shape:
            size = (other.shape[1], other.shape[0])
            how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            self._laid = cv2.warpAffine(one, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)

    @cached_property
    def _sample(self) -> tuple[Plane, Plane]:
        """Levels of both at some pixels, evenly chosen."""
        return sampled(self._laid[self._inside].ravel(), self._other[self._inside].ravel())

    @cached_property
    def _curve(self) -> tuple[npt.NDArray[np.float64], float]:
        return fitted_curve(*self._sample)

    @cached_property
    def _mapped(self) -> Plane:
        """a in the brightness of b."""
        table = np.rint(mapped(self._curve[0], np.arange(256, dtype=np.float32))).astype(np.uint8)
        through = self._other.copy()  # what lies outside of a says nothing
        through[self._inside] = cv2.LUT(self._laid[self._inside], table)
        return through

    @cached_property
    def _contrast(self) -> float:
        return contrast_of(self._sample[1])

    @cached_property
    def correlation(self) -> float:
        """Of b with a mapped to its brightness, -1 to 1."""
        x, y = self._sample
        return _correlation(mapped(self._curve[0], x.astype(np.float32)), y.astype(np.float32))

    @property
    def slope(self) -> float:
        """Least slope of the map of brightness: below 0 is inverted, 1 is unchanged."""
        return self._curve[1]

    @property
    def gain(self) -> float:
        """How many times the contrast of what b shows of a is that of a; 0 where a is flat."""
        deviations = (
            float(cv2.meanStdDev(plane[self._inside])[1][0, 0]) for plane in (self._laid, self._other)
        )
        of_a, of_b = deviations
        return of_b / of_a if of_a > 0 else 0.0

    @cached_property
    def _edges(self) -> tuple[Edges, Edges]:
        return _edges(self._mapped), _edges(self._other)

    @cached_property
    def _apart(self) -> npt.NDArray[np.intp]:
        """Where edges may be missing in either: nowhere else do the slopes of the two differ enough."""
        (x, y), (other_x, other_y) = self._edges
        least = (1 - EDGE_LEFT) * EDGE * SOBEL * self._contrast / 2**0.5
        apart = cv2.max(cv2.absdiff(x, other_x), cv2.absdiff(y, other_y)) > least
        rows, columns = self._inside
        seen = np.zeros_like(apart)
        inside = slice(rows.start + 1, rows.stop + 1), slice(columns.start + 1, columns.stop + 1)
        seen[inside] = apart[inside]
        return np.flatnonzero(seen)

    @cached_property
    def lost(self) -> float:
        """Edges of a that b lacks, mean of the worst window."""
        of_a, of_b = self._edges
        return _worst_missing(self._apart, of_a, of_b, self._contrast)

    @cached_property
    def added(self) -> float:
        """Edges of b that a lacks, mean of the worst window."""
        of_a, of_b = self._edges
        return _worst_missing(self._apart, of_b, of_a, self._contrast)

    def keeps_edges(self, limit: float) -> bool:
        """Whether less than ``limit`` is lost or less than that is added."""
        return self.lost < limit or self.added < limit

    @cached_property
    def recoloured(self) -> float:
        """Difference in colour beyond its neighbourhood and strength, worst window."""
        return _recoloured(self._a, self._b, self.placement)

    @cached_property
    def differs(self) -> float:
        """Root mean square, worst window; soon made, and no less than the next two less :data:`PLAIN`."""
        away = cv2.absdiff(self._mapped[self._inside], self._other[self._inside])
        squares: Floats = cv2.sqrBoxFilter(away, cv2.CV_32F, (WINDOW, WINDOW))
        return float(np.sqrt(squares.max())) / self._contrast

    @cached_property
    def _structure(self) -> tuple[float, float, float]:
        one, other = (p[self._inside].astype(np.float32) for p in (self._mapped, self._other))
        return _unexplained(one, other, self._contrast)

    @property
    def unexplained(self) -> float:
        """Structure of both that differs, standard deviation in the worst window."""
        return self._structure[0]

    @property
    def usual(self) -> float:
        """The same in nine of ten windows with structure: what resizing and encoding did."""
        return self._structure[1]

    @property
    def alone(self) -> float:
        """Structure of either where the other is plain, standard deviation in the worst window."""
        return self._structure[2]

    @property
    def flat(self) -> float:
        """Share of pixels of b without any slope, near 1 for drawings."""
        x, y = (slopes[1:-1, 1:-1].ravel() for slopes in self._edges[1])
        x, y = sampled(x, y)
        return float(np.mean(np.abs(x) + np.abs(y) < 0.5 * SOBEL))

    @property
    def grey(self) -> bool:
        """Whether one is grey and the other is not."""
        return (self._a.chroma is None) != (self._b.chroma is None)


def examine(a: Signature, b: Signature, start: Placement | None = None) -> Evidence | None:
    """The evidence on two pictures; None where one is too small, or lies nowhere in the other.

    Args:
        a: either picture.
        b: the other.
        start: where b lies in a, from a look at smaller ones.
    """
    if min(*a.luma.shape, *b.luma.shape) < LEAST_SIDE:
        return None
    if start is None:
        start = place(a.luma.astype(np.float32), b.luma.astype(np.float32))
        if start is None:
            return None
    one, other = _of_one_scale(a.luma, b.luma, start)
    for least, most, pixels, steps in LADDER:
        if other.size >= 2 * LUMA_PIXELS and least <= one.size <= most:
            reduced = min(1.0, (pixels / one.size) ** 0.5)
            coarse, sought = (scaled(p, reduced, reduced).astype(np.float32) for p in (one, other))
            start = refine(coarse, sought, start, steps)
    seen = Evidence(a, b, one, other, start)
    return seen if seen.overlap >= LEAST_OVERLAP else None


def _of_one_scale(a: Plane, b: Plane, at: Placement) -> tuple[Plane, Plane]:
    """The finer one reduced, so that what both show has the same size in both."""
    x, y = b.shape[1] / (a.shape[1] * at.scale_x), b.shape[0] / (a.shape[0] * at.scale_y)
    if x * y < 1:
        return scaled(a, min(1.0, x), min(1.0, y)), b
    return a, scaled(b, min(1.0, 1 / x), min(1.0, 1 / y))


def _correlation(x: Floats, y: Floats) -> float:
    u, v = x - x.mean(), y - y.mean()
    norm = float(u @ u) * float(v @ v)
    return float(u @ v) / norm**0.5 if norm > 0 else 0.0


def _worst(picture: Floats, window: int) -> float:
    return float(cv2.blur(picture, (window, window)).max())


def _edges(picture: Plane) -> Edges:
    slopes = (cv2.Sobel(picture, cv2.CV_16S, x, 1 - x, ksize=3) for x in (1, 0))
    x, y = (cv2.copyMakeBorder(slope, 1, 1, 1, 1, cv2.BORDER_REPLICATE) for slope in slopes)
    return x, y


def _worst_missing(at: npt.NDArray[np.intp], edges: Edges, others: Edges, contrast: float) -> float:
    """Strength of edges of which the other has less than a share, in the same direction, a pixel around: mean
    of the worst window, of edges among the pixels ``at``."""
    rows, columns = edges[0].shape
    x, y = (slopes.ravel()[at].astype(np.float32) for slopes in edges)
    squares = x * x + y * y
    lost = np.flatnonzero(squares > (EDGE * SOBEL * contrast) ** 2)
    other_x, other_y = (slopes.ravel() for slopes in others)
    for around in ([0], AROUND @ (columns, 1)):  # most edges are where they should be
        at, x, y, squares = at[lost], x[lost], y[lost], squares[lost]
        there = np.add.outer(around, at)
        lost = np.flatnonzero((x * other_x[there] + y * other_y[there] < EDGE_LEFT * squares).all(axis=0))
    if not len(lost):
        return 0.0
    row, column = np.divmod(at[lost], columns)
    window = 7 if (rows - 2) * (columns - 2) < 20_000 else 9
    # Only around what is missing; beyond the picture it is as within it.
    top, left = max(1, int(row.min()) - window), max(1, int(column.min()) - window)
    bottom, right = min(rows - 2, int(row.max()) + window), min(columns - 2, int(column.max()) + window)
    missing = np.zeros((bottom - top + 1, right - left + 1), np.float32)
    missing[row - top, column - left] = np.minimum(np.sqrt(squares[lost]) / SOBEL, STRONGEST_EDGE)
    return _worst(missing, window) / contrast


def _unexplained(a: Floats, b: Floats, contrast: float) -> tuple[float, float, float]:
    """Standard deviation, in the worst window and in nine of ten, of what neither a line over the other's
    levels nor a shift by a pixel explains; shifts are not tried where the line explains enough everywhere.
    Where one has no structure there is none: the third value is the deviation of the other there."""
    mean_a, variance_a = _moments(a)
    least: Floats | None = None
    structure = variance_a
    alone = 0.0
    for x, y in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
        moved = b if (x, y) == (0, 0) else _moved(b, x, y)
        mean_b, variance_b = _moments(moved)
        common = _mean(cv2.multiply(a, moved))
        common -= mean_a * mean_b
        np.maximum(common, 0, out=common)
        common *= common
        common /= variance_a * variance_b + 1
        np.minimum(common, 1, out=common)
        np.subtract(1, common, out=common)
        left = np.minimum(variance_a, variance_b)
        if least is None:
            structure = left
            plain = (PLAIN * contrast) ** 2
            alone = max(_beside(variance_a, variance_b, plain), _beside(variance_b, variance_a, plain))
        common *= left
        least = common if least is None else np.minimum(least, common)
        if float(least.max()) <= (EXPLAINED * contrast) ** 2:
            break
    assert least is not None
    deviation = np.sqrt(np.maximum(least, 0)) / contrast
    textured = deviation[structure > (STRUCTURE * contrast) ** 2]
    usual = float(np.quantile(textured, 0.9)) if textured.size > 200 else 0.0
    return float(deviation.max()), usual, alone**0.5 / contrast


def _beside(some: Floats, others: Floats, plain: float) -> float:
    """The most of ``some`` where the others are below ``plain``, a pixel around as well."""
    return float(some[cv2.dilate(others, SQUARE) < plain].max(initial=0))


def _moments(picture: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of each window."""
    mean = _mean(picture)
    variance: Floats = cv2.sqrBoxFilter(picture, cv2.CV_32F, (WINDOW, WINDOW))
    variance -= mean * mean
    return mean, np.maximum(variance, 0, out=variance)


def _mean(picture: Floats) -> Floats:
    mean: Floats = cv2.blur(picture, (WINDOW, WINDOW))
    return mean


def _moved(picture: Floats, x: int, y: int) -> Floats:
    rows, columns = picture.shape
    padded: Floats = cv2.copyMakeBorder(picture, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    return padded[1 + y : 1 + y + rows, 1 + x : 1 + x + columns]


def _recoloured(a: Signature, b: Signature, at: Placement) -> float:
    """Distance in chroma, worst mean of 3 x 3, of b and of a through the one curve that takes the levels of
    red, green and blue to b's, less what the neighbourhood and a share of the colours' strength explain.

    Brightness, contrast and gamma treat the three alike; another hue does not.
    """
    if a.chroma is None and b.chroma is None:
        return 0.0
    sizes = [p.chroma.shape[1:] for p in (a, b) if p.chroma is not None]
    rows, columns = (max(LEAST_SIDE, min(size[i] for size in sizes)) for i in (0, 1))
    one = _colours(a, at, (rows, columns))
    other = _colours(b, Placement(), (rows, columns))
    inside = within(at.matrix((rows, columns), (rows, columns)), (rows, columns), (rows, columns))
    curve, _ = fitted_curve(*sampled(one[:, *inside].ravel(), other[:, *inside].ravel()))
    through = mapped(curve, one)
    square = np.zeros((rows, columns), np.float32)
    strength = np.zeros((rows, columns), np.float32)
    for weights in (TO_CB, TO_CR):
        x, y = _weighted(weights, through), _weighted(weights, other)
        square += cv2.max(_beyond(x, y), _beyond(y, x)) ** 2
        strength += np.maximum(x * x, y * y)
    distance = np.zeros((rows, columns), np.float32)
    distance[inside] = np.maximum(np.sqrt(square) - COLOUR_SHARE * np.sqrt(strength), 0)[inside]
    return _worst(distance, 3)


def _weighted(weights: npt.NDArray[np.float32], channels: Floats) -> Floats:
    mixed: Floats = (weights @ channels.reshape(3, -1)).reshape(channels.shape[1:])
    return mixed


def _colours(picture: Signature, at: Placement, shape: tuple[int, int]) -> Floats:
    """Red, green and blue, ``(3, h, w)``, as they lie under a picture of ``shape``."""
    luma = _laid(smaller(picture.luma, shape[0] * shape[1]).astype(np.float32), at, shape)
    if picture.chroma is None:
        return np.stack([luma, luma, luma])
    cb, cr = (_laid(plane.astype(np.float32) - 128, at, shape) for plane in picture.chroma)
    rgb = [luma + 1.402 * cr, luma - 0.344 * cb - 0.714 * cr, luma + 1.772 * cb]
    return np.stack(rgb).clip(0, 255).astype(np.float32)


def _laid(plane: Floats, at: Placement, shape: tuple[int, int]) -> Floats:
    """A plane as it lies under one of ``shape``, reduced to its scale before."""
    x, y = shape[1] / (plane.shape[1] * at.scale_x), shape[0] / (plane.shape[0] * at.scale_y)
    reduced = scaled(plane, min(1.0, x), min(1.0, y))
    matrix = at.matrix(reduced.shape, shape)
    laid: Floats = cv2.warpAffine(
        reduced, matrix, (shape[1], shape[0]), flags=SAMPLE, borderMode=cv2.BORDER_REPLICATE
    )
    return laid


def _beyond(x: Floats, y: Floats) -> npt.NDArray[np.float32]:
    """How far x lies outside of what y has a pixel around."""
    beyond: Floats = cv2.max(cv2.subtract(x, cv2.dilate(y, SQUARE)), cv2.subtract(cv2.erode(y, SQUARE), x))
    return np.maximum(beyond, 0, out=beyond)
