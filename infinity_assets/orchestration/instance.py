"""The folder in which Dagster keeps its own records: SQLite files and settings, made where absent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance import InstanceRef
from sqlalchemy.exc import SQLAlchemyError

from infinity_assets.errors import StoreError

#: For runs in this process: capturing what a step prints takes four processes each, and stages print nothing.
IN_PROCESS: Mapping[str, Any] = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}

#: Where nothing else is said: no telemetry, no welcome dialog, few runs at a time (each may use every core),
#: no slot kept by a dead run, no retry that repeats a failed check. A pool counts runs: it is the daemon that
#: lets them through, one after another. Steps that ask for a place themselves may both get the last one.
DAGSTER_YAML = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 2
  pools:
    granularity: run
    default_limit: 1
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
    """The instance that ``make ui`` shows, for runs in this process.

    Raises:
        StoreError: if its database cannot be reached.
    """
    folder = str(instance_folder(home))
    storage = InstanceRef.from_dir(folder).storage_data
    overrides = dict(IN_PROCESS)
    if (
        storage is not None and storage.class_name == "DagsterSqliteStorage"
    ):  # another one was chosen on purpose
        module = "infinity_assets.orchestration.sqlite"
        custom = {"module": module, "class": "PooledSqliteStorage", "config": storage.config_dict}
        overrides["storage"] = {"custom": custom}
    ref = InstanceRef.from_dir(folder, overrides=overrides)
    try:
        opened = dg.DagsterInstance.from_ref(ref)
    except SQLAlchemyError as error:
        raise _away(folder, error) from error
    except Exception as error:  # dagster-postgres need not be installed, so its own error has no name here
        if isinstance(error.__cause__, SQLAlchemyError):
            raise _away(folder, error.__cause__) from error
        raise
    with opened as instance:
        yield instance


def _away(folder: str, error: SQLAlchemyError) -> StoreError:
    """The database's own words: they name host, port and database, never the password."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    return StoreError(f"{folder}/dagster.yaml: Dagster's database cannot be opened: {said}")
