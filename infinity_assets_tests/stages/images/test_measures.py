"""What the measures say about pictures whose answer is known, and that they never change unversioned."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import cv2
import imagehash
import numpy as np
import pytest
from blake3 import blake3
from PIL import Image, ImageFilter, ImageOps

from infinity_assets.stages.images import measure as module
from infinity_assets.stages.images.decode import decode, read_header
from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.images.measure import (
    MEASURE_VERSION,
    ImageMeasures,
    measure_image,
    measure_images,
)
from infinity_assets.stages.images.schema import IMAGES_SCHEMA, measure_batch
from infinity_assets_tests.stages.images import pictures as p

ROOT = Path(__file__).resolve().parents[3]
REAL = ROOT.parent / "shared" / "data" / "real"
PHOTO, PAGE = p.photo(), p.page()


def measured(image: Image.Image, kind: str = "PNG", **options: object) -> ImageMeasures:
    row = measure_image(p.encode(image, kind, **options), None, Limits())
    assert row.verdict == "keep", row.detail
    return row


def bits(a: bytes | None, b: bytes | None) -> int:
    assert a is not None and b is not None
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def holed() -> Image.Image:
    image = PHOTO.convert("RGBA")
    image.paste((10, 20, 30, 0), (20, 20, 120, 90))
    image.paste((200, 30, 30, 128), (150, 120, 220, 200))
    return image


#: Version of the measures, and their values for pictures rendered here.
GOLDEN_VERSION = 3
GOLDEN: dict[str, dict[str, object]] = {
    "photo": {
        "pixel_hash": "157f272bbdc77a2b8c56e4ab6e833464",
        "phash": "f4c65c83f9783921",
        "dhash": "87f08cf08cf88cf48cb087f887f087f023f073e227e287f087f087b087808780",
        "low_detail": False,
        "blur": 594.429388,
        "entropy": 7.05718877,
        "luminance": 133.141784,
        "contrast": 48.6391557,
        "signature": "92867afafc0f77ee45fb3843a284d7d6",
    },
    "large grey": {
        "pixel_hash": "84da03d107aba66cdf51aa5b765426cf",
        "phash": "dd00a9fb11ff018e",
        "dhash": "924d92499249924992c992499249924992499249924992491249924992499249",
        "low_detail": False,
        "blur": 57.9161031,
        "entropy": 7.50481325,
        "luminance": 120.696722,
        "contrast": 45.0184219,
        "signature": "be8e3e0c3a8b9ad9dc104c2ec7232651",
    },
    "page": {
        "pixel_hash": "f6b9d02769300acee769c08f227e7fb5",
        "phash": "fe2cc0748173c1f5",
        "dhash": "00000d1b35b3276b294b10d335a335b32c1326a719bb3d2b12a335cb21ab0000",
        "low_detail": False,
        "blur": 8858.95955,
        "entropy": 2.28415616,
        "luminance": 229.559314,
        "contrast": 42.8687882,
        "signature": "3db0e62c62ee38e39d03c85541fc81eb",
    },
    "blank page": {
        "pixel_hash": "2f6ec92832cb350ad073479c9ef7d93c",
        "phash": "8000000000000000",
        "dhash": "0000000000000000000000000000000000000000000000000000000000000000",
        "low_detail": True,
        "blur": 0.0,
        "entropy": 0.0,
        "luminance": 255.0,
        "contrast": 0.0,
        "signature": "e6ebc62f925d300ba9f6755c123cb1a8",
    },
    "transparent": {
        "pixel_hash": "255a1f730f0729aa83ceccd359c851eb",
        "phash": "f5e65c9939382383",
        "dhash": "87f08cf0c0f8c8f4c0b0c9f887f087f023b073b227b287b08780878087808780",
        "low_detail": False,
        "blur": 604.326732,
        "entropy": 6.66657834,
        "luminance": 146.089831,
        "contrast": 57.2062987,
        "signature": "d24f6383efbe9891d532fe55f3f631db",
    },
    "strip": {
        "pixel_hash": "e26c853b2032ed8a7683a914df3febb2",
        "phash": "a9f456b952b50aa5",
        "dhash": "b229b2299229b229b229b229b229b229b289b289b289b289b2c9b2c8b2c9b2cb",
        "low_detail": False,
        "blur": 423.199825,
        "entropy": 7.02151727,
        "luminance": 135.63685,
        "contrast": 52.4850276,
        "signature": "30bfe062bb4bc8f6daafd8233d8eb95e",
    },
    "icon": {
        "pixel_hash": "17baf229e8210e2c4403c5f93c856a7b",
        "phash": "d55f2a25151a1b9d",
        "dhash": "060809800864020c010c00640030000800040004000200010000000000000000",
        "low_detail": False,
        "blur": 2327.01389,
        "entropy": 1.02486771,
        "luminance": 154.145833,
        "contrast": 44.3781836,
        "signature": "e7c4f9a2d459e8c3134540862bd457e5",
    },
    "16 bits": {
        "pixel_hash": "9898186058ae3fa92876f5388bd8acca",
        "phash": "f4c65c83f9783921",
        "dhash": "87f08cf08cf88cf48cb087f887f087f023f073e227e287f087f087b087808780",
        "low_detail": False,
        "blur": 568.301549,
        "entropy": 7.01375258,
        "luminance": 129.523841,
        "contrast": 47.5018065,
        "signature": "aca4ee29c4a2db2359dda70bd6b57764",
    },
}


RENDERED = {
    "photo": lambda: PHOTO,
    "large grey": lambda: p.photo(1001, 777, 11).convert("L"),
    "page": lambda: PAGE,
    "blank page": lambda: Image.new("1", (850, 1100), 1),
    "transparent": holed,
    "strip": lambda: p.photo(1000, 40, 5),
    "icon": lambda: p.photo(24, 24, 2),
    "16 bits": lambda: Image.fromarray(np.asarray(PHOTO.convert("L")).astype(np.uint16) * 250),
}


@pytest.mark.parametrize("name", RENDERED)
def test_measures_change_only_with_their_version(name: str) -> None:
    """Stored measures would mix with others of another meaning. Changed on purpose? Raise MEASURE_VERSION,
    then GOLDEN_VERSION and the values here."""
    assert MEASURE_VERSION == GOLDEN_VERSION
    row, golden = measured(RENDERED[name]()), GOLDEN[name]
    assert row.pixel_hash == golden["pixel_hash"]
    assert row.phash is not None and row.phash.hex() == golden["phash"]
    assert row.dhash is not None and row.dhash.hex() == golden["dhash"]
    assert row.low_detail is golden["low_detail"]
    assert row.signature is not None
    assert blake3(row.signature).hexdigest(length=16) == golden["signature"]
    for number in ("blur", "entropy", "luminance", "contrast"):
        assert getattr(row, number) == pytest.approx(golden[number], rel=1e-5, abs=1e-6), number


@pytest.mark.parametrize(
    "image",
    [PHOTO, PHOTO.convert("L"), PAGE, p.photo(257, 131), holed(), p.photo(9, 5).convert("1")],
    ids=["photo", "grey", "page", "odd sides", "transparent", "tiny bilevel"],
)
def test_lossless_copies_have_one_pixel_hash(image: Image.Image) -> None:
    """The same picture as PNG, BMP and WebP would count three times and a take-down would miss two."""
    alpha = image.mode == "RGBA"
    colour = image.convert("RGBA" if alpha else "RGB")
    copies = [
        (image, "PNG", {}),
        (image, "TIFF", {}),
        (colour, "PNG", {"compress_level": 1}),
        (colour, "WEBP", {"lossless": True}),
        (colour.convert("RGBA"), "PNG", {}),
    ]
    copies += [] if alpha else [(image, "BMP", {}), (colour, "PPM", {}), (image.convert("RGB"), "BMP", {})]
    rows = [measured(*copy[:2], **copy[2]) for copy in copies]
    assert len({row.pixel_hash for row in rows}) == 1
    assert len({(row.phash, row.dhash, row.blur, row.entropy) for row in rows}) == 1


def test_grey_of_16_bits_equals_its_8_bits() -> None:
    """A 16-bit copy of an 8-bit scan is the same picture."""
    grey = np.asarray(PHOTO.convert("L"))
    wide = measured(Image.fromarray(grey.astype(np.uint16) * 257))
    assert wide.mode == "I;16"
    assert wide.pixel_hash == measured(PHOTO.convert("L")).pixel_hash


def test_one_pixel_changes_the_pixel_hash() -> None:
    """Pictures that differ would be merged by an exact rule."""
    seen = {measured(image).pixel_hash for image in (PHOTO, PAGE, PHOTO.transpose(Image.Transpose.TRANSPOSE))}
    for image in (PHOTO, PAGE):
        other = image.copy()
        other.putpixel((5, 5), 1 - other.getpixel((5, 5)) if image.mode == "1" else (1, 2, 3))
        seen.add(measured(other).pixel_hash)
    seen |= {measured(Image.new("1", size)).pixel_hash for size in ((9, 8), (10, 8), (8, 9), (16, 8))}
    assert len(seen) == 9


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [(320, 240), (1600, 1200), (1000, 48), (90, 70)])
def test_hashes_agree_with_imagehash(seed: int, size: tuple[int, int]) -> None:
    """Upstream's phash columns and hashes made elsewhere could not be compared with ours."""
    image = p.photo(*size, seed)
    row = measured(image)
    assert bits(row.phash, np.packbits(imagehash.phash(image).hash).tobytes()) <= 4
    assert bits(row.dhash, np.packbits(imagehash.dhash(image, 16).hash).tobytes()) <= 26


def test_hashes_survive_what_the_web_does_to_pictures() -> None:
    """Near duplicates would not be found."""
    row = measured(PHOTO)
    for other in (
        measured(PHOTO, "JPEG", quality=60),
        measured(PHOTO.resize((640, 480))),
        measured(PHOTO.convert("L")),
    ):
        assert bits(row.phash, other.phash) <= 6
        assert bits(row.dhash, other.dhash) <= 30
    assert bits(row.phash, measured(p.photo(seed=8)).phash) > 12


def test_numbers_mean_what_they_say() -> None:
    """A lead who sets a threshold on blur or darkness would cut the wrong pictures."""
    flat = measured(Image.new("L", (100, 80), 77))
    assert (flat.blur, flat.entropy, flat.luminance, flat.contrast) == (0, 0, 77, 0)
    halves = Image.new("L", (100, 80), 0)
    halves.paste(200, (50, 0, 100, 80))
    row = measured(halves)
    assert (row.entropy, row.luminance, row.contrast) == (1, 100, 100)
    sharp, blurred = measured(PHOTO), measured(PHOTO.filter(ImageFilter.GaussianBlur(3)))
    assert sharp.blur is not None and blurred.blur is not None and sharp.blur > 5 * blurred.blur
    hole = Image.new("RGBA", (60, 60), (0, 0, 0, 0))
    assert measured(hole).luminance == 255, "transparent is white, not the colour that nobody sees"


def test_low_detail_marks_blank_pages_alone() -> None:
    """A million blank pages would be duplicates of each other; a page of text must not count as blank."""
    blank = Image.new("1", (1700, 2200), 1)
    rng = np.random.default_rng(0)
    dirty = Image.fromarray((rng.random((2200, 1700)) > 0.001) * np.uint8(255)).convert("1")
    assert [measured(image).low_detail for image in (blank, dirty, PAGE, PHOTO)] == [True, True, False, False]


def test_pages_are_the_same_by_bits_and_by_bytes() -> None:
    """The shortcut for scans would make their hashes incomparable with those of grey scans."""
    stained = PAGE.convert("L")
    stained.putpixel((0, 0), 128)
    fast, slow = measured(PAGE), measured(stained)
    assert fast.pixel_hash != slow.pixel_hash
    assert bits(fast.phash, slow.phash) <= 2
    assert fast.luminance == pytest.approx(slow.luminance, abs=1)
    assert fast.blur == pytest.approx(slow.blur, rel=0.02)


def test_a_batch_has_one_row_for_each_picture() -> None:
    """A picture without a row would be missing from the funnel."""
    good, bad = p.encode(PHOTO, "PNG"), b"<html>"
    limits = Limits(max_bytes=len(good))
    batch = measure_batch([("a.png", good), ("b.jpg", bad), ("c.png", good + b"x"), ("d.png", b"")], limits)
    assert batch.schema.equals(IMAGES_SCHEMA)
    rows = batch.to_pylist()
    assert [row["verdict"] for row in rows] == ["keep", "quarantine", "quarantine", "quarantine"]
    assert [row["reason"] for row in rows] == [None, "not_an_image", "too_large", "zero_bytes"]
    assert [row["bytes"] for row in rows] == [good, bad, None, b""]
    assert rows[2]["byte_length"] == len(good) + 1
    assert measure_batch([], limits).num_rows == 0


def test_pictures_measure_the_same_alone_and_together() -> None:
    """A picture's measures would hang on its neighbours in a shard, and so on how a source is cut."""
    pictures = [(None, p.encode(RENDERED[name](), "PNG")) for name in RENDERED]
    pictures[3:3] = [("a.jpg", b""), ("b.png", b"<html>"), (None, pictures[0][1][:-9])]
    alone = [measure_image(data, name, Limits()) for name, data in pictures]
    assert measure_images(pictures, Limits()) == alone
    with mock.patch.object(module, "WORKING_BYTES", 100_000):
        assert measure_images(pictures[::-1], Limits()) == alone[::-1]
    assert measure_images([], Limits()) == []


@pytest.mark.parametrize("kind", ["plain", "transparent", "turned", "16 bits"])
def test_colour_of_a_png_is_what_pillow_reads(kind: str) -> None:
    """A picture would be seen otherwise than trainers see it, who read it with Pillow."""
    turned = Image.Exif()
    turned[274] = 6
    options = {"transparent": {"transparency": (1, 2, 3)}, "turned": {"exif": turned}}.get(kind, {})
    data = p.encode(PHOTO, "PNG", **options)
    if kind == "16 bits":
        data = cv2.imencode(".png", np.asarray(PHOTO).astype(np.uint16) * 257 + 3)[1].tobytes()
    with Image.open(io.BytesIO(data)) as image:
        mode = "RGBA" if image.has_transparency_data else "RGB"
        expected = np.asarray(ImageOps.exif_transpose(image).convert(mode))
    assert np.array_equal(decode(data, read_header(data, "png", Limits())), expected)


def test_workers_import_little() -> None:
    """Each worker process would pay seconds and hundreds of MiB before its first picture."""
    code = "import sys, infinity_assets.stages.images.measure; print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"dagster", "lance", "polars", "pandas", "scipy"} & set(ast.literal_eval(out.stdout))


def test_hash_seed_changes_nothing() -> None:
    """Two runs over the same bytes would disagree, and everything downstream be stale."""
    code = (
        "from infinity_assets_tests.stages.images import pictures as p;"
        "from infinity_assets.stages.images.measure import *;"
        "print(measure_image(p.encode(p.photo(), 'PNG'), 'a.png', Limits()))"
    )
    outs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outs == {f"{measure_image(p.encode(PHOTO, 'PNG'), 'a.png', module.Limits())}\n"}


@pytest.mark.skipif(not REAL.is_dir(), reason="real data is not here")
@pytest.mark.parametrize(
    ("path", "kind", "mode", "reason"),
    [
        ("near_dup_ukbench/**/*corrupt*.jpg", None, None, "not_an_image"),
        ("near_dup_ukbench/**/*.pbm", "ppm", "1", None),
        ("near_dup_ukbench/**/*.pgm", "ppm", "L", None),
        ("near_dup_ukbench/**/*.tiff", "tiff", "RGB", None),
        ("near_dup_ukbench/**/*.svg", "jpeg", "RGB", None),
        ("lfs_pointers/**/*.jpg", "git_lfs_pointer", None, "lfs_pointer"),
    ],
)
def test_real_oddities(path: str, kind: str | None, mode: str | None, reason: str | None) -> None:
    """Files that others published would surprise us in production."""
    files = sorted(REAL.glob(path))
    assert files
    for file in files:
        row = measure_image(file.read_bytes(), file.name, Limits())
        assert (row.format, row.mode, row.reason) == (kind, mode, reason), file.name
