"""pHashes of the inner parts of a picture: by them a copy that was cropped is met.

A cut of a tenth from one side moves what a pHash sees by up to three of its 32 rows: six of ten such copies
lie beyond distance 10. The pHash of a copy lies near to that of the part which it shows; so each picture has
some hashes more, of usual parts. Which ones: our choice, on crops of pictures that no benchmark holds.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from infinity_assets.similarity.signature import unpack

#: Raised when the same signature gives other hashes.
CROPS_VERSION: Final = 4

#: Parts by left, top, right and bottom: without a strip at a side or at two that meet, and without a rim.
#: A copy that lost something in between is near to a neighbour.
PARTS: Final = (
    *(
        part
        for cut in (0.055, 0.075, 0.095)
        for part in (
            (cut, 0.0, 1.0, 1.0),
            (0.0, cut, 1.0, 1.0),
            (0.0, 0.0, 1 - cut, 1.0),
            (0.0, 0.0, 1.0, 1 - cut),
        )
    ),
    *(
        (left, top, left + 1 - cut, top + 1 - cut)
        for cut in (0.04, 0.08, 0.1)
        for left in (0.0, cut)
        for top in (0.0, cut)
    ),
    *((cut, cut, 1 - cut, 1 - cut) for cut in (0.015, 0.035, 0.05, 0.065)),
)

#: By how much the radius of these hashes is less than that of wholes. More parts are cheaper than a larger
#: radius: of copies cropped by up to a tenth, 87 % are candidates with nine parts within 4, 96 % with these,
#: and 94 % with nine within 6, for five times the other candidates and four times the search.
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
    return phash_bytes(np.matmul(np.matmul(_ROWS, picture), _COLUMNS)).view(">u8").ravel().astype(np.uint64)


def phash_bytes(coefficients: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Which of the 8 x 8 lowest DCT coefficients of each picture are above their median, ``(pictures, 8)``.

    They are rounded to thousandths first, so that ties do not hang on a machine's last bit.
    """
    low = np.rint(1000 * coefficients).reshape(-1, 64)
    ordered = np.sort(low, axis=1)
    return np.packbits(low > (ordered[:, 31:32] + ordered[:, 32:33]) / 2, axis=1)


def _means(low: float, high: float) -> npt.NDArray[np.float64]:
    """Area means ``(32, 64)`` of a part of an axis."""
    ends = np.linspace(low, high, _DCT_SIDE + 1) * _SIDE
    pixels = np.arange(_SIDE)
    covered = np.minimum(ends[1:, None], pixels + 1) - np.maximum(ends[:-1, None], pixels)
    weights: npt.NDArray[np.float64] = np.maximum(covered, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


#: DCT-II of 32 samples, its 8 lowest coefficients, ``(8, 32)``.
DCT = 2 * np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(_DCT_SIDE) + 1) / (2 * _DCT_SIDE))
_ROWS = np.stack([DCT @ _means(top, bottom) for _, top, _, bottom in PARTS])
_COLUMNS = np.stack([(DCT @ _means(left, right)).T for left, _, right, _ in PARTS])
