"""Hashing the files of a source, and telling two manifests apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

import blake3
import pyarrow as pa

from infinity_assets.errors import SourceError
from infinity_assets.sources.listing import Listed
from infinity_assets.sources.roots import Roots
from infinity_assets.stages.raw.schema import RAW

CHUNK = 1 << 20

#: Threads that hash: BLAKE3 releases the interpreter's lock, and small files wait for the disk.
THREADS = 4


def hash_stream(stream: BinaryIO) -> str:
    """BLAKE3-128 hex of a whole stream, in constant memory."""
    hasher = blake3.blake3()
    while chunk := stream.read(CHUNK):
        hasher.update(chunk)
    return hasher.hexdigest(length=16)


def build_manifest(roots: Roots, revision: str | None) -> pa.Table:
    """Every file of a source with its content hash, sorted by root and path, in RAW's schema.

    A file that cannot be read gets a row with the error and no hash; it stops nothing else.
    """
    listed = sorted(roots.list(), key=lambda item: (item[0], item[1].path))
    with ThreadPoolExecutor(THREADS) as threads:
        # One task a thread: a task costs as much as a small file.
        tasks = [threads.submit(_hash_all, roots, listed[nth::THREADS]) for nth in range(THREADS)]
        hashed = [tasks[place % THREADS].result()[place // THREADS] for place in range(len(listed))]
    rows = [
        {
            "file_id": f"{root}/{file.path}",
            "root": root,
            "path": file.path,
            "bytes": file.bytes,
            "content_hash": digest,
            "revision": revision,
            "error": error,
            "modified": file.modified,
        }
        for (root, file), (digest, error) in zip(listed, hashed, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=RAW.schema)


def _hash_all(roots: Roots, files: Sequence[tuple[str, Listed]]) -> list[tuple[str | None, str | None]]:
    return [_hash(roots, root, file) for root, file in files]


def _hash(roots: Roots, root: str, file: Listed) -> tuple[str | None, str | None]:
    if file.error is not None:
        return None, file.error
    try:
        with roots.open(root, file.path) as stream:
            return hash_stream(stream), None
    except (OSError, SourceError) as error:
        return None, f"cannot be read: {error}"


@dataclass(frozen=True, slots=True)
class ManifestDiff:
    """What changed upstream between two manifests, by file id, sorted."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def diff(before: pa.Table | None, after: pa.Table) -> ManifestDiff:
    """Files added, removed, and silently replaced (same path, another content)."""
    old = _contents(before) if before is not None else {}
    new = _contents(after)
    return ManifestDiff(
        _sorted(new.keys() - old.keys()),
        _sorted(old.keys() - new.keys()),
        _sorted(k for k in new.keys() & old.keys() if new[k] != old[k]),
    )


def _contents(manifest: pa.Table) -> dict[str, str | None]:
    ids, hashes = manifest.column("file_id").to_pylist(), manifest.column("content_hash").to_pylist()
    return dict(zip(ids, hashes, strict=True))


def _sorted(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(ids))
