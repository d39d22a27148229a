"""What the tar formats share: a writer of members, and reading back.

Reading back uses the standard library's :mod:`tarfile` rather than our own walker.
"""

from __future__ import annotations

import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from infinity_assets.errors import StoreError
from infinity_assets.stages.exported.base import ReadBack, Sample, pairs_of
from infinity_assets.stages.exported.files import Data, HashedFile, TarStream


class TarFormat(ABC):
    """Base of the formats whose shard is a tar; a format gives the members of a line."""

    suffix = "tar"

    @abstractmethod
    def members(self, sample: Sample) -> Iterator[tuple[str, Data]]:
        """Name and bytes of each member of one line, the ``.json`` first."""

    def open(self, file: HashedFile, folder: Path) -> _Writer:
        """See :class:`~infinity_assets.stages.exported.base.Exporter`."""
        return _Writer(self, file)

    def finish(self, folder: Path, shards: Sequence[str]) -> None:  # noqa: B027 - a format may need none
        """Nothing to write."""

    def read(self, folder: Path, shards: Sequence[str]) -> Iterator[ReadBack]:
        """See :class:`~infinity_assets.stages.exported.base.Exporter`."""
        return read_tars(folder, shards)


class _Writer:
    def __init__(self, form: TarFormat, file: HashedFile) -> None:
        self._form = form
        self._tar = TarStream(file)

    def add(self, sample: Sample) -> None:
        for name, data in self._form.members(sample):
            self._tar.add(name, data)

    def close(self) -> None:
        self._tar.close()


def read_tars(folder: Path, shards: Sequence[str]) -> Iterator[ReadBack]:
    """Every line in order.

    Raises:
        StoreError: if a line has another number of non-empty picture members than its JSON names.
    """
    for shard in shards:
        key, record, found = "", None, 0
        with tarfile.open(folder / shard, "r|") as archive:
            for member in archive:
                stem, _, suffix = member.name.partition(".")
                if stem != key:
                    if record is not None:
                        yield _line(record, found, folder / shard)
                    key, record, found = stem, None, 0
                if suffix == "json":
                    content = archive.extractfile(member)
                    assert content is not None
                    record = orjson.loads(content.read())
                else:
                    found += member.size > 0
        if record is not None:
            yield _line(record, found, folder / shard)


def _line(record: dict[str, Any], found: int, shard: Path) -> ReadBack:
    image = record["image"]
    names = tuple(image) if isinstance(image, list) else ((image,) if image else ())
    if found != len(names):
        raise StoreError(f"{shard}: {record['id']} has {found} pictures and names {len(names)}; export again")
    return ReadBack(record["id"], pairs_of(record["conversations"]), names)
