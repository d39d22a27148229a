"""Schedules of sources: each night those that changed, once a week every byte of all.

No ``from __future__ import annotations`` here: Dagster looks at the annotation of ``context`` itself.
"""

from collections.abc import Iterator, Mapping

import dagster as dg

from infinity_assets.errors import SourceError
from infinity_assets.orchestration.jobs import SOURCE_PIPELINE, Job
from infinity_assets.platform import Platform


def nightly(
    platform: Platform, sources: dg.PartitionsDefinition, jobs: Mapping[str, Job]
) -> dg.ScheduleDefinition:
    """At two at night, every source whose files upstream are others than the published ones.

    A source that cannot be listed is asked for as well: its run fails, where a person sees it.
    """

    @dg.schedule(
        name="nightly",
        job=jobs[SOURCE_PIPELINE.name],
        cron_schedule="0 2 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Sources whose files changed, one run each; then `converge` brings all up to date.",
    )
    def evaluate(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        from infinity_assets.stages.raw.drift import drifted

        night, asked = context.scheduled_execution_time.date().isoformat(), False
        for name in sources.get_partition_keys():
            try:
                if drifted(platform.store, platform.catalogue[name]) is None:
                    continue
            except SourceError as error:
                context.log.warning(str(error))
            asked = True
            yield dg.RunRequest(run_key=f"{night}/{name}", partition_key=name)
        if not asked:
            yield dg.SkipReason("every source has the files that were read")

    return evaluate


def weekly_full_check(sources: dg.PartitionsDefinition, jobs: Mapping[str, Job]) -> dg.ScheduleDefinition:
    """On Sundays at three, every source: all bytes are hashed, which finds files that changed in secret.

    A source that did not change commits nothing.
    """

    @dg.schedule(
        name="weekly_full_check",
        job=jobs[SOURCE_PIPELINE.name],
        cron_schedule="0 3 * * 0",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Every byte of every source, one run each. What did not change is not made anew.",
    )
    def evaluate(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        day = context.scheduled_execution_time.date().isoformat()
        for name in sources.get_partition_keys():
            yield dg.RunRequest(run_key=f"{day}/{name}", partition_key=name)

    return evaluate
