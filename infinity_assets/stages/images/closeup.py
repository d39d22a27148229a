"""Close-ups: pictures decoded once more, for the few pairs whose signatures agree.

That a picture is decoded once holds for the pass over all of them. Candidates for a near duplicate are few, a
digit of a page needs its pixels, and keeping those of every picture would double what is stored.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from infinity_assets.similarity.pictures import Comparison, closer
from infinity_assets.similarity.registration import Placement
from infinity_assets.similarity.signature import Signature, halve
from infinity_assets.stages.images.canonical import Canonical, canonicalize
from infinity_assets.stages.images.decode import check_limits, decode, read_header
from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.images.measure import chroma_of, over_white
from infinity_assets.stages.images.sniff import sniff

#: Pixels of a close-up at most: a page keeps glyphs of some 9 pixels. Two of one picture are compared in some
#: 0.06 s of CPU, most others in 0.01 s.
CLOSEUP_PIXELS = 1_200_000

#: Least side of a close-up, in pixels: a smaller picture is enlarged by a whole number, or a pixel around and
#: a window of 7 would be a good part of it, and a circle would be a triangle.
LEAST_SIDE = 160


def closeup(data: bytes, limits: Limits) -> Signature:
    """A picture of up to :data:`CLOSEUP_PIXELS`, with chroma a quarter as wide; a small one is enlarged.

    Raises:
        ImageProblem: if the picture cannot be decoded; one that was measured can.
    """
    picture, canonical = _upright(data, limits)
    while picture.shape[0] * picture.shape[1] > CLOSEUP_PIXELS and min(picture.shape[:2]) > 1:
        picture = halve(picture)
    picture = _enlarged(picture)
    if picture.ndim == 2:
        return Signature(canonical.width, canonical.height, picture, None)
    small = picture
    for _ in range(2):
        if min(small.shape[:2]) >= 16:
            small = halve(small)
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return Signature(canonical.width, canonical.height, luma, chroma_of(small))


def squared(data: bytes, side: int, limits: Limits) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture as networks see it: RGB over white, ``(side, side, 3)``, whatever its aspect ratio.

    Raises:
        ImageProblem: if the picture cannot be decoded; one that was measured can.
    """
    picture, _ = _upright(data, limits)
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    how = cv2.INTER_AREA if min(picture.shape[:2]) >= side else cv2.INTER_LINEAR
    small: np.ndarray[Any, np.dtype[np.uint8]] = cv2.resize(picture, (side, side), interpolation=how)
    return small


def _upright(data: bytes, limits: Limits) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], Canonical]:
    """Grey, or RGB over white."""
    header = read_header(data, str(sniff(data)), limits)
    check_limits(data, header, limits)
    canonical = canonicalize(decode(data, header), bilevel=header.mode == "1")
    pixels: np.ndarray[Any, np.dtype[Any]] = canonical.pixels
    if canonical.form == "bilevel":
        pixels = np.unpackbits(pixels.astype(np.uint8), axis=1, count=canonical.width) * np.uint8(255)
    elif canonical.form == "grey16":
        pixels = pixels >> 8
    picture = pixels.astype(np.uint8, copy=False)
    if canonical.form == "rgba":
        picture = over_white(picture)
    return picture, canonical


def _enlarged(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    rows, columns = picture.shape[:2]
    times = min(-(-LEAST_SIDE // min(rows, columns)), math.isqrt(CLOSEUP_PIXELS // (rows * columns)))
    if times <= 1:
        return picture
    size = columns * times, rows * times
    larger: np.ndarray[Any, np.dtype[np.uint8]] = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    return larger


def confirm_pair(pair: tuple[bytes, bytes, Placement]) -> Comparison:
    """:func:`confirm` within the usual limits, for workers."""
    return confirm(*pair, Limits())


#: A picture stands in some pairs, which come one after the other: each close-up has 2 MB at most.
_kept = lru_cache(8)(closeup)


def confirm(left: bytes, right: bytes, start: Placement, limits: Limits) -> Comparison:
    """The second look at two pictures, given as their files' bytes, and where the first one saw the right
    one in the left one; symmetric.

    Raises:
        ImageProblem: if either cannot be decoded.
    """
    return closer(_kept(left, limits), _kept(right, limits), start)
