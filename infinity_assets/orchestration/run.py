"""The whole pipeline through Dagster: what ``infinity run`` does; the UI shows it later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from infinity_assets.orchestration.model_steps import asking_models
from infinity_assets.orchestration.progress import Listener, StageEvent
from infinity_assets.orchestration.side_by_side import runs, spread
from infinity_assets.platform import Platform
from infinity_assets.sources.catalogue import benchmarks_in
from infinity_assets.sources.model import TRAINING_STAGES
from infinity_assets.stages.duplicate_ledger.stage import moved
from infinity_assets.stages.filtered.inputs import behind
from infinity_assets.stages.scored.inputs import behind as scores_behind
from infinity_assets.stages.synthesized.inputs import behind as synthesis_behind
from infinity_assets.stages.tag_associations.schema import WHOLE

#: The stage of a job that may ask a model.
_MODEL_OF: Final = {"converge": "tagged", "decide": "tagged", "synthesize": "synthesized", "score": "scored"}


@dataclass(frozen=True, slots=True)
class RunReport:
    """What became of every partition of every stage that was run."""

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
    platform: Platform, sources: Iterable[str], on_event: Listener, at_once: int = 1
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
        at_once: runs at a time, each in a process of its own; with one they run in this process. What asks a
            model runs alone: each run would start a server of its own, or share a provider's rate.

    Raises:
        CatalogueError: if a name is not in the catalogue.
        KeyboardInterrupt: if the process is told to stop; Dagster has recorded the run as failed by then.
    """
    names = list(dict.fromkeys(sources))
    wanted = {stage for name in names for stage in platform.catalogue[name].spec.stages}
    outcomes: list[StageEvent] = []
    asking = asking_models(platform)
    with runs(platform, on_event, at_once) as one:

        def run(job: str, partitions: Sequence[str]) -> list[str]:
            """Those that succeeded."""
            most = 1 if _MODEL_OF.get(job) in asking else at_once
            ended = dict(spread(one, [(job, name) for name in partitions], most))
            outcomes.extend(outcome for place in sorted(ended) for outcome in ended[place].outcomes)
            return [name for place, name in enumerate(partitions) if ended[place].ok]

        ready = run("ingest", names)
        run("benchmark", [name for name in benchmarks_in(platform.catalogue) if name in ready])
        # All samples are read by now, so the first of these compares them and the others find it done.
        compared = run("converge", ready[:1]) + run("converge", ready[1:])
        failed = set(ready) - set(compared)
        _converge(platform, compared, failed, run)
        if any(name not in failed for name in ready):
            run("associate", [WHOLE])
        sound = [name for name in platform.catalogue if name not in failed]
        run("synthesize", [name for name in sound if synthesis_behind(platform, name)])
        run("score", [name for name in sound if scores_behind(platform, name)])
        run("mix", [stage for stage in TRAINING_STAGES if stage in wanted])
    return RunReport(tuple(outcomes))


def _converge(
    platform: Platform, ready: list[str], failed: set[str], run: Callable[[str, Sequence[str]], list[str]]
) -> None:
    """Run until every source's verdicts follow from the ledger, and the ledger from what was dropped since.

    A sample that is dropped for a cause of its own gives its place to the next duplicate, which may be
    dropped in its turn; each round settles one more of a row of duplicates, so there is an end.
    """
    while True:
        if ready and moved(platform) is not None and not run("converge", ready[:1]):
            failed.add(ready.pop(0))
        others = [name for name in platform.catalogue if name not in failed and behind(platform, name)]
        failed |= set(others) - set(run("decide", others))
        if not others and (not ready or moved(platform) is None):
            return
