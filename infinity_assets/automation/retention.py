"""The weekly job that removes old versions and old runs.

No ``from __future__ import annotations`` here: Dagster looks at the annotation of ``context`` itself.
"""

from datetime import timedelta

import dagster as dg

from infinity_assets.orchestration.resources import PLATFORM
from infinity_assets.platform import Platform


@dg.op(
    required_resource_keys={PLATFORM},
    out=dg.Out(dg.Nothing),
    description="Removes versions and runs older than INFINITY_RETENTION_DAYS that nothing refers to.",
)
def remove_old(context: dg.OpExecutionContext) -> None:
    """Tables first; then runs, but those whose events the pages of assets show."""
    from infinity_assets.orchestration.retention import clean_store, prune_runs

    platform: Platform = getattr(context.resources, PLATFORM)
    age = timedelta(days=platform.settings.retention_days)
    cleaned = list(clean_store(platform, age))
    runs = prune_runs(platform, context.instance, age)
    context.add_output_metadata(
        {
            "versions_removed": sum(one.removed for one in cleaned),
            "bytes_freed": sum(one.bytes or 0 for one in cleaned),
            "tables_left_alone": sum(1 for one in cleaned if one.why_not),
            "runs_removed": runs,
        }
    )


@dg.job(
    name="retention",
    description="Remove old versions of tables and old runs. What a release names stays: `infinity release`.",
)
def retention() -> None:
    """One step."""
    remove_old()


def weekly_retention() -> dg.ScheduleDefinition:
    """On Saturdays at four; off at first."""
    return dg.ScheduleDefinition(
        name="weekly_retention",
        job=retention,
        cron_schedule="0 4 * * 6",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Removes old versions of tables and old runs, but what a release names.",
    )
