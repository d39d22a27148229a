"""Rows of JSON files, whatever their names say: one value a line, one array, or values one after another.

A file is cut into slices at row ends, and a slice's identity is the BLAKE3 of its bytes, so a file that grows
at its end keeps all slices but the last. Memory is one slice's row, at most
:data:`~infinity_assets.readers.json_values.RECORD_LIMIT`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import blake3
import numpy as np

from infinity_assets.readers.base import Locator, RowError, Slice
from infinity_assets.readers.files import FileEntry, SourceFiles
from infinity_assets.readers.json_scan import Inside, Unclosed, elements, find_array
from infinity_assets.readers.json_values import RECORD_LIMIT, BadJson, parse

#: A slice ends with the first row that reaches this many bytes (our choice: seconds of work for one worker).
SLICE_BYTES = 8 << 20
#: Files of lines grow at their end, and their last slice is read again each time: theirs are smaller.
LINE_SLICES = 2
#: A slice of short rows ends here, so that a worker holds no more of them at once.
SLICE_ROWS = 10_000
SNIFF_BYTES = 64 << 10
_BLOCK = 1 << 20
BOM = b"\xef\xbb\xbf"
_NEWLINE = 10
_IS_SPACE = np.array([bytes([value]).isspace() for value in range(256)])

Form = Literal["lines", "array", "values"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row as read: its value with its canonical JSON, or its raw bytes with the error."""

    locator: Locator
    raw: bytes
    value: Any = None
    error: RowError | None = None


def plan_json(files: SourceFiles, entry: FileEntry, rows: tuple[str, ...] = ()) -> Iterator[Slice]:
    """Cut one file at row ends; ``rows`` are the keys that lead to the list of rows in an object.

    An empty file has no slices. What cannot be read at all, and what follows a row that never ends, is one
    slice whose only record is the error.
    """
    with files.open(entry.path) as stream:
        found = _sniff(stream)
        if found is None:
            return
        if isinstance(found, str):
            yield failed(entry, 0, 0, found)
            return
        start, form = found
        inside: Inside = "array" if form == "array" else "values"
        if rows:
            within = find_array(stream, start, rows)
            if within is None:
                yield failed(entry, start, 0, f"no list at {'.'.join(rows)!r}; check the option 'rows'")
                return
            start, inside = within, "nested"
        elif form == "lines":
            yield from cut(files, entry, start, line_ends(stream, start), ())
            return
        elif form == "array":
            start += 1
        ends = (e.end for e in elements(stream, start, entry.bytes, inside))
        yield from cut(files, entry, start, ends, (("form", "elements"),))


def cut(
    files: SourceFiles, entry: FileEntry, start: int, ends: Iterator[int], args: tuple[tuple[str, str], ...]
) -> Iterator[Slice]:
    """Slices of a file whose rows end at the offsets given; a slice starts where the one before it ended."""
    first, at, rows, row = start, start, 0, 0
    limit = SLICE_BYTES if args else SLICE_BYTES // LINE_SLICES
    with files.open(entry.path) as stream:

        def piece() -> Slice:
            content = _hash(stream, first, at, args)
            return Slice(entry.path, content, first, at, row - rows, args)

        try:
            for end in ends:
                at, rows, row = end, rows + 1, row + 1
                if at - first >= limit or rows >= SLICE_ROWS:
                    yield piece()
                    first, rows = at, 0
        except Unclosed as error:
            if rows:
                yield piece()
            yield failed(entry, error.offset, row, str(error))
            return
        if rows:
            yield piece()


def read_json(files: SourceFiles, piece: Slice) -> Iterator[Row]:
    """The rows of one slice, in order, broken ones with their error."""
    args = dict(piece.args)
    if "failed" in args:
        error = RowError("unreadable_file", str(args["failed"]))
        yield Row(Locator(piece.file, piece.first_row, offset=piece.start), b"", error=error)
        return
    with files.open(piece.file) as stream:
        pieces = _elements if args.get("form") == "elements" else read_lines
        for number, (offset, size, raw) in enumerate(pieces(stream, piece.start, piece.end), piece.first_row):
            yield _row(Locator(piece.file, number, offset=offset), size, raw)


def _row(where: Locator, size: int, raw: bytes | None) -> Row:
    if raw is None:
        detail = f"row {where.row} at byte {where.offset} has {size} bytes; the limit is {RECORD_LIMIT}"
        return Row(where, b"", error=RowError("too_large", detail))
    raw = raw.rstrip(b"\r\n")
    try:
        value, canonical = parse(raw)
    except BadJson as error:
        detail = f"row {where.row} at byte {where.offset}: {error}"
        return Row(where, raw, error=RowError("bad_json", detail))
    return Row(where, canonical, value)


def _sniff(stream: BinaryIO) -> tuple[int, Form] | str | None:
    """Where the content starts and its form; None if there is none; a text says why it cannot be read.

    The first byte that is no space decides, not the file's name: ``[`` is an array, ``{`` alone on its line
    a pretty-printed value, anything else lines, if one of the first lines is an object.
    """
    head = stream.read(SNIFF_BYTES)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "the file is UTF-16; convert it to UTF-8"
    text = head.removeprefix(BOM).lstrip()
    while head and not text:
        head = stream.read(SNIFF_BYTES)
        text = head.lstrip()
    if not head:
        return None
    at = stream.tell() - len(text)
    lines = text.split(b"\n")
    if text.startswith(b"["):
        return at, "array"
    if lines[0].strip() == b"{":
        return at, "values"
    if text.startswith(b"{") or any(_is_object(line) for line in lines[1:64]):
        return at, "lines"
    return f"the file is not JSON, it starts with {text[:24]!r}; check the catalogue's format and patterns"


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(parse(line)[0], dict)
    except BadJson:
        return False


def _hash(stream: BinaryIO, start: int, end: int, args: tuple[tuple[str, str], ...]) -> str:
    hasher = blake3.blake3()
    stream.seek(start)
    left = end - start
    while left > 0 and (block := stream.read(min(_BLOCK, left))):
        hasher.update(block)
        left -= len(block)
    if args:  # how the bytes are to be read is part of what the slice yields
        hasher.update(repr(args).encode())
    return hasher.hexdigest(length=16)


def failed(entry: FileEntry, start: int, row: int, why: str) -> Slice:
    """A slice whose only record says that the file cannot be read from here on."""
    args = (("failed", f"{entry.path}: row {row} at byte {start}: {why}"),)
    content = blake3.blake3(f"{entry.content_hash} {args}".encode()).hexdigest(length=16)
    return Slice(entry.path, content, start, entry.bytes, row, args)


def read_lines(
    stream: BinaryIO, start: int, end: int, blank_too: bool = False
) -> Iterator[tuple[int, int, bytes | None]]:
    """Offset, length, and bytes of each line with its end; None for one over the limit.

    Blank lines are no rows and are left out unless asked for. ``end`` is exclusive; -1 is the file's end.
    """
    stream.seek(start)
    at = start
    while end < 0 or at < end:
        line = stream.readline(RECORD_LIMIT + 1)
        if not line:
            return
        begin, blank = at, not line.strip()
        at += len(line)
        held = line.endswith(b"\n") or len(line) <= RECORD_LIMIT
        while not held and (rest := stream.readline(_BLOCK)):
            at += len(rest)
            blank = blank and not rest.strip()
            if rest.endswith(b"\n"):
                break
        if blank_too or not blank:
            yield begin, at - begin, line if held else None


def line_ends(stream: BinaryIO, start: int) -> Iterator[int]:
    """Where each line ends that :func:`read_lines` gives, in half its time: no line is made for it."""
    stream.seek(start)
    at, blank = start, True  # so far nothing but space in the line under way
    while block := stream.read(_BLOCK):
        values = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(values == _NEWLINE) + 1
        if len(ends):
            starts = np.concatenate(([0], ends[:-1]))
            held = ~_IS_SPACE[values[starts]]
            for row in np.flatnonzero(~held):
                held[row] = not block[starts[row] : ends[row]].isspace()
            held[0] |= not blank
            yield from (at + ends[held]).tolist()
            blank = True
        rest = block[ends[-1] :] if len(ends) else block
        blank = blank and not rest.strip()
        at += len(block)
    if not blank:
        yield at


def _elements(stream: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, bytes | None]]:
    return ((e.start, e.end - e.start, e.raw) for e in elements(stream, start, end, "slice"))
