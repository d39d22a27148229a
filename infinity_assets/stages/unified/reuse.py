"""Which published shards still hold: those whose slice and whose media have not changed."""

from __future__ import annotations

from posixpath import normpath

import pyarrow.compute as pc

from infinity_assets.errors import SourceError
from infinity_assets.sources.roots import Roots
from infinity_assets.stages.images.measure import MEASURE_VERSION
from infinity_assets.stages.raw.manifest import diff, hash_stream
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.store.tables import Published, Shard, Store


def reusable(store: Store, base: Published | None, raw: Published) -> dict[str, Shard]:
    """Published shards that may stay, by the key of the draft they came from, in their order.

    Where pictures are measured otherwise now, only those without media: a source of texts is not read again.
    """
    if base is None:
        return {}
    by_draft = {str(s.stats["draft"]): s for s in base.shards}
    if base.notes["measure_version"] != MEASURE_VERSION:
        by_draft = {key: s for key, s in by_draft.items() if not _has_media(base, s)}
    if base.inputs["raw"] == raw.data_version:
        return by_draft
    before = store.past(RAW, raw.partition, base.notes["raw_version"])
    if before is None or before.data_version != base.inputs["raw"]:
        return {}  # raw was cleaned up or made anew: what changed since cannot be told
    changed = _changed_media(before, raw)
    return {key: s for key, s in by_draft.items() if not _refers_to(base, s, changed)}


def verify_unchanged(raw: Published, roots: Roots, paths: list[str]) -> None:
    """Make sure that record files are those that ``raw`` hashed.

    A file whose size and time are as before is trusted; any other is hashed again.

    Raises:
        SourceError: naming the first file that changed.
    """
    known = {
        r["path"]: r
        for r in raw.read(["path", "bytes", "content_hash", "modified"], "root = 'records'").to_pylist()
    }
    for path in paths:
        now, then = roots.records.stat(path), known[path]
        if now.error is None and now.modified is not None:
            if (now.bytes, now.modified) == (then["bytes"], then["modified"]):
                continue
            with roots.open("records", path) as stream:
                if hash_stream(stream) == then["content_hash"]:
                    continue
        elif now.error is None and now.bytes == then["bytes"]:
            continue
        raise SourceError(f"{path}: changed since raw hashed it; materialize raw again")


def _changed_media(before: Published, raw: Published) -> set[str]:
    columns = ["file_id", "content_hash"]
    changes = diff(before.read(columns), raw.read(columns))
    return {i.split("/", 1)[1] for i in (*changes.added, *changes.removed, *changes.changed)}


def _has_media(base: Published, shard: Shard) -> bool:
    return bool(pc.any(base.read_shard(shard, {"any": "array_length(media) > 0"}).column("any")).as_py())


def _refers_to(base: Published, shard: Shard, paths: set[str]) -> bool:
    if not paths:
        return False
    media = base.read_shard(shard, ["media"]).column("media").to_pylist()
    return any(normpath(m["ref"]) in paths for row in media for m in row if not m["embedded"])
