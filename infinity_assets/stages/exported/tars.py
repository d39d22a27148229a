"""Reading exported tars back, with the standard library's :mod:`tarfile` rather than our own walker."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from infinity_assets.errors import StoreError
from infinity_assets.stages.exported.base import ReadBack, pairs_of


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
