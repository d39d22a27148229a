"""Ways to break or change an encoded picture, and a conversation, each on purpose and always the same way."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

from infinity_assets.demo.parts import Pixels, Sample, decode, jpeg, png

_PNG = b"\x89PNG\r\n\x1a\n"


def corrupt(data: bytes, rng: random.Random) -> bytes:
    """The same length, with the Huffman tables (JPEG) or the middle of the stream (PNG) overwritten."""
    noise = rng.randbytes(48)
    if data.startswith(_PNG):
        middle = len(data) // 2
        return data[:middle] + noise + data[middle + 48 :]
    table = data.index(b"\xff\xc4") + 5  # behind marker, length and table number: the counts of codes
    return data[:table] + b"\xff" * 16 + noise + data[table + 64 :]


def truncate(data: bytes) -> bytes:
    """The first 60 % of the bytes, as a broken download leaves them."""
    return data[: len(data) * 3 // 5]


def oversized() -> bytes:
    """A well-formed PNG header that claims 30,000 x 30,000 pixels, over a few bytes of data."""
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return _PNG + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(bytes(4096))) + _chunk(b"IEND", b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def lfs_pointer(data: bytes) -> bytes:
    """What a clone without Git LFS leaves in the picture's place."""
    digest = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(data)}\n".encode()


def other_format(data: bytes) -> bytes:
    """The same picture as PNG if it was JPEG, and the other way round."""
    pixels = decode(data)
    return jpeg(pixels, 92) if data.startswith(_PNG) else png(pixels)


def gif(pixels: Pixels) -> bytes:
    """An animation of four frames that drifts across the picture."""
    small = cv2.resize(pixels, (240, 180), interpolation=cv2.INTER_AREA)
    frames = [Image.fromarray(np.roll(small, 9 * k, axis=1)).quantize(64) for k in range(4)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=160, loop=0)
    return out.getvalue()


def near_copy(data: bytes, way: int) -> bytes:
    """A copy that looks alike: 0 smaller, 1 at a low quality, 2 brighter, 3 with a thin border cut off."""
    pixels = decode(data)
    height, width = pixels.shape[:2]
    if way == 0:
        pixels = cv2.resize(pixels, (width * 4 // 5, height * 4 // 5), interpolation=cv2.INTER_AREA)
    elif way == 2:
        pixels = cv2.convertScaleAbs(pixels, alpha=1.0, beta=14)
    elif way == 3:
        pixels = np.ascontiguousarray(pixels[height // 80 : -(height // 80), width // 80 : -(width // 80)])
    return jpeg(pixels, 55 if way == 1 else 86)


def empty_turn(sample: Sample) -> None:
    """The last answer says nothing."""
    sample.turns[-1] = ("assistant", "")


def repeat_text(sample: Sample) -> None:
    """The last answer falls into a loop, as a degenerate generator does."""
    text = sample.turns[-1][1]
    sample.turns[-1] = ("assistant", f"{text} " + " ".join([text.rstrip(".。") + ","] * 24))


def two_users(sample: Sample) -> None:
    """Two questions in a row before the first answer."""
    sample.turns.insert(1, ("user", "Please look closely before you answer."))


def drop_marker(sample: Sample) -> None:
    """Pictures that no text refers to."""
    sample.turns = [(role, text.replace("<image>\n", "")) for role, text in sample.turns]


def extra_marker(sample: Sample) -> None:
    """One marker more than pictures."""
    role, text = sample.turns[0]
    sample.turns[0] = (role, "<image>\n" + text)
