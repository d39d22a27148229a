"""Forward reading of a plain or gzip stream: position, skipping, and a stop to gzip bombs."""

from __future__ import annotations

import gzip
import zlib
from typing import BinaryIO

# Our choice: photos give a ratio of 1, JSON about 10, zlib at most 1032.
GZIP_RATIO = 250  #: plain bytes for each compressed one
GZIP_GRACE = 64 << 20  #: plain bytes before the ratio counts

_CHUNK = 1 << 20


class CannotRead(Exception):
    """The stream cannot be read past this point."""

    def __init__(self, reason: str, detail: str, raw: bytes = b"") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.raw = raw


class PlainStream:
    """Forward reading of an uncompressed archive; skipping seeks."""

    def __init__(self, stream: BinaryIO, start: int) -> None:
        self._stream = stream
        self._size = stream.seek(0, 2)
        self.position = stream.seek(start)

    def read(self, n: int) -> bytes:
        """Up to ``n`` bytes; fewer only at the end."""
        data = bytearray()
        while len(data) < n and (piece := self._stream.read(min(n - len(data), _CHUNK))):
            data += piece
        self.position += len(data)
        return bytes(data)

    def skip(self, n: int) -> bool:
        """Move on by ``n`` bytes; False if the stream ends before."""
        target = self.position + n
        self.position = self._stream.seek(min(target, self._size))
        return target <= self._size


class GzipStream:
    """Forward reading of a gzip archive, stopped where it expands beyond reason."""

    def __init__(self, stream: BinaryIO) -> None:
        self._packed = stream
        self._plain = gzip.GzipFile(fileobj=stream)
        self.position = 0

    def read(self, n: int) -> bytes:
        """Up to ``n`` bytes; fewer only at the end."""
        data = bytearray()
        while len(data) < n and (piece := self._piece(n - len(data))):
            data += piece
        return bytes(data)

    def skip(self, n: int) -> bool:
        """Move on by ``n`` bytes; False if the stream ends before."""
        while n and (piece := self._piece(n)):
            n -= len(piece)
        return n == 0

    def _piece(self, n: int) -> bytes:
        try:
            piece = self._plain.read(min(n, _CHUNK))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise CannotRead("unreadable_file", f"gzip: {error}") from None
        self.position += len(piece)
        if self.position > max(GZIP_GRACE, GZIP_RATIO * self._packed.tell()):
            raise CannotRead("too_large", f"gzip expands more than {GZIP_RATIO} times")
        return piece


def is_gzip(stream: BinaryIO) -> bool:
    """Whether the stream starts with gzip's magic number, whatever its name; leaves it at its start."""
    stream.seek(0)
    magic = stream.read(2)
    stream.seek(0)
    return magic == b"\x1f\x8b"
