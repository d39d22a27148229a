"""Plain webdataset tars: ``.json``, then the pictures under their true suffixes.

One picture is ``<key>.png``; several are ``<key>.0.png``, ``<key>.1.jpg``, ... in the order of their markers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from infinity_assets.stages.exported.base import ReadBack, Sample, conversations
from infinity_assets.stages.exported.files import HashedFile, TarStream
from infinity_assets.stages.exported.tars import read_tars


class WebDataset:
    """The JSON has ``id``, ``source``, ``image`` (a list of names) and ``conversations``."""

    format = "webdataset"
    version = 1
    suffix = "tar"

    def open(self, file: HashedFile, folder: Path) -> _Tar:
        """See :class:`~infinity_assets.stages.exported.base.Exporter`."""
        return _Tar(file)

    def finish(self, folder: Path, shards: Sequence[str]) -> None:
        """Nothing to write."""

    def read(self, folder: Path, shards: Sequence[str]) -> Iterator[ReadBack]:
        """See :class:`~infinity_assets.stages.exported.base.Exporter`."""
        return read_tars(folder, shards)


class _Tar:
    def __init__(self, file: HashedFile) -> None:
        self._tar = TarStream(file)

    def add(self, sample: Sample) -> None:
        key, pictures = sample.key, sample.pictures
        record = {
            "id": key,
            "source": sample.source,
            "image": [p.name for p in pictures],
            "conversations": conversations(sample),
        }
        self._tar.add(f"{key}.json", orjson.dumps(record))
        if len(pictures) == 1:
            self._tar.add(f"{key}.{pictures[0].suffix}", pictures[0].data)
        else:
            for i, picture in enumerate(pictures):
                self._tar.add(f"{key}.{i}.{picture.suffix}", picture.data)

    def close(self) -> None:
        self._tar.close()
