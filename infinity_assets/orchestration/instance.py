"""The folder in which Dagster keeps its own records: SQLite files and settings, made where absent."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

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


def instance_folder(home: Path) -> Path:
    """``<home>/dagster`` with a ``dagster.yaml``; what a person changed there stays."""
    folder = (home / "dagster").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        settings.write_text(DAGSTER_YAML, encoding="utf-8")
    return folder


def open_instance(home: Path) -> dg.DagsterInstance:
    """The instance that ``make ui`` shows, for runs in this process."""
    return dg.DagsterInstance.from_config(str(instance_folder(home)))
