"""The whole pipeline in this process, through Dagster: what ``infinity run`` does; the UI shows it later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import dagster as dg

from infinity_assets.definitions import platform_defs
from infinity_assets.orchestration.instance import open_instance
from infinity_assets.orchestration.progress import StageEvent
from infinity_assets.platform import Platform
from infinity_assets.sources.catalogue import benchmarks_in
from infinity_assets.sources.model import TRAINING_STAGES
from infinity_assets.stages.duplicate_ledger.stage import moved
from infinity_assets.stages.filtered.inputs import behind
from infinity_assets.stages.scored.inputs import behind as scores_behind
from infinity_assets.stages.synthesized.inputs import behind as synthesis_behind
from infinity_assets.stages.tag_associations.schema import WHOLE

#: Run config: Dagster's own lines stay in its records; the caller shows progress.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True)
class RunReport:
    """What became of every partition of every stage that was run, in the order in which they ended."""

    outcomes: tuple[StageEvent, ...]  #: finished (with the result) or failed (with the error's line)

    @property
    def failed(self) -> tuple[StageEvent, ...]:
        """The outcomes that are failures."""
        return tuple(o for o in self.outcomes if o.kind == "failed")

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed


def run_pipeline(
    platform: Platform, sources: Iterable[str], on_event: Callable[[StageEvent], None]
) -> RunReport:
    """Materialize these sources from their files to the filters, then every mix that they may enter.

    Five phases: ``raw`` to ``unified`` for each source; the ledger and what follows from it for each, also
    for other sources whose slice changed; associations of the seed set, and synthesis where tags or
    associations moved; scores, where an engine is named; plans and exports of each training stage. A source
    that fails stops no other: it is left out of the phases after, where its last published version is used.

    Args:
        platform: settings, store, catalogue.
        sources: names; each must be in the catalogue.
        on_event: told when a partition of a stage begins and ends.

    Raises:
        CatalogueError: if a name is not in the catalogue.
        KeyboardInterrupt: if the process is told to stop; Dagster has recorded the run as failed by then.
    """
    names = list(dict.fromkeys(sources))
    wanted = {stage for name in names for stage in platform.catalogue[name].spec.stages}
    outcomes: list[StageEvent] = []

    def listen(event: StageEvent) -> None:
        if event.kind in {"finished", "failed"}:
            outcomes.append(event)
        on_event(event)

    definitions = platform_defs(platform, listen)
    with open_instance(platform.settings.home) as instance:

        def run(job: str, partition: str) -> bool:
            result = definitions.resolve_job_def(job).execute_in_process(
                run_config=QUIET,
                instance=instance,
                partition_key=None if partition == WHOLE else partition,
                raise_on_error=False,
            )
            told = {o.stage for o in outcomes if o.kind == "failed" and o.partition == partition}
            for event in _untold(result, partition, told):
                listen(event)
            return bool(result.success)

        ready = [name for name in names if run("ingest", name)]
        for name in benchmarks_in(platform.catalogue):
            if name in ready:
                run("benchmark", name)
        # All samples are read by now, so the first of these compares them and the others find it done.
        failed = {name for name in ready if not run("converge", name)}
        _converge(platform, [name for name in ready if name not in failed], failed, run)
        if any(name not in failed for name in ready):
            run("associate", WHOLE)
        for name in platform.catalogue:
            if name not in failed and synthesis_behind(platform, name):
                run("synthesize", name)
        for name in platform.catalogue:
            if name not in failed and scores_behind(platform, name):
                run("score", name)
        for stage in TRAINING_STAGES:
            if stage in wanted:
                run("mix", stage)
    return RunReport(tuple(outcomes))


def _converge(
    platform: Platform, ready: list[str], failed: set[str], run: Callable[[str, str], bool]
) -> None:
    """Run until every source's verdicts follow from the ledger, and the ledger from what was dropped since.

    A sample that is dropped for a cause of its own gives its place to the next duplicate, which may be
    dropped in its turn; each round settles one more of a row of duplicates, so there is an end.
    """
    while True:
        if ready and moved(platform) is not None and not run("converge", ready[0]):
            failed.add(ready.pop(0))
        others = [name for name in platform.catalogue if name not in failed and behind(platform, name)]
        failed |= {name for name in others if not run("decide", name)}
        if not others and (not ready or moved(platform) is None):
            return


def _untold(result: dg.ExecuteInProcessResult, partition: str, told: set[str]) -> Iterator[StageEvent]:
    """Failures that happened outside a stage's function, where no listener hears of them."""
    for event in result.all_events:
        if event.event_type is not dg.DagsterEventType.STEP_FAILURE:
            continue
        error = event.step_failure_data.error
        if error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
            raise KeyboardInterrupt  # Dagster turns the signal into a failed step, and would go on
        step = event.step_key or ""
        if not told & set(step.split("_and_")):
            line = str(error.message).strip() if error else "the step failed"
            yield StageEvent(step, partition, "failed", error=line.splitlines()[0])
