"""pHashes of the inner parts of a picture: by them a copy that was cropped is met.

A cut of a tenth from one side moves what a pHash sees by up to three of its 32 rows: six of ten such copies
lie beyond distance 10. The pHash of a copy lies near to that of the part which it shows; so each picture has
some hashes more, of usual parts. Which ones: our choice, on the tune half of ``benchmarks/_picture_pairs``.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from infinity_assets.similarity.signature import unpack

#: Raised when the same signature gives other hashes.
CROPS_VERSION: Final = 2

#: Parts by left, top, right and bottom: without a strip at either side or at two of them, and without a rim.
PARTS: Final = (
    (0.075, 0.0, 1.0, 1.0),
    (0.0, 0.0, 0.925, 1.0),
    (0.0, 0.075, 1.0, 1.0),
    (0.0, 0.0, 1.0, 0.925),
    (0.075, 0.075, 1.0, 1.0),
    (0.0, 0.075, 0.925, 1.0),
    (0.075, 0.0, 1.0, 0.925),
    (0.0, 0.0, 0.925, 0.925),
    (0.03, 0.03, 0.97, 0.97),
)

#: By how much the radius of these hashes is less than that of wholes. Of the tune half's same pairs 97 %
#: are candidates so, and 98 % with 4, for a third more candidates and a dearer search; without parts 93 %.
LESS: Final = 6

_SIDE, _DCT_SIDE = 64, 32


def crop_radius(radius: int) -> int:
    """Largest Hamming distance of the pHash of a part to that of a whole picture, for a radius of wholes."""
    return max(0, radius - LESS)


def crop_hashes(signature: bytes) -> npt.NDArray[np.uint64]:
    """The pHash of each of :data:`PARTS`, ``(parts,)``, made of a signature.

    The definition is that of ``stages/images/measure.py``, but for area means in place of Lanczos.

    Raises:
        StoreError: if that is no signature.
    """
    luma = unpack(signature).luma.astype(np.float32)
    picture = cv2.resize(luma, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR).astype(np.float64)
    low = np.rint(1000 * np.matmul(np.matmul(_ROWS, picture), _COLUMNS)).reshape(len(PARTS), -1)
    ordered = np.sort(low, axis=1)
    bits = low > (ordered[:, 31:32] + ordered[:, 32:33]) / 2
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def _means(low: float, high: float) -> npt.NDArray[np.float64]:
    """Area means ``(32, 64)`` of a part of an axis."""
    ends = np.linspace(low, high, _DCT_SIDE + 1) * _SIDE
    pixels = np.arange(_SIDE)
    covered = np.minimum(ends[1:, None], pixels + 1) - np.maximum(ends[:-1, None], pixels)
    weights: npt.NDArray[np.float64] = np.maximum(covered, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


_DCT = 2 * np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(_DCT_SIDE) + 1) / (2 * _DCT_SIDE))
_ROWS = np.stack([_DCT @ _means(top, bottom) for _, top, _, bottom in PARTS])
_COLUMNS = np.stack([(_DCT @ _means(left, right)).T for left, _, right, _ in PARTS])
