"""One committed version of a partition, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(s.rows for s in self.shards)

    def dataset(self) -> Any:
        """The Lance dataset at exactly this version."""
        import lance

        return lance.dataset(self.uri, version=self.version, storage_options=self.storage_options)

    def read(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """Rows as an Arrow table, in source order.

        Args:
            columns: names to read; all by default.
            where: a Lance filter expression.
        """
        table: pa.Table = self.dataset().to_table(columns=_names(columns), filter=where)
        return table

    def read_shard(self, shard: Shard, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of one shard, in source order."""
        import lance

        dataset = self.dataset()
        wanted = {_first_file(text) for text in shard.fragments}
        parts = [f for f in dataset.get_fragments() if f.data_files()[0].path in wanted]
        if len(parts) != len(shard.fragments):
            raise StoreError(f"{self.uri} version {self.version}: a fragment of shard {shard.key} is missing")
        if not parts:
            return self.table.schema.empty_table().select(_names(columns) or self.table.schema.names)
        scanner = lance.LanceDataset.scanner(dataset, columns=_names(columns), fragments=parts)
        table: pa.Table = scanner.to_table()
        return table


def _first_file(fragment: str) -> str:
    return str(json.loads(fragment)["files"][0]["path"])


def _names(columns: Sequence[str] | None) -> list[str] | None:
    return list(columns) if columns is not None else None
