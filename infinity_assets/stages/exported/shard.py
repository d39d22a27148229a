"""Writing one shard of an export: its lines read in batches, the next one while the current is written."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from infinity_assets.errors import StoreError
from infinity_assets.stages.exported.base import Picture, Sample
from infinity_assets.stages.exported.files import HashedFile
from infinity_assets.stages.exported.formats import exporter
from infinity_assets.stages.exported.lines import open_lines
from infinity_assets.stages.exported.pictures import MAX_SIDE, shrink, suffix_of
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.synthesized.schema import SYNTHESIZED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.tables import Store

RECORDS = ".shards"  #: folder of what is known about finished shards, while an export is being written
LINES_FILE = ".lines.arrow"

#: Bounds of a batch. A take from Lance costs the same for one row as for dozens, so lines of many sources
#: come in larger batches; what is taken at once stays small enough for its memory to be used again.
BATCH_BYTES = 32 << 20
BATCH_LINES = 256
MANY_SOURCES = 8

_PICTURE_COLUMNS: Final = ["image_id", "bytes", "format", "width", "height", "phash"]


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """A finished shard; a row of the published table."""

    file: str
    bytes: int
    samples: int
    first: int
    last: int
    content_hash: str
    pictures: int
    picture_bytes: int


def run_export(root: str, key: str, payload: Mapping[str, Any]) -> None:
    """Write one shard, unless it is there: first the file, then its record, both atomically.

    Args:
        root: of the store.
        key: what determines the bytes; not needed here, the folder is named by it.
        payload: ``format``, ``folder``, ``index`` of the shard, its lines from ``start`` to ``end``
            (excluded), and ``tables``: for each source its name and the Lance versions of unified, of images
            and of synthesized (or null).

    Raises:
        StoreError: if a picture has no bytes or cannot be decoded.
    """
    folder = Path(payload["folder"])
    index, start, end = payload["index"], payload["start"], payload["end"]
    record = folder / RECORDS / f"{index:05d}.json"
    if record.exists():
        return
    _keep_freed_memory()
    form = exporter(payload["format"])
    name = f"part-{index:05d}.{form.suffix}"
    partial = folder / f".{os.getpid()}-{name}.partial"
    lines = open_lines(folder / LINES_FILE).slice(start, end - start)
    pictures = picture_bytes = 0
    file = HashedFile(partial)
    try:
        shard = form.open(file, folder)
        for batch in _batches(Tables(root, payload["tables"]), lines):
            for sample in batch:
                shard.add(sample)
                pictures += len(sample.pictures)
                picture_bytes += sum(len(p.data) for p in sample.pictures)
        shard.close()
    finally:
        file.close()
    partial.replace(folder / name)
    done = ShardRecord(
        name, file.size, end - start, start, end - 1, file.hexdigest(), pictures, picture_bytes
    )
    _put(record, orjson.dumps(asdict(done)))


@cache
def _keep_freed_memory() -> None:
    """Let glibc keep up to 256 MiB of freed memory, where there is a glibc.

    Every batch needs the same few buffers of megabytes. By default glibc hands them back to the kernel each
    time, and a quarter of an export's processor time goes into faulting and clearing the same pages again.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-1, 256 << 20)  # M_TRIM_THRESHOLD
        mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, the largest that glibc takes


def read_records(folder: Path) -> list[ShardRecord]:
    """The finished shards, in order."""
    return [ShardRecord(**orjson.loads(p.read_bytes())) for p in sorted((folder / RECORDS).glob("*.json"))]


def _put(path: Path, data: bytes) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(data)
    partial.replace(path)


class Tables:
    """The pinned tables of an export's sources."""

    def __init__(self, root: str, versions: list[tuple[str, int, int | None, int | None]]) -> None:
        self._store = Store(root)
        self.sources = [name for name, *_ in versions]
        self._versions = versions

    def unified(self, source: int) -> Any:
        """Lance dataset of samples."""
        name, version, _, _ = self._versions[source]
        return _dataset(self._store.uri(UNIFIED.name, name), version)

    def talks(self, source: int) -> Any:
        """Lance dataset of what was written about the source's pictures."""
        name, _, _, version = self._versions[source]
        return _dataset(self._store.uri(SYNTHESIZED.name, name), version)

    def images(self, source: int) -> Any:
        """Lance dataset of pictures."""
        name, _, version, _ = self._versions[source]
        if version is None:
            raise StoreError(f"images of {name} was never published; materialize unified first")
        return _dataset(self._store.uri(IMAGES.name, name), version)


@lru_cache(maxsize=512)
def _dataset(uri: str, version: int | None) -> Any:
    import lance

    return lance.dataset(uri, version=version)


def _batches(tables: Tables, lines: pa.Table) -> Iterator[list[Sample]]:
    """Samples in order. One batch is read ahead, so that reading and writing share the time."""
    spans = _spans(lines)
    with ThreadPoolExecutor(1, thread_name_prefix="export-read") as reader:
        ahead = [reader.submit(_load, tables, lines.slice(a, b - a)) for a, b in spans[:1]]
        for a, b in [*spans[1:], (0, 0)]:
            if not ahead:
                return
            batch = ahead.pop().result()
            if b:
                ahead.append(reader.submit(_load, tables, lines.slice(a, b - a)))
            yield batch


def _spans(lines: pa.Table) -> list[tuple[int, int]]:
    """Cut lines into batches within the bounds; a line above the byte bound stands alone."""
    sizes = lines.column("bytes").to_numpy()
    sources = min(MANY_SOURCES, len(lines.column("source").unique()))
    spans, start, held = [], 0, 0
    for i, size in enumerate(sizes.tolist()):
        if i > start and (held + size > BATCH_BYTES or i - start >= BATCH_LINES * sources):
            spans.append((start, i))
            start, held = i, 0
        held += size
    return [*spans, (start, len(sizes))] if len(sizes) else []


def _load(tables: Tables, lines: pa.Table) -> list[Sample]:
    """Samples of a batch of lines, in order: one take a table and source."""
    keys = lines.column("key").to_pylist()
    sources = lines.column("source").to_numpy()
    rows = lines.column("row").to_numpy()
    shown = lines.column("pictures").to_pylist()
    samples: list[Sample | None] = [None] * len(keys)
    for source in np.unique(sources).tolist():
        at = np.flatnonzero(sources == source).tolist()
        texts = _texts(tables, source, rows[at])
        pictures = _pictures(tables, source, [p for i in at for p in shown[i]])
        for i, (turns, upstream) in zip(at, texts, strict=True):
            own = tuple(pictures[p] for p in shown[i])
            samples[i] = Sample(keys[i], tables.sources[source], turns, own, upstream)
    return [s for s in samples if s is not None]


def _texts(tables: Tables, source: int, rows: npt.NDArray[np.int64]) -> list[tuple[Any, str]]:
    """Turns and upstream measures of rows of one source, in order; negative ones are of synthesized."""
    found: list[tuple[Any, str]] = [([], "")] * len(rows)
    for written in np.unique(rows < 0).tolist():
        at = np.flatnonzero((rows < 0) == written)
        table = tables.talks(source) if written else tables.unified(source)
        taken = table.take(-1 - rows[at] if written else rows[at], columns=["turns", "upstream"])
        for i, *values in zip(
            at, taken.column("turns").to_pylist(), taken.column("upstream").to_pylist(), strict=True
        ):
            found[i] = (values[0], values[1])
    return found


def _pictures(tables: Tables, source: int, rows: list[int]) -> dict[int, Picture]:
    """Pictures of one source by row; each is read once however often the batch shows it."""
    distinct = sorted(set(rows))
    if not distinct:
        return {}
    table = tables.images(source).take(distinct, columns=_PICTURE_COLUMNS)
    ids, formats = table.column("image_id").to_pylist(), table.column("format").to_pylist()
    widths, heights = table.column("width").to_pylist(), table.column("height").to_pylist()
    phashes = table.column("phash").to_pylist()
    found = {}
    for i, (row, stored) in enumerate(zip(distinct, _views(table.column("bytes")), strict=True)):
        if stored is None or formats[i] is None or widths[i] is None or heights[i] is None:
            raise StoreError(
                f"{tables.sources[source]}: picture {ids[i]} is planned but has no bytes or size"
            )
        data, name = stored, f"{ids[i]}.{suffix_of(formats[i])}"
        if max(widths[i], heights[i]) > MAX_SIDE:
            data, suffix = shrink(bytes(stored), formats[i])
            name = f"{ids[i]}-{MAX_SIDE}.{suffix}"
        phash = None if phashes[i] is None else int.from_bytes(phashes[i], "big")
        found[row] = Picture(name, data, phash)
    return found


def _views(column: pa.ChunkedArray) -> Iterator[bytes | memoryview | None]:
    """Values of a large_binary column without copying them."""
    for chunk in column.chunks:
        valid, offsets_buffer, data_buffer = chunk.buffers()
        del valid
        offsets: npt.NDArray[np.int64] = np.frombuffer(offsets_buffer, dtype=np.int64)
        places = offsets[chunk.offset : chunk.offset + len(chunk) + 1].tolist()
        data = memoryview(data_buffer) if data_buffer is not None else memoryview(b"")
        present = chunk.is_valid().to_pylist()
        for i, here in enumerate(present):
            yield data[places[i] : places[i + 1]] if here else None
