"""Pictures of a source by their ids, read from where they are stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from infinity_assets.store.tables import Published

#: Media types of the formats that are stored.
MEDIA_TYPES: Final = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
    "ppm": "image/x-portable-anymap",
    "ico": "image/x-icon",
}


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """The bytes of one picture."""

    image_id: str
    data: bytes
    media_type: str


class StoredPictures:
    """Finds pictures by id. Holds 24 bytes for each picture of the source, and no picture."""

    def __init__(self, images: Published) -> None:
        """Reads the ids of one published version of ``images``."""
        self._dataset: Any = images.dataset()
        ids = self._dataset.to_table(columns=["image_id"]).column("image_id")
        keys = _keys(ids.to_pylist())
        self._rows: npt.NDArray[np.intp] = np.argsort(keys)
        self._keys = keys[self._rows]

    def read(self, image_ids: Iterable[str]) -> dict[str, StoredPicture]:
        """Those of the pictures that are there and have bytes, by id. The caller bounds how many."""
        wanted = _keys(sorted(set(image_ids)))
        if not len(wanted) or not len(self._keys):
            return {}
        at = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        rows = np.sort(self._rows[at[self._keys[at] == wanted]])
        if not len(rows):
            return {}
        found = self._dataset.take(rows.tolist(), columns=["image_id", "bytes", "format"]).to_pylist()
        return {
            row["image_id"]: StoredPicture(row["image_id"], row["bytes"], MEDIA_TYPES[row["format"]])
            for row in found
            if row["bytes"] is not None and row["format"] in MEDIA_TYPES
        }


def _keys(ids: list[str]) -> npt.NDArray[np.bytes_]:
    """The 16 bytes of each id, as values that can be ordered. ``S`` drops zero bytes at the end alike."""
    return np.array([bytes.fromhex(i) for i in ids], dtype="S16")
