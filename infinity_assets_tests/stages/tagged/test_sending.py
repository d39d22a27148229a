"""Without these, a model sees a picture that lies on its side, or the server refuses it as a broken one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from blake3 import blake3
from PIL import Image

from infinity_assets.stages.images.stored import StoredPicture
from infinity_assets.stages.tagged.sending import to_send

#: Left half red, right half blue: what is upright can be told.
PIXELS = np.repeat([[[255, 0, 0]] * 20 + [[0, 0, 255]] * 20], 24, axis=0).astype(np.uint8)


def stored(kind: str, **options: object) -> StoredPicture:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, kind.upper(), **options)
    data = out.getvalue()
    return StoredPicture(blake3(data).hexdigest(length=16), data, f"image/{kind}")


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_what_every_server_reads_goes_as_it_is(kind):
    picture = stored(kind)
    sent = to_send(picture)
    assert (sent.image_id, sent.data, sent.media_type) == (picture.image_id, picture.data, picture.media_type)


@pytest.mark.parametrize("kind", ["bmp", "tiff", "gif"])
def test_other_formats_become_a_png_of_the_same_pixels(kind):
    picture = stored(kind)
    sent = to_send(picture)
    assert sent.media_type == "image/png"
    assert sent.image_id == blake3(sent.data).hexdigest(length=16) != picture.image_id
    shown = np.asarray(Image.open(io.BytesIO(sent.data)).convert("RGB"))
    assert np.array_equal(shown, PIXELS)
    assert to_send(picture).data == sent.data, "the same bytes, so the same request"


def test_a_picture_that_the_camera_held_on_its_side_is_sent_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    sent = to_send(stored("jpeg", exif=exif, quality=95))
    shown = np.asarray(Image.open(io.BytesIO(sent.data)))
    assert shown.shape == (40, 24, 3) and sent.media_type == "image/png"
    assert shown[5, 12, 0] > 200 and shown[35, 12, 2] > 200, "red is above, blue below"
