"""The files of one source, as a reader sees them: listed once by ``raw``, opened by relative path."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from infinity_assets.errors import SourceError


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One upstream file, as the ``raw`` manifest records it."""

    path: str  #: POSIX path relative to the source's root
    bytes: int
    content_hash: str  #: BLAKE3-128 hex of the bytes


class SourceFiles:
    """Record files in source order, and every file by path. Opening anything else is refused."""

    def __init__(
        self,
        entries: Sequence[FileEntry],
        record_patterns: Sequence[str],
        opener: Callable[[str], BinaryIO],
    ) -> None:
        self._entries: Mapping[str, FileEntry] = {e.path: e for e in entries}
        self._patterns = tuple(record_patterns)
        self._opener = opener

    def __iter__(self) -> Iterator[FileEntry]:
        return iter(sorted(self._entries.values(), key=lambda e: e.path))

    def __contains__(self, path: object) -> bool:
        return path in self._entries

    @property
    def records(self) -> list[FileEntry]:
        """Files that match the record patterns, by path."""
        return [e for e in self if any(matches(e.path, p) for p in self._patterns)]

    def entry(self, path: str) -> FileEntry:
        """The file's entry.

        Raises:
            SourceError: if the source has no such file.
        """
        try:
            return self._entries[path]
        except KeyError:
            raise SourceError(f"{path}: no such file in the source; check the reader's options") from None

    def open(self, path: str) -> BinaryIO:
        """A seekable binary stream over a file of the source."""
        self.entry(path)
        return self._opener(path)


def matches(path: str, pattern: str) -> bool:
    """Glob match of a POSIX path; ``**/`` stands for any number of folders, none included."""
    if pattern.startswith("**/"):
        tail = pattern[3:]
        parts = PurePosixPath(path).parts
        return any(matches("/".join(parts[i:]), tail) for i in range(len(parts)))
    if "/" not in pattern:
        return "/" not in path and fnmatch.fnmatchcase(path, pattern)
    if "/" not in path:
        return False
    head, rest = pattern.split("/", 1)
    first, others = path.split("/", 1)
    return fnmatch.fnmatchcase(first, head) and matches(others, rest)
