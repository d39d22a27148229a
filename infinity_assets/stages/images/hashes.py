"""Perceptual hashes of thumbnails, after the ``imagehash`` package.

They follow its phash of size 8 with a 32 x 32 DCT and its dhash of size 16 closely enough to be compared with
hashes made by it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from infinity_assets.similarity.crops import DCT, phash_bytes

#: Side of the thumbnail. Twice the 32 of the DCT, so that the last halving can be Lanczos as in imagehash.
THUMBNAIL_SIDE = 64

Floats = npt.NDArray[np.float64]


def perceptual_hashes(thumbnails: Sequence[npt.NDArray[np.uint8]]) -> list[tuple[bytes, bytes]]:
    """Hashes of 8 and of 32 bytes for each, bits row by row from the highest, as imagehash writes them.

    - phash: the 8 x 8 lowest DCT-II coefficients of a 32 x 32 picture against their median;
    - dhash: whether each pixel of a 17 x 16 picture is darker than its right neighbour.
    """
    rows = _ROWS @ np.array(thumbnails, np.uint8).reshape(-1, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    phashes = phash_bytes(DCT @ _grey_levels(rows[:, :32] @ _TO_32.T) @ DCT.T)
    steps = _grey_levels(rows[:, 32:] @ _TO_17.T)
    dhashes = np.packbits((steps[:, :, 1:] > steps[:, :, :-1]).reshape(-1, 256), axis=1)
    return [(phash.tobytes(), dhash.tobytes()) for phash, dhash in zip(phashes, dhashes, strict=True)]


def _grey_levels(picture: Floats) -> Floats:
    """Whole levels from 0 to 255, as Pillow gives them to imagehash."""
    levels: Floats = np.rint(np.minimum(np.maximum(picture, 0), 255))
    return levels


def _lanczos(size: int, source: int = THUMBNAIL_SIDE) -> Floats:
    """Weights ``(size, source)`` of a Lanczos-3 reduction, each row summing to 1."""
    scale = source / size
    centres = (np.arange(size) + 0.5) * scale
    offsets = (np.arange(source) + 0.5 - centres[:, None]) / scale
    weights: Floats = np.where(np.abs(offsets) < 3, np.sinc(offsets) * np.sinc(offsets / 3), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


_TO_32, _TO_17 = _lanczos(32), _lanczos(17)
_ROWS = np.vstack([_TO_32, _lanczos(16)])
