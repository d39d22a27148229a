"""Small objects beside the tables (plans, drafts, staging records), in a folder or an object store alike."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore, from_url

#: After which a folder that changes again gets another time: ten ticks of Linux's coarsest clock.
SETTLED_NS: Final = 100_000_000


class Objects:
    """Atomic puts and gets by path under one root. Paths are POSIX, relative, and cannot leave the root."""

    def __init__(self, root: str, storage_options: Mapping[str, str] | None = None) -> None:
        self._store: Any
        self._root: str | None = None  #: of a local folder
        if "://" in root:
            self._store = from_url(root, config=dict(storage_options or {}))  # type: ignore[call-overload]
        else:
            self._root = str(Path(root).absolute())
            self._store = LocalStore(prefix=self._root, mkdir=True)

    def put(self, path: str, data: bytes) -> None:
        """Write the whole object or nothing."""
        obstore.put(self._store, path, data)

    def create(self, path: str, data: bytes) -> bool:
        """Write the object if it is absent; False if it was there."""
        try:
            obstore.put(self._store, path, data, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def get(self, path: str) -> bytes | None:
        """The object's bytes, or None if there is none."""
        try:
            return bytes(obstore.get(self._store, path).bytes())
        except FileNotFoundError:
            return None

    def get_range(self, path: str, start: int, length: int) -> bytes | None:
        """Some of the object's bytes, or None if there is no such object."""
        try:
            return bytes(obstore.get_range(self._store, path, start=start, length=length))
        except FileNotFoundError:
            return None

    def get_tail(self, path: str, length: int) -> bytes | None:
        """The object's last bytes, all of them if it is shorter; None if there is no such object."""
        try:
            return bytes(obstore.get(self._store, path, options={"range": {"suffix": length}}).bytes())
        except FileNotFoundError:
            return None

    def children(self, folder: str) -> list[str]:
        """Names right under a folder, sorted; empty if there is no such folder."""
        listing = obstore.list_with_delimiter(self._store, f"{folder.rstrip('/')}/")
        names = [p.rstrip("/").rsplit("/", 1)[-1] for p in listing["common_prefixes"]]
        names += [o["path"].rsplit("/", 1)[-1] for o in listing["objects"]]
        return sorted(names)

    def stamp(self, folder: str) -> tuple[int, int] | None:
        """What tells that nothing was added right under a folder nor taken away, where that is cheap to know.

        None in an object store, where there is no such folder, and while its clock may not have moved on yet.
        """
        if self._root is None:
            return None
        try:
            found = os.stat(f"{self._root}/{folder}")  # noqa: PTH116 - a Path costs more, and pages ask hundreds
        except FileNotFoundError:
            return None
        settled = time.time_ns() - found.st_mtime_ns > SETTLED_NS
        return (found.st_ino, found.st_mtime_ns) if settled else None

    def newest(self, folder: str) -> str | None:
        """The first object under a folder by name, with its tag and size; None if there is none.

        Lance names versions so that the newest comes first, and versions on trial (``d...``) last.
        """
        found = [o for batch in obstore.list(self._store, f"{folder.rstrip('/')}/") for o in batch]
        if not found:
            return None
        first = min(found, key=lambda o: str(o["path"]))
        return f"{first['path']} {first['e_tag']} {first['size']}"

    def exists_prefix(self, folder: str) -> bool:
        """Whether anything lies under a folder."""
        for batch in obstore.list(self._store, f"{folder.rstrip('/')}/", chunk_size=1):
            return bool(batch)
        return False

    def delete_prefix(self, folder: str) -> None:
        """Delete everything under a folder."""
        paths = [o["path"] for batch in obstore.list(self._store, f"{folder.rstrip('/')}/") for o in batch]
        self._delete(paths)

    def delete(self, path: str) -> None:
        """Delete one object; it need not be there."""
        self._delete([path])

    def _delete(self, paths: list[str]) -> None:
        """Another run may delete the same at once, and a local folder objects to what is gone already."""
        try:
            obstore.delete(self._store, paths)
        except FileNotFoundError:
            for path in paths:
                with suppress(FileNotFoundError):
                    obstore.delete(self._store, path)
