"""Measures of one picture, all from a single decode. Pure functions of the bytes.

Four pictures are derived, each from one before:

- the *canonical* picture, the smallest of bilevel, grey, RGB and RGBA that holds the decoded one exactly:
  hashed;
- the *working* picture, over white, halved to 384 x 384 or less: blur, entropy, luminance,
  contrast of its grey;
- the *thumbnail*, 64 x 64 grey: both perceptual hashes and ``low_detail``;
- the *signature*, some 60 x 45 in colour at the picture's aspect ratio, by which two pictures are compared.

The definitions are our choice, except that the perceptual hashes follow the ``imagehash`` package (phash of
size 8 with a 32 x 32 DCT, dhash of size 16) closely enough to be compared with hashes made by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from blake3 import blake3

from infinity_assets.similarity.signature import CHROMA_PIXELS, LUMA_PIXELS, Signature, pack, reduced_size
from infinity_assets.stages.images.decode import Header, Pixels, check_limits, decode, read_header
from infinity_assets.stages.images.limits import ImageProblem, Limits
from infinity_assets.stages.images.sniff import extension_ok, refuse_unsupported, sniff

#: Raised when any measure of any picture changes; a golden test fails where that was forgotten.
MEASURE_VERSION = 3

#: Largest long side of the working picture, in pixels: what the usual vision towers see (SigLIP, RAM++).
WORKING_SIDE = 384

#: Side of the thumbnail. Twice the 32 of the DCT, so that the last halving can be Lanczos as in imagehash.
THUMBNAIL_SIDE = 64

#: Standard deviation of the thumbnail, in grey levels of 255, below which both hashes describe noise.
#: Our choice; see :func:`low_detail`.
LOW_DETAIL_DEVIATION = 4.0

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

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
    pixel_hash: str | None = None  #: BLAKE3-128 hex, see :func:`pixel_hash`
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
    kind = sniff(data)
    known: dict[str, Any] = {
        "image_id": blake3(data).hexdigest(length=16),
        "byte_length": len(data),
        "format": kind,
        "extension_ok": extension_ok(declared_name, kind),
    }
    try:
        refuse_unsupported(data, kind)
        if len(data) > limits.max_bytes:
            raise ImageProblem("too_large", f"{len(data):,} bytes, the limit is {limits.max_bytes:,}")
        header = read_header(data, str(kind), limits)
        known |= _of_header(header)
        check_limits(data, header, limits)
        pixels = decode(data, header)
        known |= _of_pixels(canonicalize(pixels, bilevel=header.mode == "1"))
        return ImageMeasures(verdict="keep", **known)
    except ImageProblem as problem:
        return ImageMeasures(verdict="quarantine", reason=problem.reason, detail=problem.detail, **known)


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


def _of_pixels(canonical: Canonical) -> dict[str, Any]:
    colours, working = working_pictures(canonical)
    luminance, contrast = mean_and_deviation(working)
    thumbnail = thumbnail_of(working)
    phash, dhash = perceptual_hashes(thumbnail)
    return {
        "pixel_hash": pixel_hash(canonical),
        "phash": phash,
        "dhash": dhash,
        "blur": blur(working),
        "entropy": entropy(working),
        "luminance": luminance,
        "contrast": contrast,
        "low_detail": low_detail(thumbnail),
        "signature": pack(signature_of(colours, working, canonical.width, canonical.height)),
    }


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
    step = 3 * (1 + colours.size // 3_000)
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


def working_pictures(canonical: Canonical) -> tuple[Grey | None, Grey]:
    """The working picture as RGB (None where it is grey) and its grey.

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
        return colours, cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
    grey: Grey
    if canonical.form == "grey16":
        grey = (canonical.pixels >> 8).astype(np.uint8)
    elif canonical.form == "bilevel":
        grey = _bilevel_to_grey(canonical)
    else:
        grey = canonical.pixels.astype(np.uint8, copy=False)
    while _to_halve(grey):
        grey = halve(grey)
    return None, grey


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


def halve(picture: Grey) -> Grey:
    """2 x 2 means of every channel."""
    # Even sides take OpenCV's exact 2 x 2 path, thirty times faster than its general area filter.
    rows, columns = picture.shape[0] // 2, picture.shape[1] // 2
    even = picture[: 2 * rows, : 2 * columns]
    half: Grey = cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA)
    return half


def signature_of(colours: Grey | None, working: Grey, width: int, height: int) -> Signature:
    """The signature of a picture of ``width`` x ``height``, by area means of its working picture."""
    luma = _reduced(working, reduced_size(width, height, LUMA_PIXELS))
    chroma = None
    if colours is not None:
        small = _reduced(colours, reduced_size(width, height, CHROMA_PIXELS))
        chroma = chroma_of(small)
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


def thumbnail_of(working: Grey) -> Grey:
    """64 x 64 area means, bilinear along a side of fewer pixels, whatever the aspect ratio."""
    side = THUMBNAIL_SIDE
    while min(working.shape) >= 2 * side:
        working = halve(working)
    height, width = working.shape
    thumbnail: Grey = cv2.resize(working, (min(side, width), min(side, height)), interpolation=cv2.INTER_AREA)
    if min(height, width) < side:  # apart, because enlarging one side turns OpenCV's area filter off for both
        thumbnail = cv2.resize(thumbnail, (side, side), interpolation=cv2.INTER_LINEAR_EXACT)
    return thumbnail


def low_detail(thumbnail: Grey) -> bool:
    """Whether the perceptual hashes mean nothing: the thumbnail deviates by under 4 grey levels of 255.

    Such pictures (blank and nearly blank pages, flat colour) share hashes without sharing content, so they
    take no near-duplicate edges.
    """
    return mean_and_deviation(thumbnail)[1] < LOW_DETAIL_DEVIATION


def perceptual_hashes(thumbnail: Grey) -> tuple[bytes, bytes]:
    """Hashes of 8 and of 32 bytes, bits row by row from the highest, as imagehash writes them.

    - phash: the 8 x 8 lowest DCT-II coefficients of a 32 x 32 picture against their median, rounded to
      thousandths first, so that ties do not hang on a machine's last bit;
    - dhash: whether each pixel of a 17 x 16 picture is darker than its right neighbour.
    """
    rows = _ROWS @ thumbnail
    low = np.rint(1000 * (_DCT @ _grey_levels(rows[:32] @ _TO_32.T) @ _DCT.T))
    ordered = np.sort(low, axis=None)
    steps = _grey_levels(rows[32:] @ _TO_17.T)
    return (
        np.packbits(low > (ordered[31] + ordered[32]) / 2).tobytes(),
        np.packbits(steps[:, 1:] > steps[:, :-1]).tobytes(),
    )


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
_DCT = 2 * np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(32) + 1) / 64)
