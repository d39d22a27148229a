"""Who wants to know how far a run is: the command line does, Dagster's own processes do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from infinity_assets.stages.publish import StageResult


@dataclass(frozen=True, slots=True)
class StageEvent:
    """A partition of a stage began, got on, or ended one way or the other."""

    stage: str  #: asset name
    partition: str
    kind: Literal["started", "advanced", "finished", "failed"]
    seconds: float = 0.0  #: since it began
    result: StageResult | None = None  #: where it finished
    error: str = ""  #: one line, where it failed
    phase: str = ""  #: of a stage that advances: what is being done
    done: int = 0  #: pieces of the phase
    total: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended, and what became of each stage of it, in order."""

    ok: bool
    outcomes: tuple[StageEvent, ...]


Listener = Callable[[StageEvent], None]

#: What a run materializes: a job by its name, or assets by theirs.
Work = str | tuple[str, ...]


def nobody(event: StageEvent) -> None:
    """The listener of runs that no one watches."""
