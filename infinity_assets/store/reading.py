"""The tables as a server reads them: kept open, and looked at again only where something was committed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.store.published import Published
from infinity_assets.store.shards import TableSpec
from infinity_assets.store.tables import Store

#: Of indexes, and as much again of what describes the tables.
CACHE_BYTES: Final = 128 << 20
KEPT: Final = 1024  #: tables that are kept open
TAILS: Final = 16_000_000  #: values of id columns that are remembered, 4 bytes each; others are looked up
DIGITS: Final = 8  #: of hex, which 4 bytes hold: one id in thousands is looked up for nothing
LARGE: Final = 1_000_000  #: rows from which on a column is asked through its index instead
REMEMBERED: Final = 4096  #: things that were found out about tables

Made = TypeVar("Made")


_Version = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class _Known:
    """A table as it was last looked at."""

    newest: str  #: of its versions
    folder: str  #: of its versions
    stamp: tuple[int, int] | None  #: of that folder, taken before
    table: Published | None


class ReadingStore(Store):
    """A store that remembers what it opened.

    A table is known again by the newest file that lists a version: its name, size and tag; on a local disk no
    file is looked for as long as their folder is the same and has the same time. A table that was
    deleted and made anew has another one, even where the number of the version is the same.
    """

    def __init__(self, root: str | Path, storage_options: Mapping[str, str] | None = None) -> None:
        import lance

        super().__init__(root, storage_options)
        self._session: Any = lance.Session(
            index_cache_size_bytes=CACHE_BYTES, metadata_cache_size_bytes=CACHE_BYTES
        )
        self._kept: OrderedDict[tuple[str, int, str], _Known] = OrderedDict()
        self._names: dict[str, tuple[tuple[int, int] | None, list[str]]] = {}
        self._lock = Lock()
        self._tails: dict[tuple[str, str], tuple[_Version, npt.NDArray[np.uint32]]] = {}
        self._remembered: OrderedDict[tuple[str, str], tuple[_Version, Any]] = OrderedDict()

    def published(self, spec: TableSpec, partition: str) -> Published | None:
        """See :meth:`Store.published`."""
        key = (spec.name, spec.version, partition)
        with self._lock:
            known = self._kept.get(key)
        folder = known.folder if known is not None else self._versions_of(spec, partition)
        stamp = self.objects.stamp(folder)
        if known is not None and stamp is not None and known.stamp == stamp:
            return known.table
        newest = self.objects.newest(folder)
        if newest is None:
            return None
        seen = known if known is not None and known.newest == newest else None
        found = seen.table if seen else self._open(spec, partition)
        with self._lock:
            self._kept[key] = _Known(newest, folder, stamp, found)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

    def _versions_of(self, spec: TableSpec, partition: str) -> str:
        return self.uri(spec.name, partition).removeprefix(f"{self.root}/") + "/_versions"

    def _open(self, spec: TableSpec, partition: str) -> Published | None:
        import lance

        dataset = lance.dataset(
            self.uri(spec.name, partition), storage_options=self.storage_options, session=self._session
        )
        described = self._described(spec, partition, dataset)
        return replace(described, opened=dataset) if described is not None else None

    def names(self, spec: TableSpec) -> list[str]:
        """See :meth:`Store.names`."""
        stamp = self.objects.stamp(spec.name)
        known = self._names.get(spec.name)
        if known is None or stamp is None or known[0] != stamp:
            known = self._names[spec.name] = (stamp, super().names(spec))
        return known[1]

    def may_hold(self, table: Published, column: str, value: str) -> bool:
        """Whether a column of ids that end in hex digits may have a value; False is certain.

        A page asks every ledger of the store for one sample, and nearly none has it.
        """
        key, version = (table.uri, column), _version_of(table)
        known = self._tails.get(key)
        if known is None or known[0] != version:
            rows = table.rows
            with self._lock:
                others = sum(len(tails) for k, (_, tails) in self._tails.items() if k != key)
            if rows > LARGE or others + rows > TAILS:
                return True
            tails = _tails(pl.Series(pl.from_arrow(table.read([column]).column(column))))
            with self._lock:
                known = self._tails[key] = (version, tails)
        wanted = np.uint32(int(value[-DIGITS:], 16))
        at = int(np.searchsorted(known[1], wanted))
        return at < len(known[1]) and known[1][at] == wanted

    def remembered(self, table: Published, what: str, make: Callable[[], Made]) -> Made:
        """What follows from a table's rows and manifest alone: made once for each of its versions.

        Args:
            table: the published version.
            what: a name of it; the same one for every version.
            make: finds it out. What it returns is shared: nobody may change it.
        """
        key, version = (table.uri, what), _version_of(table)
        with self._lock:
            known = self._remembered.get(key)
            if known is not None and known[0] == version:
                self._remembered.move_to_end(key)
                made: Made = known[1]
                return made
        made = make()
        with self._lock:
            self._remembered[key] = (version, made)
            self._remembered.move_to_end(key)
            while len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return made


def _version_of(table: Published) -> _Version:
    """A table that was deleted and made anew counts its versions anew."""
    return table.version, table.data_version, table.run_id


def _tails(ids: pl.Series) -> npt.NDArray[np.uint32]:
    """The last digits of ids as sorted numbers."""
    return np.sort(ids.str.tail(DIGITS).str.to_integer(base=16).cast(pl.UInt32).to_numpy())
