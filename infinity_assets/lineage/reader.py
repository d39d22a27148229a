"""Single rows of published tables: each table is opened once, and read where the row is known to lie.

A sample's place in ``unified`` (or ``synthesized``) is found by index. Later stages keep the places of
shards, so they are asked for one fragment each. A table that was made from another version of the samples is
searched whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from infinity_assets.errors import StoreError
from infinity_assets.store.shards import Shard, TableSpec
from infinity_assets.store.tables import Published, Store

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Found:
    """A row, the table that has it, and the shard that it lies in."""

    row: Mapping[str, Any]
    table: Published
    place: int  #: of the shard

    @property
    def shard(self) -> Shard:
        """The shard."""
        return self.table.shards[self.place]


class Reader:
    """One look at a store. What is published meanwhile is not seen."""

    def __init__(self, store: Store, pool: Executor) -> None:
        self.store = store
        self._pool = pool
        self._tables: dict[tuple[str, str], tuple[Published, Any] | None] = {}

    def together(self, ask: Callable[[Asked], Answer], questions: Iterable[Asked]) -> list[Answer]:
        """Answers in the order of the questions, which are asked at once: an object store takes its time."""
        return list(self._pool.map(ask, questions))

    def start(self, ask: Callable[..., Answer], *about: Any) -> Future[Answer]:
        """Ask while this thread goes on; what is asked must not wait for other questions of this reader."""
        return self._pool.submit(ask, *about)

    def published(self, spec: TableSpec, partition: str) -> Published | None:
        """A partition's published version; None where there is none."""
        opened = self._opened(spec, partition)
        return opened[0] if opened else None

    def _opened(self, spec: TableSpec, partition: str) -> tuple[Published, Any] | None:
        key = (spec.name, partition)
        if key not in self._tables:
            found = self.store.published(spec, partition)
            self._tables[key] = (found, found.dataset()) if found is not None else None
        return self._tables[key]

    def find(
        self, spec: TableSpec, partition: str, where: str, limit: int = 1, place: int | None = None
    ) -> list[Found]:
        """Rows that match, in the order of the table.

        Args:
            spec: the table.
            partition: of it.
            where: a Lance filter; whoever makes it has checked or quoted every value in it.
            limit: at most so many rows.
            place: the shard to look into; all of them if None.
        """
        opened = self._opened(spec, partition)
        if opened is None:
            return []
        table, dataset = opened
        fragments = None
        if place is not None:
            fragments = _fragments_of(dataset, table, place)
            if not fragments:
                return []
        # Places first, then rows: a scan of wide, nested columns costs thrice as much even for one row.
        scanner = dataset.scanner(
            columns=[], filter=where, limit=limit, fragments=fragments, with_row_address=True
        )
        offsets: dict[int, list[int]] = {}
        for address in sorted(scanner.to_table().column("_rowaddr").to_pylist()):
            offsets.setdefault(address >> 32, []).append(address & 0xFFFFFFFF)
        columns = [field.name for field in spec.schema if not _for_machines(field.type)]
        found = []
        for fragment, rows in offsets.items():
            taken: pa.Table = dataset.get_fragment(fragment).take(rows, columns=columns)
            at = place if place is not None else _place_of(dataset, table, fragment)
            found += [Found(row, table, at) for row in taken.to_pylist()]
        return found


def _for_machines(kind: pa.DataType) -> bool:
    """Pictures, signatures, lists of hashes: nobody reads them, and they cost more than all other columns."""
    if pa.types.is_list(kind):
        kind = kind.value_type
        return bool(pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def parallel(table: Published, origins: Sequence[Published]) -> bool:
    """Whether a table was made from exactly these tables and keeps their shards, one after the other."""
    made = all(table.inputs.get(origin.table.name) == origin.data_version for origin in origins)
    return made and len(table.shards) == sum(len(origin.shards) for origin in origins)


def _fragments_of(dataset: Any, table: Published, place: int) -> list[Any]:
    first = sum(len(shard.fragments) for shard in table.shards[:place])
    wanted = list(dataset.fragment_ids())[first : first + len(table.shards[place].fragments)]
    return [fragment for i in wanted if (fragment := dataset.get_fragment(i)) is not None]


def _place_of(dataset: Any, table: Published, fragment: int) -> int:
    """Which shard a fragment belongs to: a publication numbers fragments in the order of its shards."""
    before = list(dataset.fragment_ids()).index(fragment)
    for place, shard in enumerate(table.shards):
        before -= len(shard.fragments)
        if before < 0:
            return place
    raise StoreError(f"{table.uri} version {table.version}: a fragment lies beyond the last shard")
