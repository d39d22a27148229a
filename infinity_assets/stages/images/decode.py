"""From bytes to pixels: sniff the true format, read the header, check the limits, decode once.

Only decoders that run in this process are used, one class per format and none by file name: no Ghostscript,
no shell, no plugin search (which costs seconds on the first unknown file). JPEG pixels come from
libjpeg-turbo in strict mode, those of colour PNGs from libpng; everything else, and what these two doubt,
from Pillow with truncated files refused.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simplejpeg
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from infinity_assets.stages.images.limits import ImageProblem, Limits

_OPENERS: Mapping[str, type[ImageFile.ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "ppm": PpmImagePlugin.PpmImageFile,
    "ico": IcoImagePlugin.IcoImageFile,
}

#: Modes that Pillow hands out with an alpha channel of their own.
_ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}

Pixels = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True)
class Header:
    """What is known before decoding. Sizes are those stored, before EXIF orientation."""

    format: str
    mode: str  #: Pillow's mode of the first frame as stored
    width: int
    height: int
    orientation: int | None  #: 1 to 8, or None where the file does not say (or says nonsense)
    frames: int
    animated: bool  #: frames are meant to be played; pages of a TIFF are not
    has_alpha: bool  #: the file carries an alpha channel or a transparent colour
    image: ImageFile.ImageFile  #: opened, not decoded

    @property
    def oriented_size(self) -> tuple[int, int]:
        """Width and height as a viewer shows them."""
        return (self.height, self.width) if (self.orientation or 1) >= 5 else (self.width, self.height)


def read_header(data: bytes, kind: str, limits: Limits) -> Header:
    """Open without decoding, and check the structure and the limits.

    Raises:
        ImageProblem: any reason but those of :func:`~infinity_assets.stages.images.sniff.refuse_unsupported`.
    """
    if kind == "png":
        _check_png(data)
    elif kind == "webp":
        _check_webp(data, limits)
    try:
        image = _OPENERS[kind](io.BytesIO(data))
        if kind == "ico":
            _check_ico(data, image, limits)
        frames = _count_frames(data, kind, image, limits)
        orientation = _orientation(kind, image)
        width, height = image.size
        if kind == "tiff" and (orientation or 1) >= 5:
            width, height = (
                height,
                width,
            )  # Pillow announces a TIFF's size as it will be after its own transposing
        header = Header(
            format=kind,
            mode=image.mode,
            width=width,
            height=height,
            orientation=orientation,
            frames=frames,
            animated=frames > 1 and kind != "tiff",
            has_alpha=image.mode in _ALPHA_MODES or image.has_transparency_data,
            image=image,
        )
    except ImageProblem:
        raise
    except Exception as error:
        raise _problem(kind, error) from error
    return header


def check_limits(data: bytes, header: Header, limits: Limits) -> None:
    """Refuse what would cost too much to decode.

    Raises:
        ImageProblem: ``too_large``, ``too_many_scans`` or ``unreadable_image`` (no pixels at all).
    """
    width, height = header.width, header.height
    _check_pixels(width, height, limits)
    if header.format == "tiff":
        # libtiff allocates a whole tile, whatever the picture's own size.
        tags = header.image.tag_v2  # type: ignore[attr-defined]
        tile_width, tile_height = int(tags.get(322, 0)), int(tags.get(323, 0))
        if tile_width * tile_height > max(limits.max_pixels, 1):
            raise ImageProblem("too_large", f"TIFF tiles of {tile_width} x {tile_height} pixels")
    if header.format == "jpeg" and header.image.info.get("progressive"):
        scans = data.count(b"\xff\xda")  # never part of compressed data, where FF is followed by 00
        if scans > limits.max_scans:
            raise ImageProblem("too_many_scans", f"{scans} scans, the limit is {limits.max_scans}")


def decode(data: bytes, header: Header) -> Pixels:
    """The first frame's pixels, upright.

    Returns:
        C-contiguous; ``(h, w)`` uint8 grey (0 and 255 only for mode 1), ``(h, w)`` uint16 grey,
        ``(h, w, 3)`` uint8 RGB, or ``(h, w, 4)`` uint8 RGBA where the file has alpha. May be a read-only view
        of the decoder's memory.

    Raises:
        ImageProblem: ``truncated_image``, ``unreadable_image`` or ``unsupported_format``.
    """
    try:
        faster = {"jpeg": _turbo_jpeg, "png": _colour_png}.get(header.format)
        pixels = faster(data, header) if faster else None
        if pixels is None:
            header.image.load()
            if header.format == "png":
                _check_last_row(data, header.image)
            pixels = _pixels(header.image)
    except (ImageProblem, MemoryError):
        raise  # running out of memory below the limits is the machine's failure, not the picture's
    except Exception as error:
        raise _problem(header.format, error) from error
    # Pillow has already turned a TIFF upright.
    return pixels if header.format == "tiff" else _upright(pixels, header.orientation or 1)


def _turbo_jpeg(data: bytes, header: Header) -> Pixels | None:
    """Grey and colour JPEGs by libjpeg-turbo; None for what it doubts, so that Pillow decides."""
    if header.mode not in ("L", "RGB"):
        return None
    try:
        out = simplejpeg.decode_jpeg(data, "GRAY" if header.mode == "L" else "RGB", strict=True)
    except ValueError:
        return None
    pixels: Pixels = out[:, :, 0] if header.mode == "L" else out
    return pixels


def _colour_png(data: bytes, header: Header) -> Pixels | None:
    """RGB of 8 bits by libpng, which takes a sixth less; None for what it doubts, so that Pillow decides."""
    if header.mode != "RGB" or header.has_alpha or header.frames > 1 or data[24] != 8:  # bits, in IHDR
        return None
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None


def _check_last_row(data: bytes, image: Image.Image) -> None:
    """Pillow leaves rows at 0 where a PNG's pixel data ends early; then libpng, slower, has the last word."""
    width, height = image.size
    last_row = image.crop((0, height - 1, width, height)).tobytes()
    if not any(last_row) and cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) is None:
        raise ImageProblem("truncated_image", "png: the pixel data ends before the last row")


def _pixels(image: Image.Image) -> Pixels:
    """Decoded Pillow image to one of the three layouts of :func:`decode`."""
    mode = image.mode
    if mode in ("I;16", "I;16L", "I;16B", "I"):
        wide = np.asarray(image)
        if wide.size and (int(wide.min()) < 0 or int(wide.max()) > 0xFFFF):
            raise ImageProblem(
                "unsupported_format", "32-bit integer pixels beyond 16 bits have no defined white"
            )
        return np.ascontiguousarray(wide, dtype=np.uint16)
    if mode == "F":
        raise ImageProblem("unsupported_format", "floating-point pixels have no defined white")
    if mode not in ("1", "L", "RGB", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    width, height = image.size
    channels = 1 if image.mode in ("1", "L") else 4
    try:
        exported = pa.array(image)
    except ValueError:  # above Pillow's block size of 16 MiB the rows do not lie side by side
        return np.asarray(image.convert("L") if image.mode == "1" else image)
    flat = np.frombuffer((exported if channels == 1 else exported.values).buffers()[1], np.uint8)
    pixels = flat[: height * width * channels].reshape(
        (height, width) if channels == 1 else (height, width, 4)
    )
    return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB) if image.mode == "RGB" else pixels


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply EXIF orientation 1 to 8 (TIFF 6.0, tag 274) to an array of rows."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _orientation(kind: str, image: ImageFile.ImageFile) -> int | None:
    if kind == "tiff":
        value = image.tag_v2.get(274)  # type: ignore[attr-defined]
        return value if isinstance(value, int) and 1 <= value <= 8 else None
    exif = image.info.get("exif")
    return exif_orientation(exif) if isinstance(exif, bytes) else None


def exif_orientation(exif: bytes) -> int | None:
    """Tag 274 of the first directory, or None where it is absent or nonsense. Never raises, never loops."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 10:
        return None
    start = struct.unpack_from(f"{order}I", tiff, 4)[0]
    if start + 2 > len(tiff):
        return None
    for index in range(struct.unpack_from(f"{order}H", tiff, start)[0]):
        at = start + 2 + 12 * index
        if at + 12 > len(tiff):
            return None
        tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, at)
        if tag == 274:
            return int(value) if kind == 3 and count == 1 and 1 <= value <= 8 else None
    return None


def _problem(kind: str, error: Exception) -> ImageProblem:
    text = str(error) or type(error).__name__
    if isinstance(error, Image.DecompressionBombError):
        return ImageProblem("too_large", text)
    reason = "truncated_image" if "truncated" in text.lower() else "unreadable_image"
    return ImageProblem(reason, f"{kind}: {text}")


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width <= 0 or height <= 0:
        raise ImageProblem("unreadable_image", f"no pixels: {width} x {height}")
    if width * height > limits.max_pixels:
        raise ImageProblem(
            "too_large", f"{width} x {height} pixels, the limit is {limits.max_pixels:,} in all"
        )


def _check_png(data: bytes) -> None:
    """Walk the chunks: Pillow notices neither a missing end nor a wrong CRC of pixel data."""
    at = 8
    view = memoryview(data)
    while True:
        if at + 12 > len(data):
            raise ImageProblem("truncated_image", f"png: ends at byte {len(data)}, before its IEND chunk")
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise ImageProblem("truncated_image", f"png: ends inside the {name!r} chunk at byte {at}")
        if zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ImageProblem("unreadable_image", f"png: CRC of the {name!r} chunk at byte {at} is wrong")
        if name == b"IEND":
            return
        at = end


def _check_webp(data: bytes, limits: Limits) -> None:
    """Size before opening, because the decoder allocates two canvases when it opens (WebP container spec)."""
    if len(data) < 30 or struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise ImageProblem(
            "truncated_image", f"webp: ends at byte {len(data)}, before its RIFF container does"
        )
    first = data[12:16]
    if first == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif first == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
    _check_pixels(width, height, limits)


def _check_ico(data: bytes, image: Any, limits: Limits) -> None:
    """The entry that will be decoded has a size of its own, which the directory need not tell."""
    entry = image.ico.entry[0]
    body = data[entry.offset : entry.offset + entry.size]
    if len(body) < max(entry.size, 24):
        raise ImageProblem("truncated_image", "ico: ends inside its largest picture")
    if body.startswith(b"\x89PNG"):
        _check_png(body)
        width, height = struct.unpack_from(">II", body, 16)
        _check_pixels(width, height, limits)
    else:
        width, height = struct.unpack_from("<ii", body, 4)
        _check_pixels(width, abs(height) // 2, limits)


def _count_frames(data: bytes, kind: str, image: ImageFile.ImageFile, limits: Limits) -> int:
    if kind == "gif":
        frames = _gif_frames(data, limits.max_frames)
    elif kind == "tiff":
        frames = 1
        try:
            while frames <= limits.max_frames:
                image.seek(frames)
                frames += 1
        except EOFError:
            pass
        image.seek(0)
    else:
        frames = getattr(image, "n_frames", 1) if kind in ("png", "webp") else 1
    if frames > limits.max_frames:
        raise ImageProblem("too_many_frames", f"more than {limits.max_frames} frames or pages")
    return frames


def _gif_frames(data: bytes, most: int) -> int:
    """Count image blocks (GIF89a specification, sections 15 to 27), at most ``most + 1`` of them."""
    try:
        at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
        frames = 0
        while frames <= most:
            block = data[at]
            if block == 0x2C:
                frames += 1
                at += 11 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0)
            elif block == 0x21:
                at += 2
            elif block == 0x3B:
                break
            else:
                raise ImageProblem("unreadable_image", f"gif: unknown block {block:#x} at byte {at}")
            while size := data[at]:
                at += size + 1
            at += 1
    except IndexError:
        raise ImageProblem("truncated_image", f"gif: ends at byte {len(data)}, before its trailer") from None
    if not frames:
        raise ImageProblem("unreadable_image", "gif: no frame")
    return frames
