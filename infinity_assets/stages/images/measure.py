"""Measures of one picture, all from a single decode. Pure functions of the bytes.

Four pictures are derived, each from one before:

- the *canonical* picture, the smallest of bilevel, grey, RGB and RGBA that holds the decoded one exactly:
  hashed;
- the *working* picture, over white, halved to 384 x 384 or less: blur, entropy, luminance,
  contrast of its grey;
- the *thumbnail*, 64 x 64 grey: both perceptual hashes and ``low_detail``;
- the *signature*, some 60 x 45 in colour at the picture's aspect ratio, by which two pictures are compared.

The definitions are our choice, except that the perceptual hashes follow the ``imagehash`` package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from blake3 import blake3

from infinity_assets.similarity.signature import (
    CHROMA_PIXELS,
    LUMA_PIXELS,
    Signature,
    halve,
    pack,
    reduced_size,
)
from infinity_assets.stages.images.canonical import Canonical, canonicalize, pixel_hash
from infinity_assets.stages.images.decode import Header, check_limits, decode, read_header
from infinity_assets.stages.images.hashes import THUMBNAIL_SIDE, perceptual_hashes
from infinity_assets.stages.images.limits import ImageProblem, Limits
from infinity_assets.stages.images.sniff import extension_ok, refuse_unsupported, sniff

#: Raised when any measure of any picture changes; a golden test fails where that was forgotten.
MEASURE_VERSION = 3

#: Largest long side of the working picture, in pixels: what the usual vision towers see (SigLIP, RAM++).
WORKING_SIDE = 384

#: Bytes of working pictures that are measured together: they stay in a processor's caches. Our choice.
WORKING_BYTES = 4 << 20

#: Standard deviation of the thumbnail, in grey levels of 255, below which both hashes describe noise.
#: Our choice; see :func:`low_detail`.
LOW_DETAIL_DEVIATION = 4.0

Grey = npt.NDArray[np.uint8]

cv2.setNumThreads(1)  # the worker pool uses the cores; threads below it would only contend


@dataclass(frozen=True, slots=True)
class ImageMeasures:
    """One picture's measures and verdict; None wherever something could not be measured.

    Sizes are in pixels, ``luminance`` and ``contrast`` in grey levels from 0 to 255.
    """

    image_id: str  #: BLAKE3-128 hex of the bytes
    byte_length: int
    verdict: Literal["keep", "quarantine"]
    format: str | None = None  #: true format, see :func:`~infinity_assets.stages.images.sniff.sniff`
    extension_ok: bool | None = None  #: None where no name with an extension was given
    mode: str | None = None  #: Pillow's mode as stored: 1, L, LA, P, RGB, RGBA, CMYK, I;16, ...
    stored_width: int | None = None
    stored_height: int | None = None
    width: int | None = None  #: upright, after EXIF orientation
    height: int | None = None
    exif_orientation: int | None = None  #: 1 to 8
    animated: bool | None = None
    frames: int | None = None  #: frames of an animation, pages of a TIFF; the first one is measured
    has_alpha: bool | None = None
    phash: bytes | None = None  #: 8 bytes, bits row by row from the highest
    dhash: bytes | None = None  #: 32 bytes, likewise
    pixel_hash: str | None = None  #: BLAKE3-128 hex of the canonical picture
    blur: float | None = None  #: variance of the Laplacian; low is blurred
    entropy: float | None = None  #: bits of the grey histogram, 0 to 8
    luminance: float | None = None  #: mean
    contrast: float | None = None  #: standard deviation
    low_detail: bool | None = None  #: the perceptual hashes mean nothing
    signature: bytes | None = None  #: at most 4 KiB, see :mod:`infinity_assets.similarity.signature`
    reason: str | None = None  #: a key of ``IMAGE_REASONS`` where the verdict is quarantine
    detail: str | None = None


def measure_image(data: bytes, declared_name: str | None, limits: Limits) -> ImageMeasures:
    """Everything that one decode tells about one picture.

    Bad input never raises: it gives verdict ``quarantine``, a reason, and whatever was known by then. Only
    the machine's own failure does (``MemoryError`` below the limits).

    Args:
        data: the file's bytes.
        declared_name: name or path of the file, for ``extension_ok`` alone.
        limits: checked before anything is decoded.
    """
    return measure_images([(declared_name, data)], limits)[0]


def measure_images(pictures: Iterable[tuple[str | None, bytes]], limits: Limits) -> list[ImageMeasures]:
    """:func:`measure_image` of each ``(name, bytes)``, in their order.

    Some are decoded, then those are measured: a decoder drives all else out of the processor's caches.
    """
    rows: list[ImageMeasures] = []
    waiting: list[tuple[dict[str, Any], Working | None]] = []
    held = 0
    for name, data in pictures:
        known, working = _decoded(data, name, limits)
        waiting.append((known, working))
        held += working.nbytes if working else 0
        if held >= WORKING_BYTES:
            rows += _measured(waiting)
            waiting, held = [], 0
    return rows + _measured(waiting)


def _decoded(data: bytes, name: str | None, limits: Limits) -> tuple[dict[str, Any], Working | None]:
    """Columns known so far, and what the others are measured of; None where there is nothing to measure."""
    kind = sniff(data)
    known: dict[str, Any] = {
        "image_id": blake3(data).hexdigest(length=16),
        "byte_length": len(data),
        "format": kind,
        "extension_ok": extension_ok(name, kind),
    }
    try:
        refuse_unsupported(data, kind)
        if len(data) > limits.max_bytes:
            raise ImageProblem("too_large", f"{len(data):,} bytes, the limit is {limits.max_bytes:,}")
        header = read_header(data, str(kind), limits)
        known |= _of_header(header)
        check_limits(data, header, limits)
        canonical = canonicalize(decode(data, header), bilevel=header.mode == "1")
    except ImageProblem as problem:
        return known | {"verdict": "quarantine", "reason": problem.reason, "detail": problem.detail}, None
    known |= {"verdict": "keep", "pixel_hash": pixel_hash(canonical)}
    return known, working_of(canonical)


def _of_header(header: Header) -> dict[str, Any]:
    width, height = header.oriented_size
    return {
        "mode": header.mode,
        "stored_width": header.width,
        "stored_height": header.height,
        "width": width,
        "height": height,
        "exif_orientation": header.orientation,
        "animated": header.animated,
        "frames": header.frames,
        "has_alpha": header.has_alpha,
    }


def _measured(waiting: Sequence[tuple[dict[str, Any], Working | None]]) -> list[ImageMeasures]:
    kept = [working for _, working in waiting if working]
    thumbnails = [thumbnail_of(working.small) for working in kept]
    hashes = perceptual_hashes(thumbnails)
    measures = map(_of_working, kept, thumbnails, hashes)
    return [ImageMeasures(**known, **(next(measures) if working else {})) for known, working in waiting]


def _of_working(working: Working, thumbnail: Grey, hashes: tuple[bytes, bytes]) -> dict[str, Any]:
    luminance, contrast = mean_and_deviation(working.grey)
    return {
        "phash": hashes[0],
        "dhash": hashes[1],
        "blur": blur(working.grey),
        "entropy": entropy(working.grey),
        "luminance": luminance,
        "contrast": contrast,
        "low_detail": low_detail(thumbnail),
        "signature": pack(signature_of(working)),
    }


@dataclass(frozen=True, slots=True)
class Working:
    """The working picture of an original of ``width`` x ``height``."""

    colours: Grey | None  #: ``(h, w, 3)`` RGB; None where it is grey
    grey: Grey  #: ``(h, w)``
    small: Grey  #: the grey halved once more, where thumbnail and signature both begin with that
    width: int
    height: int

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.grey.nbytes + (0 if self.colours is None else self.colours.nbytes)


def working_of(canonical: Canonical) -> Working:
    """The working picture.

    Halved by 2 x 2 means while a side is over 384 pixels and none would fall below 64. A strip (a line of
    text, a tool bar) keeps its height that way, or its hashes would hold nothing. Only ever halved, so
    neither interpolation nor its phase gets into ``blur``. Grey is ITU-R 601 luma, over white where the
    picture is transparent; 16-bit grey keeps its upper byte. An odd last row or column is left out.
    """
    if canonical.form in ("rgb", "rgba"):
        colours = canonical.pixels.astype(np.uint8, copy=False)
        if canonical.form == "rgba":
            colours = over_white(colours)
        while _to_halve(colours):
            colours = halve(colours)
        return _working(colours, cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), canonical)
    grey: Grey
    if canonical.form == "grey16":
        grey = (canonical.pixels >> 8).astype(np.uint8)
    elif canonical.form == "bilevel":
        grey = _bilevel_to_grey(canonical)
    else:
        grey = canonical.pixels.astype(np.uint8, copy=False)
    while _to_halve(grey):
        grey = halve(grey)
    return _working(None, grey, canonical)


def _working(colours: Grey | None, grey: Grey, canonical: Canonical) -> Working:
    small = halve(grey) if min(grey.shape) >= 2 * THUMBNAIL_SIDE else grey
    return Working(colours, grey, small, canonical.width, canonical.height)


def _to_halve(picture: Grey) -> bool:
    height, width = int(picture.shape[0]), int(picture.shape[1])
    return max(height, width) > WORKING_SIDE and min(height, width) >= 2 * THUMBNAIL_SIDE


def over_white(rgba: Grey) -> Grey:
    """RGBA pixels as they look on white, in RGB."""
    alpha = cv2.cvtColor(cv2.extractChannel(rgba, 3), cv2.COLOR_GRAY2RGB)
    painted: Grey = 255 - cv2.multiply(255 - cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), alpha, scale=1 / 255)
    return painted


def _bilevel_to_grey(canonical: Canonical) -> Grey:
    """Unpacked; or, of a page to be halved thrice, 8 x 8 means by counting bits: a fifth of the cost."""
    packed = canonical.pixels.astype(np.uint8, copy=False)
    longest, shortest = max(canonical.width, canonical.height), min(canonical.width, canonical.height)
    if longest // 4 <= WORKING_SIDE or shortest // 4 < 2 * THUMBNAIL_SIDE:
        return np.unpackbits(packed, axis=1, count=canonical.width) * np.uint8(255)
    rows, columns = canonical.height // 8, canonical.width // 8
    bits = np.bitwise_count(packed[: 8 * rows, :columns]).reshape(rows, 8, columns)
    levels = np.rint(np.arange(256).clip(max=64) * (255 / 64)).astype(np.uint8)
    grey: Grey = cv2.LUT(np.add.reduce(bits, axis=1, dtype=np.uint8), levels)
    return grey


def signature_of(working: Working) -> Signature:
    """The signature of a picture, by area means of its working picture."""
    width, height = working.width, working.height
    luma = _reduced(working.small, reduced_size(width, height, LUMA_PIXELS))
    chroma = None
    if working.colours is not None:
        chroma = chroma_of(_reduced(working.colours, reduced_size(width, height, CHROMA_PIXELS)))
    return Signature(width, height, luma, chroma)


def chroma_of(colours: Grey) -> Grey:
    """Cb and Cr, ``(2, h, w)``, of RGB pixels."""
    planes: Grey = np.array(cv2.split(cv2.cvtColor(colours, cv2.COLOR_RGB2YCrCb))[:0:-1])
    return planes


def _reduced(picture: Grey, size: tuple[int, int]) -> Grey:
    columns, rows = size
    while picture.shape[0] >= 2 * rows and picture.shape[1] >= 2 * columns:
        picture = halve(picture)
    size = min(columns, picture.shape[1]), min(rows, picture.shape[0])  # odd rows were left out on the way
    small: Grey = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return small


def mean_and_deviation(grey: Grey) -> tuple[float, float]:
    """Mean and standard deviation in grey levels from 0 to 255."""
    mean, deviation = cv2.meanStdDev(grey)
    return float(mean[0, 0]), float(deviation[0, 0])


def entropy(working: Grey) -> float:
    """Shannon entropy of the histogram of 256 grey levels, in bits."""
    counts = cv2.calcHist([working], [0], None, [256], [0, 256])
    share = counts[counts > 0].astype(np.float64) / working.size
    return abs(float(share @ np.log2(share)))


def blur(working: Grey) -> float | None:
    """Mean square of the 4-neighbour Laplacian; None where a side has under 3 pixels.

    The usual "variance of the Laplacian" (Pech-Pacheco et al. 2000): the Laplacian's mean is 0 but for the
    border.
    """
    if min(working.shape) < 3:
        return None
    return float(cv2.norm(cv2.Laplacian(working, cv2.CV_16S, ksize=1), cv2.NORM_L2SQR)) / working.size


def thumbnail_of(grey: Grey) -> Grey:
    """64 x 64 area means, bilinear along a side of fewer pixels, whatever the aspect ratio."""
    side = THUMBNAIL_SIDE
    while min(grey.shape) >= 2 * side:
        grey = halve(grey)
    height, width = grey.shape
    thumbnail: Grey = cv2.resize(grey, (min(side, width), min(side, height)), interpolation=cv2.INTER_AREA)
    if min(height, width) < side:  # apart, because enlarging one side turns OpenCV's area filter off for both
        thumbnail = cv2.resize(thumbnail, (side, side), interpolation=cv2.INTER_LINEAR_EXACT)
    return thumbnail


def low_detail(thumbnail: Grey) -> bool:
    """Whether the perceptual hashes mean nothing: the thumbnail deviates by under 4 grey levels of 255.

    Such pictures (blank and nearly blank pages, flat colour) share hashes without sharing content, so they
    take no near-duplicate edges.
    """
    return mean_and_deviation(thumbnail)[1] < LOW_DETAIL_DEVIATION
