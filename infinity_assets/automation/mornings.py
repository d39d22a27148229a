"""The schedule of quality: a snapshot of every table, marts, tests and page, after the nightly runs."""

from __future__ import annotations

import dagster as dg

from infinity_assets.orchestration.jobs import QUALITY


def each_morning() -> dg.ScheduleDefinition:
    """At six in the morning. Where nothing was published since, nothing new is made."""
    return dg.ScheduleDefinition(
        name="each_morning",
        job=QUALITY,
        cron_schedule="0 6 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="A snapshot of every table, its marts, tests and page.",
    )
