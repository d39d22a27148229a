"""The sensor that tells a webhook of failed blocking checks. It holds nothing up: runs never wait for it.

No ``from __future__ import annotations`` here: Dagster looks at the annotation of ``context`` itself.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from infinity_assets.automation.busy import PARTITION_TAG
from infinity_assets.automation.webhook import WEBHOOK, send
from infinity_assets.errors import SourceError
from infinity_assets.settings import Settings

#: Failed runs in one message.
AT_ONCE: Final = 20

#: Ticks after which a message that cannot be delivered is given up, with an error in the sensor's log.
TRIES: Final = 60


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far failed runs were told of."""

    after: float  #: seconds since 1970: when the last run that was told of ended
    told: tuple[str, ...] = ()  #: runs that ended in that very moment
    tries: int = 0  #: of the next message

    @staticmethod
    def read(text: str | None) -> "Cursor":
        """From what Dagster kept; from now on where it kept nothing, so that no old failure is told."""
        return Cursor(*json.loads(text)) if text else Cursor(time.time())

    def text(self) -> str:
        """For Dagster to keep."""
        return json.dumps([self.after, list(self.told), self.tries])


def failed_checks_alert(settings: Settings) -> dg.SensorDefinition:
    """Posts each failed blocking check of a failed run, once, to the address in ``INFINITY_ALERT_WEBHOOK``.

    A message that could not be delivered is sent again with the next tick, for about half an hour. It has
    names, counts and links; never text of samples.
    """

    @dg.sensor(
        name="failed_checks_alert",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells the webhook in {WEBHOOK} of failed blocking checks; does nothing without one.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if not os.environ.get(WEBHOOK):
            return dg.SensorResult(skip_reason=dg.SkipReason(f"{WEBHOOK} is not set: nobody is told"))
        cursor = Cursor.read(context.cursor)
        runs = _failed_runs(context.instance, cursor)
        failures = [one for record in runs for one in _failures(context.instance, record, settings)]
        said = f"{len(failures)} failed blocking checks told of"
        if failures:
            try:
                send(_message(failures))
            except SourceError as error:
                if cursor.tries + 1 < TRIES:
                    context.log.warning(f"{error}; it is tried again")
                    waiting = Cursor(cursor.after, cursor.told, cursor.tries + 1)
                    return dg.SensorResult(skip_reason=dg.SkipReason(str(error)), cursor=waiting.text())
                context.log.error(f"{error}; {len(failures)} failed checks are not told of")
                said = str(error)
        if runs:
            last = runs[-1].end_time or cursor.after
            ended = tuple(r.dagster_run.run_id for r in runs if r.end_time == last)
            cursor = Cursor(last, ended if last > cursor.after else (*cursor.told, *ended))
        return dg.SensorResult(skip_reason=dg.SkipReason(said), cursor=cursor.text())

    return evaluate


def _failed_runs(instance: dg.DagsterInstance, cursor: Cursor) -> Sequence[dg.RunRecord]:
    """Runs that failed since, the first ones first."""
    since = datetime.fromtimestamp(cursor.after - 1, UTC)  # the database rounds; what was told is left out
    found = instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since),
        order_by="update_timestamp",
        ascending=True,
        limit=AT_ONCE + len(cursor.told),
    )
    news = [r for r in found if (r.end_time or 0) >= cursor.after and r.dagster_run.run_id not in cursor.told]
    return sorted(news, key=lambda r: r.end_time or 0)[:AT_ONCE]


def _failures(
    instance: dg.DagsterInstance, record: dg.RunRecord, settings: Settings
) -> Iterator[Mapping[str, Any]]:
    run = record.dagster_run
    events = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    for event in events:
        dagster_event = event.event_log_entry.dagster_event
        if dagster_event is None:
            continue
        check = dagster_event.asset_check_evaluation_data
        if check.passed or check.severity is not dg.AssetCheckSeverity.ERROR:
            continue
        rows = check.metadata.get("failed_rows")
        yield {
            "asset": check.asset_key.to_user_string(),
            "partition": run.tags.get(PARTITION_TAG),
            "check": check.check_name,
            "failed_rows": rows.value if rows is not None else None,
            "run": run.run_id,
            "link": f"{settings.dagster_url}/runs/{run.run_id}" if settings.dagster_url else None,
        }


def _message(failures: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """``text`` is what chat systems show; the rest is for programs."""
    lines = []
    for one in failures:
        where = f"{one['asset']} of {one['partition'] or 'all'}"
        lines.append(f"{where}: {one['check']} failed ({one['failed_rows']} rows), run {one['run'][:8]}")
    return {"text": "\n".join(["Nothing was published:", *lines]), "failures": list(failures)}
