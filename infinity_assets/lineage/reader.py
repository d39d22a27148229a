"""Single rows of published tables: each table is opened once, and read where the row is known to lie.

A sample's place in ``unified`` (or ``synthesized``) is found by index. Later stages keep the places of
shards and the order of what they keep, so they are asked for the few rows where it can stand. A table that
was made from another version of the samples is searched whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.errors import StoreError
from infinity_assets.store.reading import ReadingStore
from infinity_assets.store.shards import Shard, TableSpec
from infinity_assets.store.tables import Published, Store

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

#: Rows that are read at once where a row stands among them: still cheaper than a search of the shard.
WINDOW: Final = 2048


@dataclass(frozen=True, slots=True)
class Found:
    """A row, the table that has it, and the shard that it lies in."""

    row: Mapping[str, Any]
    table: Published
    place: int  #: of the shard
    offset: int | None = None  #: in the shard; null where that has several fragments

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

    def remembered(self, table: Published, what: str, make: Callable[[], Answer]) -> Answer:
        """What a version of a table says for ever, which a server remembers; ``what`` names it."""
        return self.store.remembered(table, what, make) if isinstance(self.store, ReadingStore) else make()

    def may_hold(self, table: Published, column: str, value: str) -> bool:
        """Whether a column of ids may have a value; False is certain."""
        return not isinstance(self.store, ReadingStore) or self.store.may_hold(table, column, value)

    def later(self, spec: TableSpec, first: Found, place: int, value: str) -> list[Found]:
        """The row of a sample in a table whose shards lie as those of the table where it was found.

        Args:
            spec: the later table.
            first: where the sample was found.
            place: of the shard in the later table.
            value: the sample's id.
        """
        opened = self._opened(spec, first.table.partition)
        if opened is None:
            return []
        table, dataset = opened
        shard = table.shards[place]
        lost = first.shard.rows - shard.rows
        if first.offset is not None and len(shard.fragments) == 1 and 0 <= lost < WINDOW:
            # Of the rows before it the stage has all but those that were lost, at most.
            rows = range(max(0, first.offset - lost), min(first.offset, shard.rows - 1) + 1)
            (fragment,) = _fragments_of(dataset, table, place)
            taken: pa.Table = fragment.take(list(rows), columns=_shown(spec))
            at = pc.index(taken.column(spec.key), value).as_py()
            if at >= 0:
                return [Found(taken.slice(at, 1).to_pylist()[0], table, place, rows[at])]
        return self.find(spec, table.partition, f"{spec.key} = '{value}'", place=place)

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
        found = []
        for fragment, rows in offsets.items():
            taken: pa.Table = dataset.get_fragment(fragment).take(rows, columns=_shown(spec))
            at = place if place is not None else _place_of(dataset, table, fragment)
            whole = len(table.shards[at].fragments) == 1
            found += [
                Found(row, table, at, offset if whole else None)
                for row, offset in zip(taken.to_pylist(), rows, strict=True)
            ]
        return found


def _shown(spec: TableSpec) -> list[str]:
    return [field.name for field in spec.schema if not _for_machines(field.type)]


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
