"""Which partitions have a run under way."""

from __future__ import annotations

from typing import Final

import dagster as dg

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
