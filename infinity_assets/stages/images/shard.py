"""One shard of ``images``: some pictures of a source, decoded and measured once, staged with their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import blake3
import pyarrow as pa

from infinity_assets.errors import SourceError
from infinity_assets.readers import parse_options
from infinity_assets.sources.model import SourceSpec
from infinity_assets.sources.roots import open_roots
from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.images.measure import MEASURE_VERSION
from infinity_assets.stages.images.schema import IMAGES, measure_batch, unmeasured
from infinity_assets.stages.publish import verdict_stats
from infinity_assets.stages.unified.draft import read_slice
from infinity_assets.store.digests import key_of
from infinity_assets.store.memory import release_memory
from infinity_assets.store.tables import Store, stage_shard

#: Bytes and pictures after which a batch is measured, so that memory holds one batch.
BATCH_BYTES = 8 << 20
BATCH_IMAGES = 256


def shard_key(source: str, items: Sequence[Sequence[Any]], failure: str | None = None) -> str:
    """The key of a shard: its pictures, their names' suffixes, and how they are measured."""
    named = [(item[0], Path(item[2]).suffix) for item in items]
    return key_of("images", MEASURE_VERSION, Limits(), source, named, failure)


def run_images(root: str, key: str, payload: Mapping[str, Any]) -> None:
    """Measure the pictures of one shard and stage them under ``key``.

    The payload has ``items``, lists of (image id, root, path, bytes), or, for pictures inside a container,
    (image id, "embedded", name, bytes) with the ``slice`` that holds them. With ``failure`` the pictures are
    not decoded but recorded as having killed their worker.

    Raises:
        SourceError: if a file's bytes are no longer those that ``raw`` hashed.
    """
    limits = Limits()
    batches: list[pa.RecordBatch] = []
    waiting: list[tuple[str, bytes]] = []
    size = 0
    for image_id, name, length, data in _pictures(root, payload, limits):
        if data is None:
            detail = f"{length:,} bytes, the limit is {limits.max_bytes:,}"
            batches.append(unmeasured(image_id, length, None, "too_large", detail))
            continue
        if payload.get("failure") is not None:
            batches.append(unmeasured(image_id, length, data, "decoder_died", payload["failure"]))
            continue
        waiting.append((name, data))
        size += length
        if size >= BATCH_BYTES or len(waiting) >= BATCH_IMAGES:
            batches.append(measure_batch(waiting, limits))
            waiting, size = [], 0
    if waiting:
        batches.append(measure_batch(waiting, limits))
    table = pa.Table.from_batches(batches, schema=IMAGES.schema)
    store = Store(root)
    stage_shard(store, IMAGES, payload["spec"]["name"], key, table, verdict_stats(table, IMAGES.key))
    del table, batches
    release_memory()


Picture = tuple[str, str, int, bytes | None]  # image id, name, bytes, data (None where over the limit)


def _pictures(root: str, payload: Mapping[str, Any], limits: Limits) -> Iterable[Picture]:
    items: Sequence[Sequence[Any]] = payload["items"]
    if payload.get("slice") is not None:
        yield from _embedded(root, payload, {item[0]: item[2] for item in items})
        return
    spec = SourceSpec.model_validate(payload["spec"])
    reader, _ = parse_options(spec.reader)
    roots = open_roots(spec, Path(payload["base"]), reader.patterns)
    for image_id, tree, path, length in items:
        if length > limits.max_bytes:
            yield image_id, path, length, None
            continue
        with roots.open(tree, path) as stream:
            data = stream.read(length + 1)
        if blake3.blake3(data).hexdigest(length=16) != image_id:
            raise SourceError(f"{path}: changed since raw hashed it; materialize raw again")
        yield image_id, path, length, data


def _embedded(root: str, payload: Mapping[str, Any], wanted: dict[str, str]) -> Iterable[Picture]:
    for record in read_slice(root, payload):
        for medium in record.media:
            if medium.kind != "image" or medium.data is None:
                continue
            image_id = blake3.blake3(medium.data).hexdigest(length=16)
            if image_id in wanted:
                yield image_id, wanted.pop(image_id), len(medium.data), medium.data
        if not wanted:
            return
    file = payload["slice"]["file"]
    raise SourceError(f"{file}: {len(wanted)} pictures are gone since it was read; materialize raw again")
