"""The tables as a server reads them: kept open, and looked at again only where something was committed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.store.published import Published
from infinity_assets.store.shards import TableSpec
from infinity_assets.store.tables import Store

#: Of indexes, and as much again of what describes the tables.
CACHE_BYTES: Final = 64 << 20
KEPT: Final = 1024  #: tables that are kept open
TAILS: Final = 8_000_000  #: values of id columns that are remembered, 8 bytes each
DIGITS: Final = 15  #: of hex, which a 64-bit integer holds
LARGE: Final = 1_000_000  #: rows from which on a column is asked through its index instead


@dataclass(frozen=True, slots=True)
class _Known:
    """A table as it was last looked at."""

    newest: str  #: of its versions
    stamp: tuple[int, int] | None  #: of their folder, taken before
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
        self._tails: OrderedDict[tuple[str, int, str, str, str], npt.NDArray[np.int64]] = OrderedDict()

    def published(self, spec: TableSpec, partition: str) -> Published | None:
        """See :meth:`Store.published`."""
        folder = self.uri(spec.name, partition).removeprefix(f"{self.root}/")
        key = (spec.name, spec.version, partition)
        with self._lock:
            known = self._kept.get(key)
        stamp = self.objects.stamp(f"{folder}/_versions")
        if known is not None and stamp is not None and known.stamp == stamp:
            return known.table
        newest = self.objects.newest(f"{folder}/_versions")
        if newest is None:
            return None
        seen = known if known is not None and known.newest == newest else None
        found = seen.table if seen else self._open(spec, partition)
        with self._lock:
            self._kept[key] = _Known(newest, stamp, found)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

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
        if table.rows > LARGE:
            return True
        key = (table.uri, table.version, table.data_version, table.run_id, column)
        with self._lock:
            tails = self._tails.get(key)
        if tails is None:
            tails = _tails(pl.Series(pl.from_arrow(table.read([column]).column(column))))
            with self._lock:
                self._tails[key] = tails
                while sum(map(len, self._tails.values())) > TAILS:
                    self._tails.popitem(last=False)
        wanted = int(value[-DIGITS:], 16)
        at = int(np.searchsorted(tails, wanted))
        return at < len(tails) and int(tails[at]) == wanted


def _tails(ids: pl.Series) -> npt.NDArray[np.int64]:
    """The last digits of ids as sorted numbers."""
    return np.sort(ids.str.tail(DIGITS).str.to_integer(base=16).to_numpy())
