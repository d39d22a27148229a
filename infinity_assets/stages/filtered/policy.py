"""The policy: one file that says what is dropped, what is only annotated, and from which threshold on."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Literal

import blake3
from pydantic import BaseModel, ConfigDict, Field, field_validator

from infinity_assets.sources.model import Category
from infinity_assets.stages.duplicate_ledger.policy import DuplicatePolicy
from infinity_assets.stages.filtered.contamination.kinds import KINDS, ContaminationPolicy
from infinity_assets.stages.filtered.scores import SCORE_RULES, ScorePolicy
from infinity_assets.yaml_file import read_or_refuse

DEFAULT = Path(__file__).parents[2] / "policies" / "default.yaml"
Action = Literal["drop", "annotate"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a code means: which measure it looks at, and on which side of the limit a sample fails."""

    measure: str
    fails: Literal["above", "below"]
    meaning: str


#: Every rule that a policy may use, in the order in which a dropped sample's reason is chosen: first the
#: format, then the text, then the pictures. A sample without the measure passes the rule.
RULES: Final[Mapping[str, Rule]] = {
    "empty_turn": Rule("empty_turns", "above", "turns without text or marker"),
    "roles_not_alternating": Rule("role_breaks", "above", "neighbouring turns of one role"),
    "no_question": Rule("no_question", "above", "1 where the first turn (system left out) is not the user's"),
    "no_answer": Rule("no_answer", "above", "1 where the last turn is not the assistant's"),
    "marker_missing": Rule("marker_gap", "above", "difference between markers and images"),
    "no_conversation": Rule("turns", "below", "turns; 0 for a sample that has annotations alone"),
    "repeated_text": Rule(
        "repeated_share", "above", "share of an answer's 4-grams that occurred before in it"
    ),
    "question_too_short": Rule("question_tokens", "below", "tokens of the user's turns"),
    "turn_too_long": Rule("longest_turn_tokens", "above", "tokens of the longest turn"),
    "tokens_over": Rule("tokens", "above", "tokens of questions and answers"),
    "answer_leak": Rule("answer_leaks", "above", "user turns that state an answer"),
    "boilerplate_answer": Rule("boilerplate_answers", "above", "answers that refuse or speak of being an AI"),
    "language_mismatch": Rule("foreign_language", "above", "probability of a language the catalogue lacks"),
    "image_too_small": Rule("image_short_side", "below", "pixels of the shortest side of any image"),
    "image_too_large_side": Rule("image_long_side", "above", "pixels of the longest side of any image"),
    "aspect_too_wide": Rule("image_aspect", "above", "long side over short side, the most of any image"),
    "blurry": Rule("image_blur", "below", "variance of the Laplacian, the least of any image"),
    "low_entropy": Rule("image_entropy", "below", "bits of the grey histogram, the least of any image"),
}

#: Codes of the licence, before all rules. ``unlicensed`` covers denied and unknown licences.
LICENCE_CODES: Final = ("unlicensed", "licence_noncommercial")

#: Every finding that a sample may have, dropped or not.
MARKS: Final = frozenset({*RULES, *SCORE_RULES, *KINDS, *LICENCE_CODES})


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RulePolicy(_Model):
    """One rule's threshold and what follows from failing it."""

    action: Action
    limit: float | None  #: in the measure's unit; null: never fails
    limits: dict[Category, float | None] = Field(default_factory=dict)  #: where a category differs
    source: str  #: paper section, or "our choice" with the reason

    def limit_for(self, category: str) -> float | None:
        """The threshold for a source of this category."""
        return dict(self.limits).get(category, self.limit)  # type: ignore[call-overload,no-any-return]


class LicencePolicy(_Model):
    """What follows from a row's licence. Names are shell patterns, compared without case."""

    deny: list[str]  #: always dropped
    unknown_names: list[str]  #: ids that say that nobody knows
    unknown: Action
    noncommercial_names: list[str]
    noncommercial: Action
    source: str

    def finding(self, licence: str) -> tuple[str, Action] | None:
        """The code and action for a licence, or None where it is fine."""
        name = licence.strip().casefold()
        if _listed(name, self.deny):
            return "unlicensed", "drop"
        if _listed(name, self.unknown_names):
            return "unlicensed", self.unknown
        if _listed(name, self.noncommercial_names):
            return "licence_noncommercial", self.noncommercial
        return None


class BalancePolicy(_Model):
    """When the answers of a whole source lean to one side. Reported for the source; drops no row."""

    limit: float = Field(gt=0, le=1)  #: largest share that one answer may have
    min_answers: int = Field(ge=1)  #: fewer say nothing
    source: str


class PictureTagPolicy(_Model):
    """Which of the tags that a model sees in a picture count; the model's own thresholds hold beside it."""

    min_logit: float = 1.4
    source: str = "Infinity-MM"


class ModelTagPolicy(_Model):
    """What tagging and labelling by a model that is asked (``vlm``) may cost."""

    budget: float | None = Field(default=None, gt=0)  #: most that a source may cost, over all runs


class Policy(_Model):
    """What is dropped and what is annotated."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    version: int = Field(ge=1)
    rules: dict[str, RulePolicy]  #: a rule that is not named here is measured but never fails
    licences: LicencePolicy
    yes_bias: BalancePolicy
    letter_bias: BalancePolicy
    contamination: ContaminationPolicy = ContaminationPolicy()
    scores: ScorePolicy = ScorePolicy()
    duplicates: DuplicatePolicy = DuplicatePolicy()  #: of the ledger; it decides nothing here
    picture_tags: PictureTagPolicy = PictureTagPolicy()  #: of ``tagged``, likewise
    model_tags: ModelTagPolicy = ModelTagPolicy()  #: of ``tagged``, likewise

    @field_validator("rules")
    @classmethod
    def _known_rules(cls, value: dict[str, RulePolicy]) -> dict[str, RulePolicy]:
        unknown = sorted(set(value) - set(RULES))
        if unknown:
            raise ValueError(f"no such rule: {', '.join(unknown)}; there are: {', '.join(RULES)}")
        return value

    @functools.cached_property
    def hash(self) -> str:
        """32 hex characters of everything that decides here: not of comments, order or sources."""
        content = self.model_dump(mode="json", exclude={"duplicates", "picture_tags", "model_tags"})
        for part in (
            *content["rules"].values(),
            content["licences"],
            content["yes_bias"],
            content["letter_bias"],
            *content["contamination"].values(),
            *content["scores"].values(),
        ):
            del part["source"]
        return blake3.blake3(json.dumps(content, sort_keys=True).encode()).hexdigest(length=16)


def load_policy(path: Path | None) -> Policy:
    """The policy in a file; the package's default if None.

    Raises:
        CatalogueError: if the file is missing or wrong; the message names file, line and field.
    """
    return read_or_refuse(path or DEFAULT, "policy", Policy.model_validate)


def _listed(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern.casefold()) for pattern in patterns)
