"""Rows of CSV and TSV files (RFC 4180), with or without a header row.

A row ends at a line end outside of quotes. Its value is an object: column name to text.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

import orjson

from infinity_assets.readers.base import Locator, RowError, Slice, canonical_json
from infinity_assets.readers.files import FileEntry, SourceFiles
from infinity_assets.readers.json_rows import BOM, Row, cut, failed, read_lines
from infinity_assets.readers.json_scan import Unclosed
from infinity_assets.readers.json_values import RECORD_LIMIT

QUOTE = ord('"')


def is_csv(path: str) -> bool:
    """Whether the name says CSV or TSV."""
    return path.lower().endswith((".csv", ".tsv"))


def plan_csv(files: SourceFiles, entry: FileEntry, columns: tuple[str, ...]) -> Iterator[Slice]:
    """Cut one file at row ends; without ``columns`` the first row names them.

    A quote that is never closed makes one slice whose only record is the error.
    """
    delimiter = "\t" if entry.path.lower().endswith(".tsv") else ","
    with files.open(entry.path) as stream:
        start = len(BOM) if stream.read(len(BOM)) == BOM else 0
        if not columns:
            try:
                header = next(_rows(stream, start, -1, delimiter), None)
            except Unclosed as error:
                yield failed(entry, error.offset, 0, str(error))
                return
            if header is None:
                return
            start = header[0] + header[1]
            try:
                columns = tuple(_cells(header[2], delimiter))
                if len(set(columns)) < len(columns):
                    raise ValueError("a column name is repeated")
            except ValueError as error:
                yield failed(entry, header[0], 0, f"the header row cannot be used: {error}")
                return
        args = (("delimiter", delimiter), ("columns", canonical_json(columns).decode()))
        ends = (at + size for at, size, _ in _rows(stream, start, -1, delimiter))
        yield from cut(files, entry, start, ends, args)


def read_csv(files: SourceFiles, piece: Slice) -> Iterator[Row]:
    """The rows of one slice as objects; a row with another number of cells is an error."""
    args = dict(piece.args)
    columns, delimiter = orjson.loads(str(args["columns"])), str(args["delimiter"])
    with files.open(piece.file) as stream:
        for number, (at, size, raw) in enumerate(
            _rows(stream, piece.start, piece.end, delimiter), piece.first_row
        ):
            where = Locator(piece.file, number, offset=at)
            place = f"row {number} at byte {at}"
            if raw is None:
                detail = f"{place} has {size} bytes; the limit is {RECORD_LIMIT}"
                yield Row(where, b"", error=RowError("too_large", detail))
                continue
            try:
                cells = _cells(raw, delimiter)
                if len(cells) != len(columns):
                    raise ValueError(f"{len(cells)} cells, but {len(columns)} columns")
            except ValueError as error:
                yield Row(where, raw, error=RowError("bad_record", f"{place}: {error}"))
                continue
            value = dict(zip(columns, cells, strict=True))
            yield Row(where, canonical_json(value), value)


def _cells(raw: bytes | None, delimiter: str) -> list[str]:
    """The cells of one row.

    Raises:
        ValueError: if it is over the limit, not UTF-8, or not CSV.
    """
    if raw is None:
        raise ValueError(f"more than {RECORD_LIMIT} bytes")
    csv.field_size_limit(RECORD_LIMIT)  # the module's own limit is 128 KiB
    try:
        return next(csv.reader([raw.decode()], delimiter=delimiter, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None


def _rows(stream: BinaryIO, start: int, end: int, delimiter: str) -> Iterator[tuple[int, int, bytes | None]]:
    """Offset, length with its end, and text of each row; None for one over the limit.

    Raises:
        Unclosed: if a quote is never closed.
    """
    begin, held, size, is_open = start, [b""], 0, False
    for at, length, line in read_lines(stream, start, end, blank_too=True):
        if not size:
            begin, held = at, []
        size = at + length - begin
        if line is None:
            yield begin, size, None
            size, is_open = 0, False
            continue
        is_open = _ends_in_quotes(line, delimiter, is_open)
        if size <= RECORD_LIMIT:
            held.append(line)
        if is_open:
            continue
        raw = b"".join(held).rstrip(b"\r\n")
        if raw.strip() or size > RECORD_LIMIT:
            yield begin, size, raw if size <= RECORD_LIMIT else None
        size = 0
    if is_open:
        raise Unclosed(begin, "a quote is opened and never closed")


def _ends_in_quotes(line: bytes, delimiter: str, inside: bool) -> bool:
    """Whether a quoted cell is open at the line's end; a quote opens a cell only at its start."""
    if not inside and QUOTE not in line:
        return False
    at, mark = 0, delimiter.encode()
    while True:
        if not inside:
            if not line.startswith(b'"', at):
                at = line.find(mark, at) + 1
                if not at:
                    return False
                continue
            at, inside = at + 1, True
        at = line.find(b'"', at) + 1
        if not at:
            return True
        if line.startswith(b'"', at):
            at += 1
            continue
        inside = False
        at = line.find(mark, at) + 1
        if not at:
            return False
