"""A job of one partition through Dagster, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import dagster as dg

from infinity_assets.definitions import platform_defs
from infinity_assets.orchestration.progress import Ended, Listener, StageEvent, Work
from infinity_assets.platform import Platform
from infinity_assets.stages.tag_associations.schema import WHOLE

#: Run config: Dagster's own lines stay in its records; the caller shows progress.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Runner:
    """Runs one job after the other, with the definitions loaded once; each run gets the tags."""

    def __init__(
        self,
        platform: Platform,
        on_event: Listener,
        instance: dg.DagsterInstance,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self._tags = dict(tags or {})
        self._on_event = on_event
        self._heard: list[StageEvent] = []
        self._definitions = platform_defs(platform, self._listen)
        self._instance = instance

    def run(self, work: Work, partition: str) -> Ended:
        """Run a job, or these assets, of one partition; a failed step is an outcome, not an error.

        Raises:
            KeyboardInterrupt: if the process is told to stop; Dagster has recorded the run as failed by then.
        """
        self._heard.clear()
        if isinstance(work, str):
            job, assets = self._definitions.resolve_job_def(work), None
        else:
            job = self._definitions.resolve_implicit_global_asset_job_def()
            assets = [dg.AssetKey(name) for name in work]
        result = job.execute_in_process(
            asset_selection=assets,
            tags=self._tags,
            run_config=QUIET,
            instance=self._instance,
            partition_key=None if partition == WHOLE else partition,
            raise_on_error=False,
        )
        told = {event.stage for event in self._heard if event.kind == "failed"}
        for event in _untold(result, partition, told):
            self._listen(event)
        return Ended(bool(result.success), tuple(self._heard))

    def _listen(self, event: StageEvent) -> None:
        if event.kind in {"finished", "failed"}:
            self._heard.append(event)
        self._on_event(event)


def _untold(result: dg.ExecuteInProcessResult, partition: str, told: set[str]) -> Iterator[StageEvent]:
    """Failures that happened outside a stage's function, where no listener hears of them."""
    for event in result.all_events:
        if event.event_type is dg.DagsterEventType.RUN_FAILURE:
            error = event.job_failure_data.error  # a run that was told to stop before its first step began
        elif event.event_type is dg.DagsterEventType.STEP_FAILURE:
            error = event.step_failure_data.error
        else:
            continue
        if error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
            raise KeyboardInterrupt  # Dagster turns the signal into a failure, and would go on
        if event.event_type is dg.DagsterEventType.RUN_FAILURE:
            continue
        step = event.step_key or ""
        if not told & set(step.split("_and_")):
            line = str(error.message).strip() if error else "the step failed"
            yield StageEvent(step, partition, "failed", error=line.splitlines()[0])
