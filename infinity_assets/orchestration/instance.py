"""The folder in which Dagster keeps its own records: SQLite files and settings, made where absent."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy
from dagster._core.instance import InstanceRef

#: For runs in this process: capturing what a step prints takes four processes each, and stages print nothing.
NO_CAPTURE = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}

#: Where nothing else is said: no telemetry, no welcome dialog, few runs at a time (each may use every core),
#: no slot kept by a dead run, no retry that repeats a failed check.
DAGSTER_YAML = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 2
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  free_slots_after_run_end_seconds: 120
run_retries:
  enabled: true
  max_retries: 0
  retry_on_asset_or_op_failure: false
retention:
  schedule:
    purge_after_days: 30
  sensor:
    purge_after_days:
      skipped: 2
      failure: 30
      success: 30
"""


HELD_FILES = 8  #: Dagster has three files, and one for each run


def instance_folder(home: Path) -> Path:
    """``<home>/dagster`` with a ``dagster.yaml``; what a person changed there stays."""
    folder = (home / "dagster").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        settings.write_text(DAGSTER_YAML, encoding="utf-8")
    return folder


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance that ``make ui`` shows, for runs in this process."""
    ref = InstanceRef.from_dir(str(instance_folder(home)), overrides=NO_CAPTURE)
    with _quick_sqlite(), dg.DagsterInstance.from_ref(ref) as instance:
        yield instance


@contextmanager
def _quick_sqlite() -> Iterator[None]:
    """Let SQLite wait for the disk at checkpoints only, not at each of the hundreds of events of a run.

    Dagster opens a connection for each event, and closing the last one to a file forces a checkpoint: one
    more is held open to each file. With a write-ahead log the records stay whole even in a power cut, which
    may cost the last events; the tables do not depend on them.
    """
    held: dict[str, sqlite3.Connection] = {}

    def prepare(connection: Any, record: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return  # another database looks after itself
        connection.execute("PRAGMA synchronous=NORMAL")
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        if not path or path in held:
            return
        while len(held) >= HELD_FILES:
            held.pop(next(iter(held))).close()
        held[path] = sqlite3.connect(path, check_same_thread=False)
        held[path].execute("PRAGMA schema_version").fetchone()  # the file is opened by the first read

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", prepare)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", prepare)
        for connection in held.values():
            connection.close()
