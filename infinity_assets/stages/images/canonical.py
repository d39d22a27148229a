"""The canonical picture: the smallest form that holds the decoded one exactly, and its hash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from blake3 import blake3

from infinity_assets.stages.images.decode import Pixels


@dataclass(frozen=True, slots=True)
class Canonical:
    """A picture in the smallest form that holds it exactly."""

    form: Literal["bilevel", "grey", "grey16", "rgb", "rgba"]
    pixels: Pixels  #: bilevel: ``(h, ceil(w / 8))``, a bit a pixel; otherwise as :func:`decode` gives them
    width: int
    height: int


def canonicalize(pixels: Pixels, *, bilevel: bool = False) -> Canonical:
    """Reduce to the smallest exact form: re-encoding without loss, also as another mode, changes nothing.

    Alpha of 255 everywhere is left out. Colour whose channels agree everywhere becomes grey, 16-bit grey that
    is 8-bit grey times 257 becomes 8-bit, grey of 0 and 255 alone becomes bilevel. Colour under fully
    transparent pixels is set to 0: encoders (lossless WebP) change it. A sample decides first, so that a
    photo pays almost nothing.

    Args:
        pixels: as :func:`decode` gives them.
        bilevel: grey is known to be 0 and 255 alone.
    """
    height, width = pixels.shape[:2]
    if pixels.ndim == 3:
        if pixels.shape[2] == 4:
            words = pixels.reshape(-1).view("<u4")
            if int(np.bitwise_and.reduce(words)) < 0xFF000000:
                invisible = words < 0x01000000
                if invisible.any():
                    words = np.where(invisible, np.uint32(0), words)
                return Canonical("rgba", words.view(np.uint8).reshape(pixels.shape), width, height)
            pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)
        if not _is_grey(pixels):
            return Canonical("rgb", pixels, width, height)
        pixels = cv2.extractChannel(pixels, 0)
    elif pixels.dtype == np.uint16:
        low = (pixels & 0xFF).astype(np.uint8)
        if not np.array_equal(low, pixels >> 8):
            return Canonical("grey16", pixels, width, height)
        pixels = low
    if bilevel or _is_bilevel(pixels.reshape(-1)):
        return Canonical("bilevel", np.packbits(pixels, axis=1), width, height)
    return Canonical("grey", pixels, width, height)


def _is_grey(colours: Pixels) -> bool:
    """Whether R = G = B in every RGB pixel; in pieces, to stop early and stay in the cache."""
    flat = colours.reshape(-1)
    step = 3 * (1 + colours.size // 600)
    if not np.array_equal(flat[::step], flat[1::step]):
        return False
    planes = (cv2.split(flat[at : at + 196_608].reshape(-1, 1, 3)) for at in range(0, flat.size, 196_608))
    return all(np.array_equal(red, green) and np.array_equal(red, blue) for red, green, blue in planes)


def _is_bilevel(grey: Pixels) -> bool:
    def two_valued(piece: Pixels) -> bool:
        return int((piece + np.uint8(1)).max()) <= 1  # 255 wraps to 0

    return two_valued(grey[:4096]) and all(
        two_valued(grey[at : at + 65536]) for at in range(4096, grey.size, 65536)
    )


def pixel_hash(canonical: Canonical) -> str:
    """BLAKE3-128 hex over form, width, height and the canonical pixels, row by row.

    Grey is a byte a pixel, 16-bit grey two (little-endian), RGB three, RGBA four; bilevel is a bit, with rows
    padded to bytes.
    """
    pixels: npt.NDArray[Any] = canonical.pixels
    if canonical.form == "grey16":
        pixels = pixels.astype("<u2", copy=False)
    hasher = blake3(f"{canonical.form} {canonical.width} {canonical.height}\n".encode())
    hasher.update(pixels.reshape(-1).view(np.uint8).data)
    return hasher.hexdigest(length=16)
