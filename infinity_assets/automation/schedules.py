"""The nightly schedule: every source, one run each; the sensor ``converge`` does the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import dagster as dg

from infinity_assets.orchestration.jobs import SOURCE_PIPELINE, Job


def nightly(sources: dg.PartitionsDefinition, jobs: Mapping[str, Job]) -> dg.ScheduleDefinition:
    """At two at night, everything of every source. A source that did not change commits nothing."""

    @dg.schedule(
        name="nightly",
        job=jobs[SOURCE_PIPELINE.name],
        cron_schedule="0 2 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Every source from its files on, one run each; then `converge` brings all up to date.",
    )
    def evaluate(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        night = context.scheduled_execution_time.date().isoformat()
        for name in sources.get_partition_keys():
            yield dg.RunRequest(run_key=f"{night}/{name}", partition_key=name)

    return evaluate
