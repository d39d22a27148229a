"""The ground of a small picture, the one colour that most of it has, and whether two can be one ground.

Drawings, charts and pages of one template differ in little but their ground. It is told within some 0.05 ms,
where laying one picture upon the other takes milliseconds. Our choice.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from infinity_assets.similarity.signature import unpack

#: Least share of a picture that is its ground. A copy that is cropped by a tenth of each axis keeps .81 of
#: it; .56 and .56 of .81 are more than a whole, so no such crop makes another colour the ground.
LEAST_SHARE = 0.56

#: How far a pixel of the ground may be from it: luma, and each of Cb and Cr.
LUMA_AROUND, CHROMA_AROUND = 6, 4

#: Grey levels by which two channels may differ otherwise than they should: what encoding does.
TOLERANCE = 5.0

#: Share of a difference of two channels that contrast, brightness and gamma leave at least.
LEAST_LEFT = 0.6

#: A channel from which brightening may have cut something off.
CLIPPED = 250.0

#: Signatures whose grounds are kept: each picture has some candidates.
KEPT = 2048


class Ground(NamedTuple):
    """Mean levels of the ground."""

    red: float
    green: float
    blue: float


@lru_cache(KEPT)
def ground_of(signature: bytes) -> Ground | None:
    """The ground of a picture in colour; None where it is grey or no colour covers enough of it.

    Raises:
        StoreError: if that is no signature.
    """
    picture = unpack(signature)
    if picture.chroma is None:
        return None
    rows, columns = picture.chroma.shape[1:]
    luma = cv2.resize(picture.luma, (columns, rows), interpolation=cv2.INTER_AREA)
    planes = np.stack([luma, *picture.chroma]).reshape(3, -1).astype(np.int32)
    # The fullest cell of a coarse histogram, then all that is near its middle.
    cells = (planes[0] >> 3) * 4096 + (planes[1] >> 2) * 64 + (planes[2] >> 2)
    fullest = planes[:, cells == np.bincount(cells).argmax()].mean(axis=1, keepdims=True)
    away = np.abs(planes - fullest)
    near = (away[0] < LUMA_AROUND) & (away[1] < CHROMA_AROUND) & (away[2] < CHROMA_AROUND)
    if np.count_nonzero(near) < LEAST_SHARE * near.size:
        return None
    y, cb, cr = planes[:, near].mean(axis=1).tolist()
    cb, cr = cb - 128, cr - 128
    return Ground(y + 1.402 * cr, y - 0.344 * cb - 0.714 * cr, y + 1.772 * cb)


def one_ground(a: Ground, b: Ground) -> bool:
    """Whether one curve over the levels of red, green and blue may take either to the other; symmetric.

    A tint cannot come or go so, nor turn into another, unless it was cut off at white.
    """
    return all(
        _explained(a[i] - a[j], b[i] - b[j], max(a[i], a[j]), max(b[i], b[j]))
        for i, j in ((0, 1), (1, 2), (0, 2))
    )


def _explained(first: float, other: float, top: float, other_top: float) -> bool:
    if abs(first) > abs(other):
        first, other, top = other, first, other_top
    # ``first`` is the smaller difference now, and ``top`` the higher of its picture's two channels.
    if abs(other - first) <= TOLERANCE:
        return True
    if first * other < 0 and abs(first) > TOLERANCE / 2:
        return False
    return top >= CLIPPED or abs(first) >= LEAST_LEFT * abs(other) - TOLERANCE / 2
