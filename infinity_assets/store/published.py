"""One committed version of a partition, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any

import pyarrow as pa

from infinity_assets.errors import StoreError
from infinity_assets.store.shards import Shard, TableSpec


@dataclass(frozen=True, slots=True)
class Published:
    """One committed version of a partition."""

    table: TableSpec
    partition: str
    uri: str
    version: int  #: Lance version
    data_version: str
    run_id: str
    shards: tuple[Shard, ...]
    inputs: Mapping[str, str]  #: input name -> data version it was made from
    notes: Mapping[str, Any]  #: whatever the stage wants to remember (policy hash, code version, counts)
    storage_options: Mapping[str, str] | None = None
    opened: Any = field(default=None, compare=False, repr=False)  #: the dataset, where a server keeps it open

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(s.rows for s in self.shards)

    def dataset(self) -> Any:
        """The Lance dataset at exactly this version."""
        import lance

        if self.opened is not None:
            return self.opened
        return lance.dataset(self.uri, version=self.version, storage_options=self.storage_options)

    def read(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """Rows as an Arrow table, in source order.

        Args:
            columns: names to read; all by default.
            where: a Lance filter expression.
        """
        table: pa.Table = self.dataset().to_table(columns=_names(columns), filter=where)
        return table

    def read_shard(self, shard: Shard, columns: Sequence[str] | Mapping[str, str] | None = None) -> pa.Table:
        """Rows of one shard, in source order.

        Args:
            columns: names to read, or Lance expressions by name; all by default.
        """
        import lance

        options = tuple(sorted((self.storage_options or {}).items()))
        made_of = tuple(s.fragments for s in self.shards)
        dataset, by_file = _opened(self.uri, self.version, options, made_of)
        wanted = [by_file.get(_first_file(text)) for text in shard.fragments]
        found = sorted((f for f in wanted if f is not None), key=itemgetter(0))
        if len(found) != len(wanted):
            raise StoreError(f"{self.uri} version {self.version}: a fragment of shard {shard.key} is missing")
        parts = [fragment for _, fragment in found]
        if not parts:
            return self.table.schema.empty_table().select(_names(columns) or self.table.schema.names)
        asked = dict(columns) if isinstance(columns, Mapping) else _names(columns)
        scanner = lance.LanceDataset.scanner(dataset, columns=asked, fragments=parts)
        table: pa.Table = scanner.to_table()
        return table


@lru_cache(maxsize=8)
def _opened(
    uri: str, version: int, options: tuple[tuple[str, str], ...], made_of: tuple[tuple[str, ...], ...]
) -> tuple[Any, Mapping[str, tuple[int, Any]]]:
    """A version's dataset and its fragments by first file, with their places: opened once for all its shards.

    Args:
        made_of: names the version's files, since a table that is made anew counts its versions anew.
    """
    import lance

    dataset = lance.dataset(uri, version=version, storage_options=dict(options) or None)
    return dataset, {f.data_files()[0].path: (i, f) for i, f in enumerate(dataset.get_fragments())}


def _first_file(fragment: str) -> str:
    return str(json.loads(fragment)["files"][0]["path"])


def _names(columns: Sequence[str] | Mapping[str, str] | None) -> list[str] | None:
    return list(columns) if columns is not None else None
