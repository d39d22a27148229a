"""Dagster's SQLite storage with its connections kept, for runs in this process.

Dagster makes an engine and opens a connection for each of the hundreds of statements of a run, so that each
compiles its SQL anew, and closing the last connection to a file forces a checkpoint. Here each file has one
engine with a pool, a run's new file is a copy of an empty one instead of being migrated from nothing, a
table or column that was seen is not looked for again, and the materialization to which a step's checks belong
is looked up once, not twice a check. What a step tells in one go is one transaction. The files are the same:
the UI reads them with Dagster's own classes.

Overrides methods that Dagster does not document; a test fails when they are no longer called.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from dagster import AssetKey, AssetRecordsFilter, EventRecordsResult
from dagster._core.events import DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.pool import QueuePool

#: Files whose connections are kept: Dagster has three, and one for each run.
KEPT_ENGINES = 8

#: What a step records between two of its checks; none of them is a materialization.
BETWEEN_CHECKS = frozenset(
    {
        DagsterEventType.ASSET_CHECK_EVALUATION,
        DagsterEventType.HANDLED_OUTPUT,
        DagsterEventType.STEP_OUTPUT,
    }
)

#: What waits to be written with the event behind it, which comes at once: none ends a step or a run,
#: and nothing is computed after one. Whoever reads the log in this process has it written first.
BEFORE_OTHERS = BETWEEN_CHECKS | {
    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
}


class Engines:
    """An engine for each file, the least recently used one closed when there are too many."""

    def __init__(self) -> None:
        self._engines: OrderedDict[str, sqlalchemy.Engine] = OrderedDict()

    @contextmanager
    def transaction(self, url: str) -> Iterator[sqlalchemy.Connection]:
        """A connection in a transaction; nested ones get connections of their own."""
        with self.engine(url).begin() as connection:
            yield connection

    def engine(self, url: str) -> sqlalchemy.Engine:
        """The engine of a file."""
        if url not in self._engines:
            timeout = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
            engine = sqlalchemy.create_engine(url, poolclass=QueuePool, max_overflow=-1, connect_args=timeout)
            sqlalchemy.event.listen(engine, "connect", _wait_at_checkpoints_only)
            self._engines[url] = engine
        self._engines.move_to_end(url)
        while len(self._engines) > KEPT_ENGINES:
            self._engines.popitem(last=False)[1].dispose()
        return self._engines[url]

    def close(self) -> None:
        """Close every connection."""
        while self._engines:
            self._engines.popitem()[1].dispose()


def _wait_at_checkpoints_only(connection: Any, record: Any) -> None:
    """With a write-ahead log the records stay whole even in a power cut, which may cost the last events."""
    connection.execute("PRAGMA synchronous=NORMAL")


class _Event:
    """An event as a row, for a statement that SQLAlchemy analyses once and not for each event."""

    _insert = SqlEventLogStorageTable.insert()

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row

    def _execute_on_connection(self, connection: sqlalchemy.Connection, _: Any, options: Any) -> Any:
        return self._insert._execute_on_connection(connection, [self._row], options)


class _EventLog(SqliteEventLogStorage):
    def __init__(self, base_dir: str) -> None:
        self.engines = Engines()
        self._empty: bytes | None = None  #: a run's file without events, once one was made
        self._seen: set[str] = set()  #: tables, columns and migrations that are there
        self._checked: tuple[tuple[Any, ...], EventRecordsResult] | None = None
        self._waiting: list[EventLogEntry] = []
        self._held: dict[str, sqlalchemy.Connection] = {}  #: by shard, while events are written together
        self._lock = threading.RLock()  #: not Dagster's: a method that holds it calls others that take it
        super().__init__(base_dir)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sqlalchemy.Connection]:
        with self._lock:
            if shard in self._held:
                yield self._held[shard]
                return
            self._write()
            url = self.conn_string_for_shard(shard)
            if shard not in self._initialized_dbs:
                self._prepare(shard, url)
                self._initialized_dbs.add(shard)
            with self.engines.transaction(url) as connection:
                yield connection

    def _prepare(self, shard: str, url: str) -> None:
        """Make a shard's tables where they are missing."""
        path = Path(self.path_for_shard(shard))
        new = shard != INDEX_SHARD_NAME and not path.exists()
        if new and self._empty is not None and _write_new(path, self._empty):
            return
        self._initdb(self.engines.engine(url))
        if new:
            with closing(sqlite3.connect(path)) as connection:
                self._empty = connection.serialize()

    def has_table(self, table_name: str) -> bool:
        if table_name not in self._seen:
            # Not through _connect: Dagster asks this while it holds a connection, and its lock.
            index = self.engines.engine(self.conn_string_for_shard(INDEX_SHARD_NAME))
            with index.connect() as connection:
                if not connection.dialect.has_table(connection, table_name):
                    return False
            self._seen.add(table_name)
        return True

    def has_secondary_index(self, name: str) -> bool:
        if name not in self._seen and super().has_secondary_index(name):
            self._seen.add(name)
        return name in self._seen

    def _has_asset_key_col_on_connection(self, conn: sqlalchemy.Connection, column_name: str) -> bool:
        if column_name not in self._seen and super()._has_asset_key_col_on_connection(conn, column_name):
            self._seen.add(column_name)
        return column_name in self._seen

    def store_event(self, event: EventLogEntry) -> None:
        if event.dagster_event_type not in BETWEEN_CHECKS:
            self._checked = None
        with self._lock:
            self._waiting.append(event)
            if event.dagster_event_type not in BEFORE_OTHERS:
                self._write()

    def prepare_insert_event(self, event: EventLogEntry) -> _Event:
        return _Event(self._event_to_row(event))

    def _write(self) -> None:
        """Write what waits as two transactions: of the run, then of the index of all runs."""
        events, self._waiting = self._waiting, []
        if not events:
            return
        run_id = events[0].run_id
        with self._connect(INDEX_SHARD_NAME) as index, self._connect(run_id) as run:
            self._held = {INDEX_SHARD_NAME: index, run_id: run}
            try:
                for event in events:
                    super().store_event(event)
            finally:
                self._held = {}

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        question = (repr(records_filter), limit, cursor, ascending)
        if self._checked is None or self._checked[0] != question:
            self._checked = (
                question,
                super().fetch_materializations(records_filter, limit, cursor, ascending),
            )
        return self._checked[1]

    def dispose(self) -> None:
        self._write()
        super().dispose()
        self.engines.close()


def _write_new(path: Path, content: bytes) -> bool:
    """Make a file, whole or not at all; False where another process was faster."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(content)
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    finally:
        aside.unlink()
    return True


class _Runs(SqliteRunStorage):
    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.engines = Engines()
        self._has_columns = False  #: of later versions of Dagster, without which it makes do
        super().__init__(conn_string, inst_data)

    def has_run_stats_index_cols(self) -> bool:
        self._has_columns = self._has_columns or super().has_run_stats_index_cols()
        return self._has_columns

    @contextmanager
    def connect(self) -> Iterator[sqlalchemy.Connection]:
        with self.engines.transaction(self._conn_string) as connection:
            yield connection

    def dispose(self) -> None:
        super().dispose()
        self.engines.close()


class PooledSqliteStorage(DagsterSqliteStorage):
    """Dagster's default storage, its runs and events with kept connections."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        events = self._event_log_storage._base_dir  # <base>/history/runs; the table of runs lies above it
        self._event_log_storage = _EventLog(events)
        self._run_storage = _Runs.from_local(str(Path(events).parent))

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledSqliteStorage:
        """As Dagster makes it from settings."""
        return cls(inst_data=inst_data, base_dir=config_value["base_dir"])
