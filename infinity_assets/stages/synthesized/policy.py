"""What is asked of which picture and what is kept of it: one file."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import blake3
from pydantic import BaseModel, ConfigDict, Field, model_validator

from infinity_assets.yaml_file import read_or_refuse

DEFAULT: Final = Path(__file__).parents[2] / "policies" / "synthesis.yaml"
#: The engine that needs no model; every other name is one of ``engines.yaml``.
RULES: Final = "rules"

Language = Literal["en", "zh"]
Style = Literal["short", "brief", "detailed"]
STYLES: Final[tuple[Style, ...]] = ("short", "brief", "detailed")

#: Fields that decide what is planned, and those that decide what is kept. The others decide what is written.
_PLANNING: Final = (
    "seed",
    "top_k",
    "lines_per_picture",
    "temperature",
    "quota",
    "floor",
    "styles",
    "engine",
    "leaves",
    "shots",
)
_KEEPING: Final = ("novelty", "keep_score", "loss_cut", "loss_cut_ocr")
_MERGING: Final = ("merge", "max_turns")


_EngineName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Writing(BaseModel):
    """How questions and answers are sampled. Verdicts are not: they take the likeliest token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(default=0.7, ge=0, le=2)
    top_p: float = Field(default=0.95, gt=0, le=1)


class SynthesisPolicy(BaseModel):
    """The switches and thresholds of synthesis."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    version: int = Field(ge=1)
    engine: _EngineName  #: that writes: ``rules``, or a name of ``engines.yaml``
    judge: _EngineName | None = None  #: of ``engines.yaml``: that judges; null: the one that writes
    scorer: _EngineName | None = None  #: of ``engines.yaml``: that takes the loss; null: none is taken
    prompts: Path | None = None  #: folder of prompt files, from this file's; null: the package's
    language: Language = "en"  #: of the prompts, and so of what is written
    sampling: Writing = Writing()
    shots: int = Field(default=2, ge=0, le=8)  #: examples of the same leaf that a question is asked with
    leaves: tuple[str, ...] | None = None  #: that a model is asked for; null: all of the tree
    budget: float | None = Field(default=None, gt=0)  #: most that a source may cost, over all runs
    seed: int = Field(ge=0)
    top_k: int = Field(ge=1)  #: kinds of instruction that are drawn from
    lines_per_picture: int = Field(ge=0)  #: 0 switches synthesis off
    temperature: float = Field(gt=0)
    quota: float = Field(gt=0, le=1)  #: largest share of a source's lines that one kind may have
    floor: int = Field(ge=0)  #: lines that each possible kind gets where enough pictures allow it
    styles: dict[Style, float] = Field(min_length=1)  #: weights of the styles of answers
    novelty: float = Field(gt=0, le=1)  #: similarity (Jaccard) from which on a question is not new
    keep_score: int = Field(ge=1, le=10)  #: least score of the judge
    loss_cut: float = Field(gt=0)  #: largest loss, in nats a token
    loss_cut_ocr: float = Field(gt=0)  #: likewise for reading text
    merge: bool
    max_turns: int = Field(ge=1)  #: exchanges of one conversation
    source: str

    @property
    def by_rules(self) -> bool:
        """Whether no model is asked."""
        return self.engine == RULES

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of ``engines.yaml`` that are asked."""
        named = dict.fromkeys((self.engine, self.judge or self.engine, self.scorer or self.engine))
        return () if self.by_rules else tuple(named)

    @model_validator(mode="after")
    def _rules_stand_alone(self) -> Self:
        if self.by_rules and (self.judge or self.scorer):
            raise ValueError(
                "engine rules needs neither judge nor scorer: its answers follow from annotations"
            )
        return self

    @functools.cached_property
    def planning(self) -> str:
        """32 hex characters of what decides the plan."""
        return self._hash(_PLANNING)

    @functools.cached_property
    def keeping(self) -> str:
        """32 hex characters of what decides which lines are kept."""
        return self._hash(_KEEPING)

    @functools.cached_property
    def merging(self) -> str:
        """32 hex characters of what decides how kept lines become conversations."""
        return self._hash(_MERGING)

    def _hash(self, fields: Iterable[str]) -> str:
        content = self.model_dump(mode="json", include=set(fields))
        return blake3.blake3(json.dumps(content, sort_keys=True).encode()).hexdigest(length=16)


def load_synthesis_policy(path: Path | None) -> SynthesisPolicy:
    """The policy in a file; the package's default if None.

    Raises:
        CatalogueError: if the file is missing or wrong; the message names file, line and field.
    """
    path = path or DEFAULT
    policy = read_or_refuse(path, "policy", SynthesisPolicy.model_validate)
    if policy.prompts is not None:
        return policy.model_copy(update={"prompts": path.parent / policy.prompts})
    return policy
