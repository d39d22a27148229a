"""Where a source's bytes lie: a local folder, an object store, or one file on the web. Read only."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from infinity_assets.errors import SourceError
from infinity_assets.readers.files import matches
from infinity_assets.sources.listing import Listed, Root
from infinity_assets.sources.model import SourceSpec
from infinity_assets.sources.web import WebRoot

GLOB = frozenset("*?[")

#: Bytes asked of an object store at once: below it latency rules, above it memory. Our choice.
REQUEST_BYTES = 4 << 20

#: What counts as a medium beside a record file. In a folder source every file is listed.
MEDIA_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"]  # photos, drawings
    + [".pbm", ".pgm", ".ppm", ".pnm", ".ico", ".svg", ".avif", ".heic", ".jp2"]
    + [".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".wav", ".mp3", ".flac", ".ogg", ".m4a"]
)


class LocalRoot:
    """A local folder. Links that lead out of it are listed with an error and never followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def list(self) -> Iterator[Listed]:
        """Every regular file below the folder; linked and unreadable folders with an error."""
        unread: list[OSError] = []
        for base, folders, names in os.walk(self.folder, onerror=unread.append, followlinks=False):
            folders.sort()
            links = [name for name in folders if _is_link(f"{base}/{name}")]
            above = base[len(str(self.folder)) :].removeprefix("/")
            for name in sorted([*names, *links]):
                yield self._listed(f"{above}/{name}" if above else name)
        for error in unread:
            path = Path(os.fsdecode(error.filename)).relative_to(self.folder)
            yield Listed(_shown(path.as_posix()), 0, None, f"the folder cannot be read: {error.strerror}")

    def stat(self, path: str) -> Listed:
        """The file's size and time now."""
        return self._listed(path)

    def _listed(self, path: str) -> Listed:
        shown = _shown(path)
        if shown != path:
            return Listed(shown, 0, None, "the file's name is not UTF-8; rename it")
        full = f"{self.folder}/{path}"
        try:
            found = os.lstat(full)
            if linked := stat.S_ISLNK(found.st_mode):
                if not Path(full).resolve().is_relative_to(self.folder):
                    return Listed(path, 0, None, "a link that leads out of the source; copy the file in")
                found = Path(full).stat()
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
            return Listed(path, 0, None, f"cannot be read: {getattr(error, 'strerror', None) or error}")
        if linked and stat.S_ISDIR(found.st_mode):
            return Listed(path, 0, None, "a link to a folder, which is not followed")
        if not stat.S_ISREG(found.st_mode):
            return Listed(path, 0, None, "not a regular file")
        return Listed(path, found.st_size, found.st_mtime_ns)

    def open(self, path: str) -> BinaryIO:
        """Open a file below the folder.

        Raises:
            SourceError: if the path leads out of the folder or cannot be opened.
        """
        full = self.folder / path
        if not self._holds(path) and not full.resolve().is_relative_to(self.folder):
            raise SourceError(f"{path}: leads out of the source")
        try:
            return full.open("rb")
        except OSError as error:
            raise SourceError(f"{full}: {error.strerror}") from error

    def _holds(self, path: str) -> bool:
        """Whether nothing on the way can lead out: the folder itself is resolved already."""
        at = str(self.folder)
        for name in path.split("/"):
            at = f"{at}/{name}"
            if name == ".." or _is_link(at):
                return False
        return not path.startswith("/")


def _is_link(path: str) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        return False  # opening it tells why


def _shown(path: str) -> str:
    r"""A relative path in valid UTF-8; bytes that are not become ``\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class ObjectRoot:
    """A prefix of an object store (``s3://bucket/prefix``). Credentials come from the environment."""

    def __init__(self, url: str) -> None:
        from obstore.store import from_url

        self._url = url
        self._store: Any = from_url(url)

    def list(self) -> Iterator[Listed]:
        """Every object under the prefix, without the empty ones that consoles put where a folder is made.

        Raises:
            SourceError: if the store does not answer, or has a key that is no path.
        """
        import obstore
        from obstore.exceptions import BaseError

        try:
            items = [item for batch in obstore.list(self._store) for item in batch]
        except (OSError, ValueError, BaseError) as error:
            raise SourceError(f"{self._url}: cannot be listed: {error}") from error
        folders = {str(parent) for item in items for parent in PurePosixPath(item["path"]).parents} | {""}
        for item in items:
            if item["size"] or item["path"] not in folders:
                yield self._listed(item)

    def stat(self, path: str) -> Listed:
        """The object's size and time now."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            return self._listed(obstore.head(self._store, path))
        except (OSError, BaseError) as error:
            return Listed(path, 0, None, f"cannot be read: {error}")

    @staticmethod
    def _listed(item: Any) -> Listed:
        return Listed(item["path"], item["size"], int(item["last_modified"].timestamp() * 1e9))

    def open(self, path: str) -> BinaryIO:
        """A buffered, seekable reader of one object.

        Raises:
            SourceError: if there is no such object.
        """
        import obstore
        from obstore.exceptions import BaseError

        try:
            size = int(obstore.head(self._store, path)["size"])
        except (OSError, BaseError) as error:
            raise SourceError(f"{path}: {error}") from error
        return io.BufferedReader(_ObjectStream(self._store, path, size), min(max(size, 1), REQUEST_BYTES))


class _ObjectStream(io.RawIOBase):
    """One object, read by ranges."""

    def __init__(self, store: Any, path: str, size: int) -> None:
        self._store, self._path, self._size, self._at = store, path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        import obstore

        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        data = obstore.get_range(self._store, self._path, start=self._at, end=end)
        count = len(data)
        buffer[:count] = memoryview(data)
        self._at += count
        return count


@dataclass(frozen=True, slots=True)
class Roots:
    """The record root and the media root of a source, and which files of the first are records."""

    records: Root
    media: Root | None  #: None: media lie in the record root
    patterns: tuple[str, ...]

    def list(self) -> Iterator[tuple[str, Listed]]:
        """(root name, file) of everything the source has."""
        whole = self.media is None
        for file in self.records.list():
            if whole or any(matches(file.path, p) for p in self.patterns):
                yield "records", file
        if self.media is not None:
            for file in self.media.list():
                if Path(file.path).suffix.lower() in MEDIA_SUFFIXES or "." not in file.path:
                    yield "media", file

    def open(self, root: str, path: str) -> BinaryIO:
        """Open a file of one of the two roots."""
        if root == "media" and self.media is not None:
            return self.media.open(path)
        return self.records.open(path)


def open_roots(spec: SourceSpec, base: Path, default_patterns: tuple[str, ...]) -> Roots:
    """The roots of a source.

    Args:
        spec: the source.
        base: folder of its YAML file; relative locations start there.
        default_patterns: the reader's globs, for a folder location.

    Raises:
        SourceError: if the location does not exist or is of no known kind.
    """
    records, patterns, whole = _open(spec.location, base)
    patterns = patterns or default_patterns
    if spec.media is not None:
        return Roots(records, _open(spec.media, base)[0], patterns)
    return Roots(records, None if whole else records, patterns)


def _open(location: str, base: Path) -> tuple[Root, tuple[str, ...], bool]:
    """Root, patterns (empty for a folder), and whether the location is a whole folder."""
    if location.startswith(("https://", "http://")):
        root = WebRoot(location)
        return root, (root.name,), True
    if "://" in location:
        if not location.startswith(("s3://", "gs://", "az://")):
            raise SourceError(
                f"{location}: unknown kind of location; use a path, s3://, gs://, az:// or https://"
            )
        head, pattern = _split_glob(location)
        if not pattern and "." in head.rsplit("/", 1)[-1]:
            head, pattern = head.rsplit("/", 1)
        return ObjectRoot(head), (pattern,) if pattern else (), not pattern
    head, pattern = _split_glob(location)
    path = (base / head).resolve()
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder; check `location` and `media` in the source file")
    if path.is_file():
        path, pattern = path.parent, path.name
    elif not path.is_dir():
        raise SourceError(f"{path}: not a regular file or folder; check `location` and `media`")
    return LocalRoot(path), (pattern,) if pattern else (), not pattern


def _split_glob(location: str) -> tuple[str, str]:
    """Fixed head and glob tail of a location."""
    parts = location.split("/")
    for i, part in enumerate(parts):
        if GLOB & set(part):
            return "/".join(parts[:i]) or ".", "/".join(parts[i:])
    return location, ""
