"""Which runs a backfill is made of: pure, from names alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from infinity_assets.errors import CatalogueError
from infinity_assets.stages.exported.formats import EXPORTERS
from infinity_assets.stages.exported.schema import exported_spec

#: What a run of a phase is of. ``ledger`` spans all sources: one run, recorded for each of them.
Of = Literal["source", "benchmark", "ledger", "whole", "training stage"]


@dataclass(frozen=True, slots=True)
class Phase:
    """Stages that one run materializes together. The next phase begins when all runs of this one ended."""

    of: Of
    stages: tuple[str, ...]


#: Every stage, in the order in which a backfill runs them.
ORDER: Final = (
    Phase("source", ("raw", "images", "unified")),
    Phase("benchmark", ("benchmark_fingerprints",)),
    Phase("ledger", ("duplicate_ledger",)),
    Phase("source", ("deduped", "tagged")),
    Phase("whole", ("tag_associations",)),
    Phase("source", ("synthesis_plan", "synthesis_qa", "synthesized", "scored", "filtered")),
    Phase("training stage", ("mixed", *(exported_spec(name).name for name in sorted(EXPORTERS)))),
)
STAGES: Final = tuple(stage for phase in ORDER for stage in phase.stages)

#: Stages that one function publishes: asking for one asks for all.
TOGETHER: Final = (
    frozenset({"images", "unified"}),
    frozenset({"synthesis_plan", "synthesis_qa", "synthesized"}),
)


def phases(stages: Sequence[str]) -> list[Phase]:
    """The phases of a backfill of these stages: as few runs as their order allows.

    Raises:
        CatalogueError: if there is no such stage; the message has all names.
    """
    unknown = sorted(set(stages) - set(STAGES))
    if unknown:
        raise CatalogueError(f"no stage {', '.join(unknown)}; there are: {', '.join(STAGES)}")
    wanted = set(stages)
    for group in TOGETHER:
        if wanted & group:
            wanted |= group
    found: list[Phase] = []
    for phase in ORDER:
        chosen = tuple(stage for stage in phase.stages if stage in wanted)
        if not chosen:
            continue
        if found and found[-1].of == phase.of:
            found[-1] = Phase(phase.of, (*found[-1].stages, *chosen))
        else:
            found.append(Phase(phase.of, chosen))
    return found


def seconds_left(done: float, total: float, elapsed: float) -> float | None:
    """Seconds until the end, if what is left takes as long as what was done; None before anything was."""
    return None if done <= 0 else elapsed / done * max(0.0, total - done)
