"""Stages of many sources, run once each in the order of the pipeline: what ``infinity backfill`` does.

What is done is noted in the store after each run, so that a backfill that was stopped or killed goes on where
it was. One backfill runs at a time on one home; the lock is the system's, and ends with the process.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import dagster as dg

from infinity_assets.automation.busy import UNDER_WAY
from infinity_assets.errors import StoreError
from infinity_assets.orchestration.backfill_plan import STAGES, Phase, phases
from infinity_assets.orchestration.instance import open_instance
from infinity_assets.orchestration.model_steps import asking_models
from infinity_assets.orchestration.progress import Ended, Listener, StageEvent
from infinity_assets.orchestration.side_by_side import Run, runs, spread
from infinity_assets.platform import Platform
from infinity_assets.sources.catalogue import EVALUATION, benchmarks_in
from infinity_assets.sources.model import TRAINING_STAGES
from infinity_assets.stages.duplicate_ledger.stage import moved
from infinity_assets.stages.filtered.inputs import behind
from infinity_assets.stages.tag_associations.schema import WHOLE
from infinity_assets.store.digests import key_of

#: On every run of any backfill, and on those of one of them.
BY: Final = {"infinity/started_by": "backfill"}
TAG: Final = "infinity/backfill"

#: What brings the samples of a source into line with the ledger.
DECIDED: Final = ("deduped", "tagged", "filtered")
LEDGER: Final = ("duplicate_ledger",)

#: Told after each run: how many are done, of how many, and how many of them an earlier start had done.
OnProgress = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What became of a backfill."""

    id: str
    runs: int  #: without those of sources that had failed, and those that brought duplicates into line
    done_before: int  #: by an earlier start, which was stopped or had failures
    outcomes: tuple[StageEvent, ...]

    @property
    def failed(self) -> tuple[StageEvent, ...]:
        """The outcomes that are failures."""
        return tuple(o for o in self.outcomes if o.kind == "failed")


def default_stages(platform: Platform) -> tuple[str, ...]:
    """Every stage; scores only where an engine is named that gives them."""
    return tuple(s for s in STAGES if s != "scored" or platform.scoring.engine is not None)


def backfill_id(platform: Platform, sources: Sequence[str], stages: Sequence[str]) -> str:
    """8 hex characters of what is asked for: another policy or source file makes it another backfill."""
    specs = [platform.catalogue[name].spec.model_dump_json() for name in sorted(set(sources))]
    return key_of("backfill", specs, sorted(set(stages)), platform.policy.hash)[:8]


def run_backfill(
    platform: Platform,
    sources: Sequence[str],
    stages: Sequence[str],
    on_event: Listener,
    on_progress: OnProgress,
    at_once: int = 1,
) -> BackfillReport:
    """Materialize these stages of these sources, phase by phase; see :data:`backfill_plan.ORDER`.

    A source that fails is left out of the phases after, and stops no other. The duplicate ledger, which spans
    sources, is one run. Started again after a stop, kill or failure it runs what is missing. After its end
    it looks at everything anew, and commits nothing where nothing changed.

    Args:
        platform: settings, store, catalogue.
        sources: names; each must be in the catalogue.
        stages: names of assets, in any order.
        on_event: told when a partition of a stage begins and ends.
        on_progress: told of the whole.
        at_once: runs at a time, each in a process of its own; those that ask a model run alone.

    Raises:
        CatalogueError: if a name is not in the catalogue, or no stage.
        StoreError: if a backfill runs on this home already.
        KeyboardInterrupt: if the process is told to stop; Dagster has recorded its runs as failed by then.
    """
    names = sorted({platform.catalogue[name].name for name in sources})
    planned = phases(stages)
    identity = backfill_id(platform, names, stages)
    with _alone(platform.settings.home):
        with open_instance(platform.settings.home) as instance:
            _end_abandoned(instance)
        work = _Backfill(platform, names, planned, _Notes(platform, identity), on_progress)
        with runs(platform, on_event, at_once, {**BY, TAG: identity}) as run:
            work.all(run, at_once)
    return BackfillReport(identity, work.done, work.before, tuple(work.outcomes))


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One backfill at a time; the system ends the lock with the process, however that ends."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "backfill.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            who = lock.read().strip()
            told = f"a backfill runs on {home} already (process {who}); nothing was started"
            raise StoreError(f"{told}. Wait for it, or stop it") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _end_abandoned(instance: dg.DagsterInstance) -> None:
    """Runs of a backfill that was killed would be shown as running for ever."""
    for run in instance.get_runs(dg.RunsFilter(tags=BY, statuses=list(UNDER_WAY))):
        instance.report_run_failed(run, "the backfill that this run was part of was killed")


class _Notes:
    """Which runs of a backfill are done, in the store; nothing of it decides what is published."""

    def __init__(self, platform: Platform, identity: str) -> None:
        self._objects = platform.store.objects
        self._path = f"_backfills/{identity}.json"
        found = self._objects.get(self._path)
        self.done: set[str] = set(json.loads(found)) if found is not None else set()

    def add(self, unit: str) -> None:
        """Note a run that succeeded."""
        self.done.add(unit)
        self._objects.put(self._path, json.dumps(sorted(self.done)).encode())

    def forget(self) -> None:
        """Everything was done: the next start begins anew."""
        self._objects.delete(self._path)


@dataclass(frozen=True, slots=True)
class Unit:
    """One run."""

    stages: tuple[str, ...]
    partition: str
    among: str  #: of which sources, where it reads all

    @property
    def name(self) -> str:
        """How it is noted."""
        return f"{'+'.join(self.stages)}/{self.partition}/{self.among}"


@dataclass
class _Backfill:
    platform: Platform
    names: list[str]
    planned: list[Phase]
    notes: _Notes
    on_progress: OnProgress
    outcomes: list[StageEvent] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)  #: sources that are left out from here on
    done: int = 0
    before: int = 0

    @property
    def total(self) -> int:
        """Runs of all phases; those of failed sources are none."""
        return sum(len(self._partitions(phase)) for phase in self.planned)

    @property
    def ready(self) -> list[str]:
        """Sources that did not fail."""
        return [name for name in self.names if name not in self.failed]

    def all(self, run: Run, at_once: int) -> None:
        """Every phase; before mixes, which read verdicts, rounds until duplicates are in line."""
        stages = {stage for phase in self.planned for stage in phase.stages}
        converging = stages >= {*LEDGER, *DECIDED}
        for phase in self.planned:
            if converging and phase.of == "training stage":
                self._converge(run)
                converging = False
            asking = asking_models(self.platform).intersection(phase.stages)
            self._phase(phase, run, 1 if asking else at_once)
        if converging:
            self._converge(run)
        if not any(outcome.kind == "failed" for outcome in self.outcomes):
            self.notes.forget()

    def _partitions(self, phase: Phase) -> list[str]:
        match phase.of:
            case "source":
                return self.ready
            case "benchmark":
                return [name for name in benchmarks_in(self.platform.catalogue) if name in self.ready]
            case "ledger":
                return self.ready[:1]
            case "whole":
                return [WHOLE]
            case "training stage":
                wanted = {s for name in self.names for s in self.platform.catalogue[name].spec.stages}
                return [stage for stage in TRAINING_STAGES if stage in wanted]

    def _phase(self, phase: Phase, run: Run, at_once: int) -> None:
        units = [
            Unit(self._stages(phase, name), name, self._among(phase)) for name in self._partitions(phase)
        ]
        waiting = [unit for unit in units if unit.name not in self.notes.done]
        self.before += len(units) - len(waiting)
        self.done += len(units) - len(waiting)
        self._tell()
        work = [(unit.stages, unit.partition) for unit in waiting]
        for place, ended in spread(run, work, at_once):
            self._ended(waiting[place], ended)

    def _among(self, phase: Phase) -> str:
        """What a run that reads all sources is noted with: where one more is ready, it is another run."""
        return "" if phase.of in {"source", "benchmark"} else key_of(self.ready)[:8]

    def _stages(self, phase: Phase, partition: str) -> tuple[str, ...]:
        """Benchmarks are not scored: nothing is trained on them."""
        if phase.of != "source" or self.platform.catalogue[partition].spec.category != EVALUATION:
            return phase.stages
        return tuple(stage for stage in phase.stages if stage != "scored")

    def _ended(self, unit: Unit, ended: Ended) -> None:
        self.outcomes.extend(ended.outcomes)
        if ended.ok:
            self.notes.add(unit.name)
        elif unit.partition in self.names:
            self.failed.add(unit.partition)
        self.done += 1
        self._tell()

    def _tell(self) -> None:
        self.on_progress(self.done, max(self.done, self.total), self.before)

    def _converge(self, run: Run) -> None:
        """A sample that is dropped later gives its place to a duplicate; each round settles one more."""
        while ready := self.ready:
            late = moved(self.platform) is not None
            if late:
                self._again(LEDGER, ready[0], run)
            others = [name for name in ready if name not in self.failed and behind(self.platform, name)]
            for name in others:
                self._again(DECIDED, name, run)
            if not late and not others:
                return

    def _again(self, stages: tuple[str, ...], partition: str, run: Run) -> None:
        ended = run(stages, partition)
        self.outcomes.extend(ended.outcomes)
        if not ended.ok:
            self.failed.add(partition)
