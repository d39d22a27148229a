"""Pictures as they are sent to a model: upright, and in a format that every server reads."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Final

from blake3 import blake3
from PIL import Image

from infinity_assets.models.vlm.requests import Picture
from infinity_assets.stages.images.decode import read_header
from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.images.sniff import sniff
from infinity_assets.stages.images.stored import StoredPicture, StoredPictures
from infinity_assets.stages.tagged.pictures import rgb

#: Raised whenever the same stored picture would be sent as other bytes.
SENDING_VERSION: Final = 1

_READ_BY_ALL: Final = frozenset({"image/jpeg", "image/png", "image/webp"})


def to_send(stored: StoredPicture) -> Picture:
    """The picture as it is, or as a PNG where a server would not read it or not turn it upright.

    Servers open what they get with a plain decoder, which does not look at the orientation that cameras note.

    Raises:
        StoreError: if it cannot be decoded any more.
    """
    header = read_header(stored.data, str(sniff(stored.data)), Limits())
    upright = (header.orientation or 1) == 1
    if stored.media_type in _READ_BY_ALL and upright and not header.animated:
        return Picture(stored.image_id, stored.data, stored.media_type)
    out = io.BytesIO()
    Image.fromarray(rgb(stored.data)).save(out, "PNG", compress_level=1)
    data = out.getvalue()
    return Picture(blake3(data).hexdigest(length=16), data, "image/png")


def read_to_send(pictures: StoredPictures, image_ids: Iterable[str]) -> Mapping[str, Picture]:
    """Those of the pictures that are there, by the ids under which they are stored."""
    return {image_id: to_send(stored) for image_id, stored in pictures.read(image_ids).items()}
