"""What every root of files can do: list and open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class Listed:
    """A file that a root has, or a name there that is no readable file."""

    path: str  #: POSIX, relative to the root
    bytes: int
    modified: int | None = None  #: nanoseconds; None where the root does not tell
    error: str | None = None


class Root(Protocol):
    """A tree of files."""

    def list(self) -> Iterator[Listed]:
        """Every file, in no particular order."""
        ...

    def stat(self, path: str) -> Listed:
        """One file as it is now; ``error`` says if it is gone."""
        ...

    def open(self, path: str) -> BinaryIO:
        """A seekable stream over one file."""
        ...
