"""Which pictures count as one, and that the answer depends on nothing but the two."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from infinity_assets.demo import charts, tables
from infinity_assets.errors import StoreError
from infinity_assets.similarity import pictures
from infinity_assets.similarity.ground import ground_of, one_ground
from infinity_assets.similarity.pictures import inverted, relation
from infinity_assets.similarity.registration import Placement
from infinity_assets.similarity.signature import LUMA_PIXELS, Signature, pack, reduced_size, unpack
from infinity_assets.stages.images.closeup import closeup, confirm
from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.images.measure import measure_image
from infinity_assets_tests.stages.images import pictures as p

PHOTO = p.photo(480, 360)
CHART = Image.fromarray(charts.pixels_of_chart(charts.plan_chart(random.Random(3))))


def signed(image: Image.Image | bytes) -> bytes:
    data = image if isinstance(image, bytes) else p.encode(image, "PNG")
    row = measure_image(data, None, Limits())
    assert row.signature is not None, row.detail
    return row.signature


def both_looks(left: Image.Image | bytes, right: Image.Image | bytes) -> str:
    """What the ledger goes by: the second look at what the first one lets pass."""
    first = relation(signed(left), signed(right))
    if first.placement is None:
        return first.relation
    a, b = (i if isinstance(i, bytes) else p.encode(i, "PNG") for i in (left, right))
    return confirm(a, b, first.placement, Limits()).relation


def watermarked(image: Image.Image) -> Image.Image:
    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    ImageDraw.Draw(layer).text((40, 60), "SAMPLE", fill=(255, 255, 255, 70), font_size=60)
    base = image.convert("RGBA")
    base.alpha_composite(layer)
    return base.convert("RGB")


def cropped(image: Image.Image) -> Image.Image:
    w, h = image.size
    return image.crop((round(w * 0.04), round(h * 0.01), round(w * 0.98), round(h * 0.96)))


SAME: dict[str, Callable[[Image.Image], Image.Image | bytes]] = {
    "itself": lambda i: i,
    "half the size": lambda i: i.resize((i.width // 2, i.height // 2), Image.Resampling.LANCZOS),
    "jpeg": lambda i: p.encode(i, "JPEG", quality=40),
    "webp": lambda i: p.encode(i, "WEBP", quality=50),
    "darker": lambda i: ImageEnhance.Brightness(i).enhance(0.8),
    "less contrast": lambda i: ImageEnhance.Contrast(i).enhance(0.8),
    "watermark": watermarked,
    "crop": cropped,
    "with an alpha channel": lambda i: i.convert("RGBA"),
}


@pytest.mark.parametrize("image", [PHOTO, CHART], ids=["photo", "chart"])
@pytest.mark.parametrize("kind", SAME)
def test_a_copy_is_the_same(kind: str, image: Image.Image) -> None:
    """Copies of one picture would be trained on many times over."""
    assert both_looks(image, SAME[kind](image)) == "same"


def test_another_picture_is_another() -> None:
    """Samples would be dropped for a picture that they do not show."""
    hue = np.asarray(PHOTO.convert("HSV")).copy()
    hue[:, :, 0] += 90
    others = [ImageOps.mirror(PHOTO), p.photo(480, 360, 8), Image.fromarray(hue, "HSV").convert("RGB")]
    assert all(both_looks(PHOTO, other) != "same" for other in others)


def test_one_changed_number_is_seen() -> None:
    """A table with other data has other answers, and nearly the same hash."""
    table = tables.plan_table(random.Random(5))
    cells = [list(row) for row in table.cells]
    cells[1][0] += 30
    other = tables.Table(
        table.title, table.corner, table.columns, table.names, tuple(map(tuple, cells)), table.style
    )
    left, right = (Image.fromarray(tables.pixels_of_table(t)) for t in (table, other))
    assert relation(signed(left), signed(right)).relation == "same", "too small for the first look"
    assert both_looks(left, right) == "different"


def test_light_and_dark_are_variants_whichever_is_asked_about() -> None:
    """A chart and its dark theme are one; what is only as dark is another, and a picture is not its own."""
    dark = Image.eval(CHART, lambda level: 255 - int(level * 0.85))
    other = Image.fromarray(charts.pixels_of_chart(charts.plan_chart(random.Random(4))))
    light, night, elsewhere = (signed(picture) for picture in (CHART, dark, other))
    assert inverted(light, night).relation == inverted(night, light).relation == "variant"
    assert inverted(light, night) == inverted(night, light)
    assert inverted(elsewhere, night).relation == inverted(light, light).relation == "different"


def test_a_grey_copy_is_a_variant() -> None:
    """What colour the shirt is cannot be answered from it; it must be recorded and not dropped."""
    assert both_looks(PHOTO, PHOTO.convert("L")) == "variant"


def drawing(ground: tuple[int, int, int], ink: str = "red") -> Image.Image:
    image = Image.new("RGB", (64, 64), ground)
    ImageDraw.Draw(image).rectangle((20, 12, 38, 30), fill=ink)
    return image


def test_a_drawing_on_another_ground_is_another() -> None:
    """Drawings of one template are a thousand questions; they would shrink to a few."""
    assert (
        relation(signed(drawing((250, 235, 240))), signed(drawing((235, 250, 240)))).relation == "different"
    )


@pytest.mark.parametrize("ground", [(250, 235, 240), (238, 252, 240), (20, 28, 60), (120, 90, 60)])
@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_a_brighter_or_darker_ground_is_the_same(ground: tuple[int, int, int], factor: float) -> None:
    """What brightening cuts off at white would pass for another colour, and copies for other drawings."""
    image = drawing(ground)
    for other in (
        ImageEnhance.Brightness(image).enhance(factor),
        ImageEnhance.Contrast(image).enhance(factor),
    ):
        found = [ground_of(signed(i)) for i in (image, other)]
        assert found[0] is not None
        assert found[1] is None or one_ground(found[0], found[1]), found


def marked(
    shape: str, ink: str = "red", at: tuple[int, int] = (32, 32), size: int = 10, ground: str = "#f4f8f2"
) -> Image.Image:
    """A mark on plain ground, 64 x 64 pixels."""
    image = Image.new("RGB", (64, 64), ground)
    pen, (x, y) = ImageDraw.Draw(image), at
    if shape == "circle":
        pen.ellipse((x - size, y - size, x + size, y + size), fill=ink)
    elif shape == "triangle":
        pen.polygon([(x, y - size), (x - size, y + size), (x + size, y + size)], fill=ink)
    else:
        pen.rectangle((x - size, y - size, x + size, y + size), fill=ink)
    return image


OTHERS = {
    "another shape": (marked("circle"), marked("triangle")),
    "another shape, small": (marked("circle", size=5), marked("square", size=5)),
    "black, not grey": (marked("triangle", "gray"), marked("triangle", "black")),
    "larger": (marked("circle"), marked("circle", size=13)),
    "elsewhere": (marked("circle"), marked("circle", at=(35, 32))),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_marks_on_one_ground_are_other_drawings(kind: str) -> None:
    """A thousand tiny drawings, each with questions of its own, would shrink: pHashes hardly differ."""
    left, right = OTHERS[kind]
    assert both_looks(left, right) == "different"
    # What the first look says of so small a mark is luck; the second one must tell it alone.
    a, b = (p.encode(i, "PNG") for i in (left, right))
    assert confirm(a, b, Placement(), Limits()).relation == "different"


@pytest.mark.parametrize("shape", ["circle", "triangle"])
@pytest.mark.parametrize("kind", [kind for kind in SAME if kind != "watermark"])
def test_a_copy_of_a_mark_is_the_same(kind: str, shape: str) -> None:
    """To tell tiny drawings apart by finding nothing the same would be no art."""
    assert both_looks(marked(shape), SAME[kind](marked(shape))) == "same"


def test_a_variant_stands_where_it_stood() -> None:
    """Every drawing of a template would be recorded as a theme of every other one."""
    moved = marked("triangle", "blue", size=12, at=(30, 36))
    assert relation(signed(marked("triangle", "brown", size=12)), signed(moved)).relation == "different"


SIGNATURES = [signed(i) for i in (PHOTO, cropped(PHOTO), CHART, p.page(), p.photo(1000, 40, 5))]


def test_order_and_batches_change_nothing() -> None:
    """The verdict on two pictures would depend on which of them arrived first."""
    pairs = [(a, b) for a in SIGNATURES for b in SIGNATURES]
    told = [relation(a, b) for a, b in pairs]
    assert told == [relation(b, a) for a, b in pairs] == [relation(a, b) for a, b in pairs]
    assert all(t.relation == "same" for t, (a, b) in zip(told, pairs, strict=True) if a == b)
    left, right = (closeup(p.encode(i, "PNG"), Limits()) for i in (PHOTO, cropped(PHOTO)))
    start = told[1].placement
    assert start is not None
    one, other = pictures.closer(left, right, start), pictures.closer(right, left, start.inverse())
    assert (one.relation, one.score) == (other.relation, pytest.approx(other.score, abs=1e-5))


@settings(max_examples=60, deadline=None)
@given(width=st.integers(1, 300), height=st.integers(1, 300), seed=st.integers(0, 99), grey=st.booleans())
def test_any_two_pictures_can_be_compared(width: int, height: int, seed: int, grey: bool) -> None:
    """One odd picture would stop the whole ledger."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, rng.integers(1, 256), (height, width) if grey else (height, width, 3), np.uint8)
    one = signed(Image.fromarray(pixels))
    for other in (one, SIGNATURES[seed % len(SIGNATURES)]):
        assert 0 <= relation(one, other).score <= 1
        assert relation(one, other) == relation(other, one)


@settings(max_examples=200, deadline=None)
@given(width=st.integers(1, 1 << 20), height=st.integers(1, 1 << 20))
def test_a_signature_is_small_and_comes_back(width: int, height: int) -> None:
    """100 million of them are kept."""
    columns, rows = reduced_size(width, height, LUMA_PIXELS)
    assert 1 <= columns <= min(width, 255) and 1 <= rows <= min(height, 255)
    luma = np.arange(columns * rows, dtype=np.uint64).astype(np.uint8).reshape(rows, columns)
    chroma = np.zeros((2, *reduced_size(height, width, 320)), np.uint8)
    packed = pack(Signature(width, height, luma, chroma))
    assert len(packed) <= 4096
    back = unpack(packed)
    assert (back.width, back.height) == (width, height) and np.array_equal(back.luma, luma)
    assert back.chroma is not None and back.chroma.shape == chroma.shape


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=64) | st.binary(max_size=64).map(lambda tail: SIGNATURES[0][:13] + tail))
def test_garbage_is_refused_plainly(data: bytes) -> None:
    """A damaged table would crash in OpenCV, or compare noise."""
    with pytest.raises(StoreError, match="materialize"):
        unpack(data)


#: Raise WITNESS_VERSION where a limit or a measure changes: verdicts are remembered under it.
GOLDEN = (16, ["same", "same", "different", "different", "different"])


def test_verdicts_change_only_with_their_version() -> None:
    """Remembered verdicts would mix with others of another meaning."""
    told = [relation(SIGNATURES[0], other) for other in SIGNATURES]
    assert (pictures.WITNESS_VERSION, [t.relation for t in told]) == GOLDEN
    assert told[1].score == pytest.approx(0.997, abs=0.01)
