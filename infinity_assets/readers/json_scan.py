"""Where the elements of a JSON array lie in a file, found in constant memory, broken elements included.

The scan knows strings and brackets only. An element ends where its own bracket closes, so an element that is
broken inside does not disturb its neighbours. Where a bracket or quote is missing and an element swallows
those after it, the scan goes back and cuts at the first line that starts as the element's own line did
(same indentation, then ``{``), which is how every pretty printer and every row-per-line writer starts rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

import orjson

from infinity_assets.readers.json_values import RECORD_LIMIT, BadJson, parse

CHUNK = 1 << 20
#: How far the next row is looked for before the row is scanned byte by byte.
GUESS_BYTES = 1 << 18
#: Bytes that may be scanned again to recover from broken elements before the file is given up.
RESCAN_LIMIT = 1 << 30

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\],]', re.DOTALL)
_PATH_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]:]', re.DOTALL)
_STRING_REST = re.compile(rb"(?:[^\"\\]++|\\.)*+", re.DOTALL)
_FILLER = re.compile(rb"[\s,]*+")
_BETWEEN = b"\t\r\n ,"
QUOTE, COMMA, COLON, OPEN_BRACE = b'",:{'
_OPENERS = {ord("}"): ord("{"), ord("]"): ord("[")}

#: What lies around the elements; see :func:`elements`.
Inside = Literal["array", "nested", "values", "slice"]


class Unclosed(Exception):
    """The data ends, or the array does, inside an element; ``offset`` is where that element starts."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(why)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the array: its bytes without the comma; None where it exceeds the limit."""

    start: int
    end: int
    raw: bytes | None


class _Window:
    """A growing piece of a stream between two offsets; what lies before ``at`` is done with."""

    def __init__(self, stream: BinaryIO, start: int, stop: int) -> None:
        self.stream, self.stop = stream, stop
        self.base, self.data, self.at, self.final = start, b"", 0, False
        stream.seek(start)

    @property
    def offset(self) -> int:
        """Where ``at`` lies in the stream."""
        return self.base + self.at

    def more(self) -> bool:
        """Read on, behind what is held; each read doubles it, so that a long element costs linear time."""
        have = self.base + len(self.data)
        got = self.stream.read(max(0, min(max(CHUNK, len(self.data)), self.stop - have)))
        self.data += got
        self.final = have + len(got) >= self.stop or not got
        return bool(got)

    def forget(self) -> None:
        """Drop what lies before ``at``; positions in the data change."""
        self.data, self.base, self.at = self.data[self.at :], self.offset, 0


class _Scan:
    """The state inside one element: its open brackets, whether a string is open, the last comma."""

    def __init__(self) -> None:
        self.stack = bytearray()
        self.in_string = False
        self.comma = -1

    def run(self, data: bytes, at: int) -> tuple[int, bool]:
        """Scan on from ``at``; give where the element ends and True, or where to go on and False."""
        while True:
            if self.in_string:
                rest = _STRING_REST.match(data, at)
                at = rest.end() if rest else at
                if at >= len(data) or data[at] != QUOTE:
                    return at, False
                self.in_string = False
                at += 1
            for token in _TOKEN.finditer(data, at):
                begin, end = token.span()
                first = data[begin]
                if first == QUOTE:
                    if end - begin == 1:
                        self.in_string = True
                        at = end
                        break
                elif first == COMMA:
                    if not self.stack:
                        return begin, True
                    self.comma = begin
                elif first in _OPENERS.values():
                    # "{" where a key should be: the element's own brace was never closed.
                    if self.stack == b"{" and self.comma >= 0 and not data[self.comma + 1 : begin].strip():
                        return self.comma, True
                    self.stack.append(first)
                elif not self.stack:
                    return begin, True
                elif (opener := self.stack.rfind(_OPENERS[first])) >= 0:
                    del self.stack[opener:]
                    if not self.stack:
                        return end, True
            else:
                return len(data), False


def elements(stream: BinaryIO, start: int, stop: int, inside: Inside) -> Iterator[Element]:
    """The elements between two offsets, in order.

    Args:
        stream: seekable.
        start: offset before an element, or before the filler in front of it.
        stop: offset where to stop reading.
        inside: ``array`` is the file's only value, ``nested`` one that other values may follow, ``values``
            no array at all but values one after another. ``slice`` is a piece that a scan of one of
            these has cut: what is open at its end is a broken element and nothing more.

    Raises:
        Unclosed: if the data end inside an element and no line tells where the next one starts, if the
            array never ends, or if something follows it.
    """
    window = _Window(stream, start, stop)
    rescanned = 0
    while (before := _next_start(window)) is not None:
        offset = window.offset
        if window.data.startswith(b"]", window.at) and inside in ("array", "nested"):
            if inside == "array" and _something_follows(window):
                raise Unclosed(offset + 1, "something follows the end of the list of rows")
            return
        element = _guess(window, before)
        if element is None:
            element, again = _one(window, inside == "slice", before)
            rescanned += again
            if rescanned > RESCAN_LIMIT:
                raise Unclosed(offset, f"rows do not close; gave up after {RESCAN_LIMIT} bytes of recovery")
        window.at = element.end - window.base
        yield element
    if inside in ("array", "nested"):
        raise Unclosed(stop, "the list of rows is never closed; the file is cut short")


def _next_start(window: _Window) -> bytes | None:
    """Move the window to the next element; give the filler before it (at most 256 bytes), or None."""
    before = b""
    while True:
        filler = _FILLER.match(window.data, window.at)
        end = filler.end() if filler else window.at
        before = (before + window.data[window.at : end])[-256:]
        window.at = end
        if end < len(window.data):
            if end >= CHUNK // 2:  # not at every element: forgetting copies what is left
                window.forget()
            return before
        window.forget()
        if not window.more():
            return None


def _something_follows(window: _Window) -> bool:
    window.at += 1
    while not window.data[window.at :].strip():
        window.at = len(window.data)
        window.forget()
        if not window.more():
            return False
    return True


def _guess(window: _Window, before: bytes) -> Element | None:
    """The element, if what lies up to the next likely start of a row is valid JSON; a fast way only.

    Rows mostly start alike (the same filler and first key), and no part of an object is itself an object, so
    a piece that parses is exactly what scanning would find, at ten times the speed.
    """
    data, at = window.data, window.at
    key = data.find(b'":', at, at + 64)
    if data[at] != OPEN_BRACE or key < 0:
        return None
    cut = data.find(before + data[at : key + 2], at + 1, at + GUESS_BYTES)
    if cut < 0:
        return None
    raw = data[at:cut].rstrip(_BETWEEN)
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return Element(window.offset, window.offset + len(raw), raw)


def _one(window: _Window, closed: bool, before: bytes) -> tuple[Element, int]:
    """The element at the window's start, and how many bytes will have to be scanned again."""
    start, scan, held = window.offset, _Scan(), True
    first = window.data[window.at : window.at + 1]
    if first in b"}]":  # a stray closer is a broken element of its own
        return Element(start, start + 1, first), 0
    line = before[before.rfind(b"\n") :] if b"\n" in before else b","
    mark = line + b"{" if not line.strip() and first == b"{" else None
    at = begin = window.at
    while True:
        at, done = scan.run(window.data, at)
        if done:
            break
        if held and (window.final or len(window.data) - begin > RECORD_LIMIT):
            if mark is not None and (cut := window.data.find(mark, begin + 1)) >= 0:
                return _cut(window, cut), len(window.data) - begin
            held = window.final
        if window.final:
            if not scan.stack and not scan.in_string:  # a bare value at the end of the data
                at = len(window.data)
                break
            if not closed:
                raise Unclosed(start, "the row is never closed, and no line tells where the next one starts")
            raw = window.data[begin:].rstrip(_BETWEEN) if held else None
            return Element(start, window.base + len(window.data), raw), 0
        if not held:
            window.at = at
            window.forget()
            at, scan.comma = 0, -1
        window.more()
    if not held or at - begin > RECORD_LIMIT:
        return Element(start, window.base + at, None), 0
    raw = window.data[begin:at]
    if mark is not None and mark in raw and not _has_shape(raw):
        return _cut(window, window.data.find(mark, begin + 1)), at - begin
    return Element(start, window.base + at, raw.rstrip(_BETWEEN)), 0


def _cut(window: _Window, cut: int) -> Element:
    return Element(window.offset, window.base + cut, window.data[window.at : cut].rstrip(_BETWEEN))


def _has_shape(raw: bytes) -> bool:
    """Whether quotes and brackets are in order, whatever else may be wrong (NaN, encoding, control codes)."""
    try:
        json.loads(raw.decode(errors="replace"), strict=False)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def find_array(stream: BinaryIO, start: int, path: tuple[str, ...]) -> int | None:
    """The offset just inside the array that ``path`` names by keys from the root; None if there is none."""
    window = _Window(stream, start, 1 << 62)
    keys: list[str | None] = []  # the current key of each open bracket; None in an array
    text, at = b"", 0
    while len(window.data) <= RECORD_LIMIT and window.more():
        for token in _PATH_TOKEN.finditer(window.data, at):
            first = window.data[token.start()]
            at = token.end()
            if first == QUOTE:
                if at - token.start() == 1:
                    at = token.start()  # the string goes on in the next chunk
                    break
                text = token.group()
            elif first == COLON and 0 < len(keys) <= len(path):
                keys[-1] = _key(text)
            elif first in _OPENERS.values():
                if first == ord("[") and len(keys) == len(path) and tuple(keys) == path:
                    return window.base + at
                keys.append(None)
            elif first in _OPENERS and keys:
                keys.pop()
        else:
            at = len(window.data)
        window.at = at
        window.forget()
        at = 0
    return None


def _key(text: bytes) -> str | None:
    try:
        return str(parse(text)[0])
    except BadJson:
        return None
