"""Rows of Parquet files, a few at a time, each as JSON-ready values or the reason why it cannot be read."""

from __future__ import annotations

import base64
import datetime
import decimal
import math
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import blake3
import pyarrow as pa
import pyarrow.parquet as pq

from infinity_assets.readers.base import Locator, RowError, Slice, canonical_json
from infinity_assets.readers.files import FileEntry, SourceFiles

SLICE_BYTES = 8 << 20
SLICE_ROWS = 20_000
BATCH_BYTES = 16 << 20  #: bytes of the rows that are held at once, by the row group's own mean
ROW_LIMIT = 256 << 20  #: bytes of one row in memory (our choice, as for a tar member)
GROUP_LIMIT = 8 << 30  #: uncompressed bytes that a row group may declare
# A value that stands once in a dictionary may stand for every row of its group.
GROUP_RATIO = 250  #: bytes in memory for each uncompressed byte of the group, as for gzip
GROUP_GRACE = 64 << 20  #: bytes in memory before the ratio counts
FEWEST_ROWS = 16  #: rows of a batch whose dictionaries are large
INLINE_LIMIT = 1024  #: bytes of a binary value that is kept as base64; longer ones as size and BLAKE3
_METADATA_LIMIT = 64 << 20


@dataclass(frozen=True, slots=True)
class ParquetRow:
    """One row: ``values`` as Arrow gives them and ``raw`` as canonical JSON; or the error."""

    locator: Locator
    raw: bytes
    values: Mapping[str, Any]
    error: RowError | None = None


class _Watched:
    """The stream, remembering its own failures: those are the environment's, all others the file's."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None
        self.closed = False

    def read(self, n: int = -1) -> bytes:
        try:
            return self._stream.read(n)
        except OSError as error:
            self.failure = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        return None

    def close(self) -> None:
        self.closed = True


#: What pyarrow raises for a damaged file (its OSError is "couldn't deserialize thrift" and the like).
_DAMAGED = (pa.ArrowException, OSError, ValueError, OverflowError)


def _opened(watched: _Watched) -> Any:
    return pq.ParquetFile(
        watched,
        pre_buffer=False,
        page_checksum_verification=True,  # where the writer gave checksums, a flipped bit is no other picture
        buffer_size=1 << 20,  # pages are streamed; a column chunk is never whole in memory
        thrift_string_size_limit=_METADATA_LIMIT,
        thrift_container_size_limit=1_000_000,
    )


def plan_groups(files: SourceFiles, entry: FileEntry) -> Iterator[Slice]:
    """Slices of whole row groups: ``start`` and ``end`` are row groups, ``content`` file hash and range.

    A file whose footer cannot be read is one slice, whose reader reports it.
    """
    with files.open(entry.path) as stream:
        watched = _Watched(stream)
        try:
            meta = _opened(watched).metadata
            sizes = [_group_size(meta, g) for g in range(meta.num_row_groups)]
        except _DAMAGED:
            if watched.failure is not None:
                raise watched.failure from None
            yield Slice(entry.path, entry.content_hash)
            return
    start = row = size = count = 0
    for group, (group_bytes, group_rows) in enumerate(sizes):
        if group > start and (size + group_bytes > SLICE_BYTES or count + group_rows > SLICE_ROWS):
            yield _slice(entry, start, group, row)
            start, row, size, count = group, row + count, 0, 0
        size, count = size + group_bytes, count + group_rows
    if sizes:
        yield _slice(entry, start, len(sizes), row)


def _group_size(meta: Any, group: int) -> tuple[int, int]:
    found = meta.row_group(group)
    return max(found.total_byte_size, 0), max(found.num_rows, 0)


def _slice(entry: FileEntry, start: int, end: int, row: int) -> Slice:
    content = blake3.blake3(f"{entry.content_hash} {start} {end}".encode()).hexdigest(length=16)
    return Slice(entry.path, content, start, end, row)


def rows(files: SourceFiles, piece: Slice) -> Iterator[ParquetRow]:
    """Every row of the slice's row groups, in order.

    Raises:
        OSError: if the source's stream itself fails; a damaged file is a row with an error instead.
    """
    with files.open(piece.file) as stream:
        watched = _Watched(stream)
        try:
            file = _opened(watched)
            names = file.schema_arrow.names
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ValueError(f"columns named twice: {', '.join(repeated[:8])}")
        except _DAMAGED as error:
            yield _lost(watched, piece.file, piece.first_row, f"{error}")
            return
        first = piece.first_row
        for group in range(piece.start, file.num_row_groups if piece.end == -1 else piece.end):
            _, count = _group_size(file.metadata, group)
            yield from _group_rows(file, watched, piece.file, group, first)
            first += count


def _group_rows(file: Any, watched: _Watched, path: str, group: int, first: int) -> Iterator[ParquetRow]:
    size, count = _group_size(file.metadata, group)
    if size > GROUP_LIMIT:
        detail = f"{path}, row group {group}: {count} rows in {size} bytes; the limit is {GROUP_LIMIT}"
        yield ParquetRow(Locator(path, first), b"", {}, RowError("too_large", detail))
        return
    batch_rows = max(1, min(_batch_rows(file.metadata.row_group(group)), BATCH_BYTES * count // max(size, 1)))
    row, held = first, 0
    try:
        for batch in file.iter_batches(batch_size=batch_rows, row_groups=[group], use_threads=False):
            for i in range(batch.num_rows):
                one = batch.slice(i, 1)
                held += one.nbytes
                if held > max(GROUP_GRACE, GROUP_RATIO * size):
                    lost = f"row group {group}, {first + count - row} rows lost: it expands too much"
                    detail = f"{path}: not read from row {row} on: {lost}"
                    yield ParquetRow(Locator(path, row), b"", {}, RowError("too_large", detail))
                    return
                yield _row(Locator(path, row), one)
                row += 1
        if row - first != count:
            raise ValueError(f"the footer promises {count} rows, there are {row - first}")
    except _DAMAGED as error:
        yield _lost(watched, path, row, f"row group {group}, {first + count - row} rows lost: {error}")


def _batch_rows(group: Any) -> int:
    """Rows that fit into a batch even if each holds the largest value that a dictionary can have."""
    chunks = (group.column(i) for i in range(group.num_columns))
    worst: int = sum(c.total_uncompressed_size for c in chunks if c.has_dictionary_page)
    return min(1024, max(FEWEST_ROWS, BATCH_BYTES // max(worst, 1)))


def _lost(watched: _Watched, path: str, row: int, why: str) -> ParquetRow:
    if watched.failure is not None:
        raise watched.failure from None
    detail = f"{path}: not readable from row {row} on: {' '.join(why.split())[:300]}"
    return ParquetRow(Locator(path, row), b"", {}, RowError("unreadable_file", detail))


def _row(locator: Locator, batch: Any) -> ParquetRow:
    where = f"{locator.file}, row {locator.row}"
    if batch.nbytes > ROW_LIMIT:
        detail = f"{where}: {batch.nbytes} bytes; the limit is {ROW_LIMIT}"
        return ParquetRow(locator, b"", {}, RowError("too_large", detail))
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            values[name] = column[0].as_py()
        except (ValueError, OverflowError, pa.ArrowException) as error:  # UnicodeDecodeError is a ValueError
            wrong.append(f"column {name}: {error}")
    try:
        raw = canonical_json(json_value(values))
    except (TypeError, RecursionError) as error:
        return ParquetRow(
            locator, repr(sorted(values)).encode(), {}, RowError("bad_record", f"{where}: {error}")
        )
    problem = RowError("bad_record", f"{where}: {'; '.join(wrong)[:300]}") if wrong else None
    return ParquetRow(locator, raw, values, problem)


def json_value(value: Any) -> Any:
    """An Arrow value as JSON: binaries as base64 below 1 KiB, else as size and BLAKE3-128; NaN by name."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return binary_value(value)
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | datetime.timedelta | uuid.UUID):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")


def binary_value(value: bytes) -> dict[str, str | int]:
    """How a binary is told in JSON."""
    if len(value) < INLINE_LIMIT:
        return {"base64": base64.b64encode(value).decode()}
    return {"blake3": blake3.blake3(value).hexdigest(length=16), "bytes": len(value)}
