"""Files that lie, break or attack: each gets a verdict and a reason, none raises."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from infinity_assets.stages.images.decode import exif_orientation
from infinity_assets.stages.images.limits import IMAGE_REASONS, Limits
from infinity_assets.stages.images.measure import measure_image
from infinity_assets_tests.stages.images import pictures as p

PHOTO = p.photo()
GREY = PHOTO.convert("L")
JPEG, PNG, WEBP, GIF = (p.encode(PHOTO, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF"))
FRAMES = [p.photo(64, 48, seed) for seed in range(3)]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
RGBA = np.dstack([np.asarray(PHOTO), np.full((240, 320), 255, np.uint8)])
RGBA[:50, :50, 3] = 0
SIXTEEN = Image.fromarray((np.asarray(GREY).astype(np.uint16) << 8) + 7)
PALETTE = PHOTO.quantize(16)
STRIP = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 200)]


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


def _many_scans(count: int) -> bytes:
    data = p.encode(GREY, "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:-2] + data[start:-2] * count + b"\xff\xd9"


def _webp_bomb() -> bytes:
    side = (16383).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + side + side
    return b"RIFF" + struct.pack("<I", len(body) + 20) + body + bytes(20)


QUARANTINED = {
    "empty": (b"", "zero_bytes"),
    "one byte": (b"\xff", "not_an_image"),
    "JPEG magic alone": (b"\xff\xd8\xff", "unreadable_image"),
    "PNG magic alone": (PNG[:8], "truncated_image"),
    "noise": (np.random.default_rng(1).bytes(5000), "not_an_image"),
    "half a JPEG": (JPEG[: len(JPEG) // 2], "truncated_image"),
    "JPEG without its last bytes": (JPEG[:-40], "truncated_image"),
    "JPEG without its end marker": (JPEG[:-2], "truncated_image"),
    "half a progressive JPEG": (p.encode(PHOTO, "JPEG", progressive=True)[:4000], "truncated_image"),
    "half a PNG": (PNG[: len(PNG) // 2], "truncated_image"),
    "PNG without IEND": (PNG[:-12], "truncated_image"),
    "half a WebP": (WEBP[: len(WEBP) // 2], "truncated_image"),
    "half a GIF": (GIF[: len(GIF) // 2], "truncated_image"),
    "half a BMP": (p.encode(PHOTO, "BMP")[:100_000], "truncated_image"),
    "half a TIFF": (p.encode(PHOTO, "TIFF")[:100_000], None),
    "half a PPM": (p.encode(PHOTO, "PPM")[:100_000], "truncated_image"),
    "PNG with a flipped pixel byte": (_flip(PNG, len(PNG) // 2), "unreadable_image"),
    "PNG with a wrong CRC": (_flip(PNG, 31), "unreadable_image"),
    "PNG of 2 Gpx in the header": (p.png(46341, 46341, b"\0"), "too_large"),
    "PNG of 2^31 x 2^31": (p.png(2**31 - 1, 2**31 - 1, b"\0"), "too_large"),
    "PNG with fewer rows than it says": (p.png(100, 100, bytes(101 * 10)), "truncated_image"),
    "PNG of no pixels": (p.png(0, 5, b"\0"), "unreadable_image"),
    "PNG with a text bomb": (
        p.png(1, 1, b"\0\0", before=p.chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
        "unreadable_image",
    ),
    "WebP of 268 Mpx in the header": (_webp_bomb(), "too_large"),
    "BMP of 4 Gpx": (p.bmp(65536, 65536, b""), "too_large"),
    "ICO with a PNG bomb inside": (p.ico_png(16, p.png(50000, 50000, b"\0")), "too_large"),
    "TIFF with a tile of 4 Gpx": (
        p.tiff(
            [*STRIP[:5], (322, 4, 1, 65536), (323, 4, 1, 65536), (324, 4, 1, 200), (325, 4, 1, 9)], bytes(99)
        ),
        "too_large",
    ),
    "TIFF whose directory is its own successor": (p.tiff(STRIP, b"", 8), None),
    "TIFF of floats": (p.encode(GREY.convert("F"), "TIFF"), "unsupported_format"),
    "GIF of 10,000 frames": (p.gif(10_000), "too_many_frames"),
    "GIF without a frame": (p.gif(0), "unreadable_image"),
    "progressive JPEG of 500 scans": (_many_scans(500), "too_many_scans"),
    "LFS pointer": (POINTER, "lfs_pointer"),
    "HTML": (b"\xef\xbb\xbf\n <!DOCTYPE html><html>404</html>", "not_an_image"),
    "JSON": (b'{"error": "not found"}', "not_an_image"),
    "ZIP": (b"PK\3\4" + bytes(40), "not_an_image"),
    "MP4": (b"\0\0\0\x18ftypmp42" + bytes(40), "not_an_image"),
    "SVG": (SVG, "unsupported_format"),
    "HEIC": (b"\0\0\0\x18ftypheic" + bytes(40), "unsupported_format"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported_format"),
    "ICO that ends in its directory": (b"\0\0\1\0\1\0\x10\x10", "unreadable_image"),
}


@pytest.mark.parametrize("name", QUARANTINED)
def test_bad_file_is_quarantined_with_its_reason(name: str) -> None:
    """A bad file that raised would stop a shard; one without a reason could not be explained to its owner."""
    data, reason = QUARANTINED[name]
    row = measure_image(data, "x.jpg", Limits())
    if reason is None and row.verdict == "keep":
        return  # decoders differ in whether they read this one; whole is as good as set aside
    assert (row.verdict, row.reason) == ("quarantine", reason or row.reason)
    assert row.reason in IMAGE_REASONS
    assert row.detail and "\n" not in row.detail
    for measure in (
        row.phash,
        row.dhash,
        row.pixel_hash,
        row.blur,
        row.entropy,
        row.luminance,
        row.low_detail,
    ):
        assert measure is None, "a failed measure is null, never 0"


KEPT = {
    "CMYK JPEG": (p.encode(PHOTO.convert("CMYK"), "JPEG"), "jpeg", "CMYK", (320, 240)),
    "progressive JPEG": (p.encode(PHOTO, "JPEG", progressive=True), "jpeg", "RGB", (320, 240)),
    "JPEG with bytes after its end": (JPEG + b"trailing" * 20, "jpeg", "RGB", (320, 240)),
    "JPEG with garbage for ICC": (
        p.encode(PHOTO, "JPEG", icc_profile=b"\xff" * 3000),
        "jpeg",
        "RGB",
        (320, 240),
    ),
    "JPEG with garbage for EXIF": (
        p.encode(PHOTO, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff"),
        "jpeg",
        "RGB",
        (320, 240),
    ),
    "16-bit PNG": (p.encode(SIXTEEN, "PNG"), "png", "I;16", (320, 240)),
    "grey and alpha PNG": (p.encode(Image.fromarray(RGBA).convert("LA"), "PNG"), "png", "LA", (320, 240)),
    "RGBA PNG": (p.encode(Image.fromarray(RGBA), "PNG"), "png", "RGBA", (320, 240)),
    "palette with transparency": (p.encode(PALETTE, "PNG", transparency=3), "png", "P", (320, 240)),
    "grey with a transparent level": (p.encode(GREY, "PNG", transparency=3), "png", "L", (320, 240)),
    "1 x 1": (p.encode(PHOTO.crop((0, 0, 1, 1)), "PNG"), "png", "RGB", (1, 1)),
    "1 x 20000": (p.encode(GREY.resize((1, 20000)), "PNG"), "png", "L", (1, 20000)),
    "20000 x 1": (p.encode(PHOTO.resize((20000, 1)), "PNG"), "png", "RGB", (20000, 1)),
    "bilevel 9 x 3000": (p.encode(p.page(9, 3000), "PNG"), "png", "1", (9, 3000)),
    "BMP of negative height": (p.bmp(2, -2, bytes(range(16))), "bmp", "RGB", (2, 2)),
    "TIFF bilevel": (p.encode(p.page(200, 300), "TIFF"), "tiff", "1", (200, 300)),
    "PBM": (p.encode(p.page(200, 300), "PPM"), "ppm", "1", (200, 300)),
    "PGM": (p.encode(GREY, "PPM"), "ppm", "L", (320, 240)),
    "plain PGM of 16 bits": (b"P2 2 1 65535 0 65535", "ppm", "I", (2, 1)),
    "ICO": (p.encode(PHOTO.resize((64, 64)), "ICO", sizes=[(64, 64)]), "ico", "RGB", (64, 64)),
    "ICO of DIBs": (
        p.encode(PHOTO.resize((32, 32)), "ICO", sizes=[(32, 32)], bitmap_format="bmp"),
        "ico",
        None,
        (32, 32),
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_odd_file_is_kept_and_described(name: str) -> None:
    """An odd but whole picture that was set aside would be lost for training."""
    data, kind, mode, size = KEPT[name]
    row = measure_image(data, None, Limits())
    assert (row.verdict, row.reason, row.detail) == ("keep", None, None)
    assert (row.format, row.mode) == (kind, mode or row.mode)
    assert (row.width, row.height) == size
    assert row.phash is not None and len(row.phash) == 8
    assert row.dhash is not None and len(row.dhash) == 32
    assert row.pixel_hash is not None and len(row.pixel_hash) == 32
    assert row.entropy is not None and 0 <= row.entropy <= 8
    assert (row.blur is None) == (min(size) < 3)


def test_transparency_is_seen() -> None:
    """A picture with holes that passed for opaque would be trained on with invisible colour showing."""
    seen = {name: measure_image(row[0], None, Limits()).has_alpha for name, row in KEPT.items()}
    transparent = {
        "grey and alpha PNG",
        "RGBA PNG",
        "palette with transparency",
        "grey with a transparent level",
    }
    assert {name for name, has in seen.items() if has} - {"ICO", "ICO of DIBs"} == transparent


@pytest.mark.parametrize(
    ("data", "frames", "animated"),
    [
        (p.encode(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), 3, True),
        (p.encode(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]), 3, True),
        (p.encode(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), 3, True),
        (p.encode(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]), 3, False),
        (JPEG, 1, False),
    ],
    ids=["gif", "webp", "apng", "tiff", "jpeg"],
)
def test_frames_are_counted(data: bytes, frames: int, animated: bool) -> None:
    """An animation taken for a picture would be paired with text about what comes later."""
    row = measure_image(data, None, Limits())
    assert (row.verdict, row.frames, row.animated) == ("keep", frames, animated)
    over = measure_image(data, None, Limits(max_frames=2))
    assert over.reason == ("too_many_frames" if frames > 2 else None)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_the_picture_upright(kind: str, orientation: int) -> None:
    """Boxes and text would be read from a picture lying on its side."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = PHOTO.transpose(undo[orientation]) if orientation > 1 else PHOTO
    block = Image.Exif()
    block[274] = orientation
    lossless = {"WEBP": {"lossless": True}}.get(kind, {})
    row = measure_image(p.encode(stored, kind, exif=block.tobytes(), **lossless), None, Limits())
    assert row.exif_orientation == orientation
    assert (row.width, row.height) == (320, 240)
    assert (row.stored_width, row.stored_height) == stored.size
    if kind != "JPEG":
        assert row.pixel_hash == measure_image(PNG, None, Limits()).pixel_hash
    else:
        upright = measure_image(JPEG, None, Limits()).phash
        assert bin(int.from_bytes(row.phash) ^ int.from_bytes(upright)).count("1") <= 2


@pytest.mark.parametrize(
    ("block", "orientation"),
    [
        (p.exif(6), 6),
        (p.exif(8, ">"), 8),
        (p.exif(0), None),
        (p.exif(9), None),
        (b"", None),
        (b"Exif\0\0", None),
        (b"Exif\0\0II*\0" + struct.pack("<I", 0), None),
        (b"Exif\0\0II*\0" + struct.pack("<I", 2**32 - 1), None),
        (b"Exif\0\0II*\0" + struct.pack("<IH", 8, 65535) + bytes(20), None),
        (b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHIHH", 274, 4, 1, 6, 0), None),
    ],
)
def test_exif_is_read_with_care(block: bytes, orientation: int | None) -> None:
    """A broken block of camera data must neither raise nor turn the picture."""
    assert exif_orientation(block) == orientation


def test_names_are_checked_against_the_bytes() -> None:
    """Loaders that go by extension fail on JPEG bytes named .png; the lead wants to count them."""
    names = {
        "a/b.jpg": True,
        "B.JPEG": True,
        "x.png": False,
        "x.svg": False,
        "x": None,
        "v1.2/x": None,
        None: None,
    }
    assert {name: measure_image(JPEG, name, Limits()).extension_ok for name in names} == names
    assert measure_image(SVG, "x.svg", Limits()).extension_ok is True
    assert measure_image(b"?", "x.jpg", Limits()).extension_ok is None


def test_limits_are_checked_before_decoding() -> None:
    """What is known from the header stays known, and nothing is decoded."""
    row = measure_image(PNG, None, Limits(max_pixels=320 * 240 - 1))
    assert (row.reason, row.width, row.height, row.mode) == ("too_large", 320, 240, "RGB")
    assert measure_image(PNG, None, Limits(max_pixels=320 * 240)).verdict == "keep"
    assert measure_image(PNG, None, Limits(max_bytes=len(PNG) - 1)).reason == "too_large"
    assert measure_image(PNG, None, Limits(max_bytes=len(PNG))).verdict == "keep"


def test_every_cut_and_every_flip_gets_a_verdict() -> None:
    """No byte of a small file may be able to stop a run."""
    small = p.photo(24, 16)
    rng = np.random.default_rng(5)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO"):
        out = io.BytesIO()
        small.save(out, kind)
        data = out.getvalue()
        for at in rng.integers(0, len(data), 60):
            assert measure_image(data[:at], None, Limits()).verdict in ("keep", "quarantine")
            assert measure_image(_flip(data, int(at)), None, Limits()).verdict in ("keep", "quarantine")
