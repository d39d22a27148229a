"""Which model scores samples, and what it is asked for: one file."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Annotated, Final, Literal

import blake3
from pydantic import BaseModel, ConfigDict, Field

from infinity_assets.yaml_file import read_or_refuse

DEFAULT: Final = Path(__file__).parents[2] / "policies" / "scoring.yaml"
Measure = Literal["loss", "text_ratings", "picture_ratings"]


class ScoringPolicy(BaseModel):
    """The scorer: one model for all samples of a deployment, so that scores can be compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    version: int = Field(ge=1)
    engine: str | None  #: a name of ``engines.yaml``; null: nothing is scored
    measures: frozenset[Measure] = Field(min_length=1)
    exchanges: int = Field(ge=1)  #: of a conversation that are scored, from its beginning
    budget: float | None = Field(default=None, gt=0)  #: of one source and run, in the engine's currency
    source: str

    @functools.cached_property
    def hash(self) -> str:
        """32 hex characters of what decides which scores a sample gets from a given model."""
        content = {"measures": sorted(self.measures), "exchanges": self.exchanges}
        return blake3.blake3(json.dumps(content, sort_keys=True).encode()).hexdigest(length=16)


def load_scoring_policy(path: Path | None) -> ScoringPolicy:
    """The policy in a file; the package's default if None.

    Raises:
        CatalogueError: if the file is missing or wrong; the message names file, line and field.
    """
    return read_or_refuse(path or DEFAULT, "policy", ScoringPolicy.model_validate)
