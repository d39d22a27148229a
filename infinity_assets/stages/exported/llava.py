"""LLaVA: JSON arrays, pictures in folders beside them, and the mix file of LLaVA-NeXT's trainer.

``mix.yaml`` lists ``{json_path, sampling_strategy: all}`` for each part, relative to the export's folder;
train from there, with that folder as ``image_folder``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from infinity_assets.errors import StoreError
from infinity_assets.stages.exported.base import Picture, ReadBack, Sample, conversations, pairs_of
from infinity_assets.stages.exported.files import HashedFile

MIX = "mix.yaml"


class Llava:
    """``id``, ``image`` (absent, a path, or a list of paths), ``conversations``."""

    format = "llava"
    version = 1
    suffix = "json"

    def open(self, file: HashedFile, folder: Path) -> _Part:
        """See :class:`~infinity_assets.stages.exported.base.Exporter`."""
        return _Part(file, folder)

    def finish(self, folder: Path, shards: Sequence[str]) -> None:
        """Write the mix file."""
        parts = "".join(f"  - json_path: {name}\n    sampling_strategy: all\n" for name in shards)
        (folder / MIX).write_text(f"datasets:\n{parts}" if parts else "datasets: []\n", encoding="utf-8")

    def read(self, folder: Path, shards: Sequence[str]) -> Iterator[ReadBack]:
        """See :class:`~infinity_assets.stages.exported.base.Exporter`; a missing picture is an error."""
        for shard in shards:
            for record in orjson.loads((folder / shard).read_bytes()):
                images = record.get("image", [])
                paths = [images] if isinstance(images, str) else images
                for path in paths:
                    if not (folder / path).is_file():
                        raise StoreError(f"{folder / shard}: {record['id']}: {path} is missing; export again")
                names = tuple(path.rpartition("/")[2] for path in paths)
                yield ReadBack(record["id"], pairs_of(record["conversations"]), names)


class _Part:
    def __init__(self, file: HashedFile, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self._between = b"[\n"

    def add(self, sample: Sample) -> None:
        paths = [self._store(picture) for picture in sample.pictures]
        record: dict[str, Any] = {"id": sample.key}
        if paths:
            record["image"] = paths[0] if len(paths) == 1 else paths
        record["conversations"] = conversations(sample)
        self._file.write(self._between)
        self._file.write(orjson.dumps(record))
        self._between = b",\n"

    def close(self) -> None:
        self._file.write(b"[]\n" if self._between == b"[\n" else b"\n]\n")

    def _store(self, picture: Picture) -> str:
        """Write the picture unless it is there; its name says what it holds, so any copy is as good."""
        path = f"images/{picture.name[:2]}/{picture.name}"
        target = self._folder / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{os.getpid()}-{picture.name}.partial")
            partial.write_bytes(picture.data)
            partial.replace(target)
        return path
