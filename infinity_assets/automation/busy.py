"""What is under way: partitions that have a run, and backfills."""

from __future__ import annotations

from typing import Final

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

PARTITION_TAG: Final = "dagster/partition"
UNDER_WAY: Final = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def busy_partitions(instance: dg.DagsterInstance) -> set[str | None]:
    """Their keys; None stands for a run of an asset without partitions."""
    running = instance.get_runs(dg.RunsFilter(statuses=list(UNDER_WAY)))
    return {run.tags.get(PARTITION_TAG) for run in running}


def backfills_under_way(instance: dg.DagsterInstance) -> bool:
    """Whether a backfill from Dagster's pages is not over: between its waves it has no run."""
    filters = BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED])
    return bool(instance.get_backfills(filters=filters, limit=1))
