"""Pictures and damaged pictures, rendered by code from fixed seeds."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageDraw


def photo(width: int = 320, height: int = 240, seed: int = 7) -> Image.Image:
    """Smooth colour gradients and discs with some noise: like a photo to every measure."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    channels = [
        120
        + 80 * np.sin(x / (20 + 9 * c) + seed)
        + 50 * np.cos(y / (15 + 7 * c))
        + rng.normal(0, 4, (height, width))
        for c in range(3)
    ]
    image = Image.fromarray(np.stack(channels, axis=2).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(8):
        cx, cy, r = rng.integers(0, width), rng.integers(0, height), rng.integers(8, 40)
        colour = tuple(int(v) for v in rng.integers(0, 255, 3))
        draw.ellipse((int(cx - r), int(cy - r), int(cx + r), int(cy + r)), fill=colour)
    return image


def page(width: int = 1700, height: int = 2200, seed: int = 3) -> Image.Image:
    """A bilevel page with lines of short strokes, like scanned text."""
    rng = np.random.default_rng(seed)
    image = Image.new("1", (width, height), 1)
    draw = ImageDraw.Draw(image)
    for y in range(height // 12, height - height // 12, 40):
        x = width // 10
        while x < width - width // 10:
            word = int(rng.integers(20, 120))
            for stroke in range(x, x + word, 9):
                draw.rectangle((stroke, y, stroke + 3, y + int(rng.integers(8, 22))), fill=0)
            x += word + 18
    return image


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The image as a file's bytes."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    """One PNG chunk with a right CRC."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    width: int, height: int, pixel_data: bytes, *, before: bytes = b"", depth: int = 8, colour: int = 0
) -> bytes:
    """A PNG with any header over any pixel data."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", zlib.compress(pixel_data, 9))
        + chunk(b"IEND", b"")
    )


def gif(frames: int) -> bytes:
    """A GIF of 1 x 1 frames."""
    frame = b"!\xf9\x04\0\x05\0\0\0" + b",\0\0\0\0\1\0\1\0\0" + b"\x02\x02D\x01\0"
    return b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * frames + b";"


def exif(orientation: int, order: str = "<") -> bytes:
    """An Exif block with one directory that holds the orientation alone."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHIHH", 274, 3, 1, orientation, 0)
    return b"Exif\0\0" + head + struct.pack(f"{order}IH", 8, 1) + entry + b"\0\0\0\0"


def bmp(width: int, height: int, rows: bytes, *, bits: int = 24) -> bytes:
    """A BMP with any header over any rows."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, len(rows), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + info + rows


def ico_png(declared: int, body: bytes) -> bytes:
    """An ICO whose one entry is a PNG of any real size."""
    return (
        struct.pack("<HHH", 0, 1, 1)
        + struct.pack("<BBBBHHII", declared, declared, 0, 0, 1, 32, len(body), 22)
        + body
    )


def tiff(entries: list[tuple[int, int, int, int]], body: bytes = b"", next_directory: int = 0) -> bytes:
    """A little-endian TIFF of one directory: ``(tag, type, count, value)``, then any bytes."""
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return (
        b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", next_directory) + body
    )
