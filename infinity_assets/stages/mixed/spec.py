"""What a training stage asks for, as a file: quotas, caps, weights, epochs, a token budget."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    field_validator,
    model_validator,
)

from infinity_assets.sources.model import Category, TrainingStage
from infinity_assets.stages.filtered.policy import MARKS
from infinity_assets.yaml_file import read_or_refuse

DEFAULT_MIXES = Path(__file__).resolve().parents[2] / "policies" / "mixes.yaml"

Score = Literal["loss", "formatting", "relevance", "visual_dependency", "image_correspondence"]

Positive = Annotated[int, Field(ge=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(_Model):
    """One of several disjoint parts of the same samples: Infinity-MM cuts its stage 2 into a, b and c."""

    name: str  #: what is cut; stages that name the same one share the cut
    index: int = Field(ge=0)
    of: int = Field(ge=2)

    @model_validator(mode="after")
    def _inside(self) -> Part:
        if self.index >= self.of:
            raise ValueError(f"index {self.index} is not below {self.of}; the first part has index 0")
        return self


class Bounds(_Model):
    """Which values of a score are taken, both ends included."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _some(self) -> Bounds:
        low, high = self.min, self.max
        if (low is None and high is None) or (low is not None and high is not None and low > high):
            raise ValueError("give min, max, or both with min not above max")
        return self


class MixSpec(_Model):
    """What one training stage asks for. Counts are those of the full mix; ``scale`` multiplies all of them.

    A *line* is one reading of a sample in training; quotas, ``samples`` and ``token_budget`` count lines. A
    cap counts samples. A category without a quota does not enter, except that a mix with neither quotas nor
    shares takes all of everything.
    """

    quotas: dict[Category, int] = Field(default_factory=dict)  #: lines by category
    samples: int | None = Field(default=None, ge=1)  #: lines that ``shares`` divide
    shares: dict[Category, float] = Field(default_factory=dict)  #: fractions of ``samples``; they add up to 1
    #: By source: multiplies its natural part of its category (its number of samples, capped); 1 if absent.
    weights: dict[str, float] = Field(default_factory=dict)
    #: By source: most samples; the catalogue's cap holds as well.
    caps: dict[str, Positive] = Field(default_factory=dict)
    #: Most samples about the same or near pictures (a visual cluster of the ledger); any number by default.
    max_per_visual_cluster: int | None = Field(default=None, ge=1)
    #: Marks (``findings`` of ``filtered``) that keep a sample out, such as high_loss or blurry.
    without: tuple[str, ...] = ()
    #: By score of ``scored``: what is taken. A sample without the score is taken.
    scores: dict[Score, Bounds] = Field(default_factory=dict)
    synthetic: bool = False  #: whether conversations of ``synthesized`` may enter, by their source's category
    #: Most lines of one sample: it repeats only where a quota runs short, or where there is no quota.
    epochs: int = Field(default=1, ge=1)
    token_budget: int | None = Field(default=None, ge=1)  #: most tokens (question + answer) of all lines
    part: Part | None = None
    seed: int = 0
    scale: float = Field(default=1.0, gt=0, le=1000)

    @field_validator("quotas")
    @classmethod
    def _not_negative(cls, value: dict[Category, int]) -> dict[Category, int]:
        if any(v < 0 for v in value.values()):
            raise ValueError("a quota is 0 or more")
        return value

    @field_validator("without")
    @classmethod
    def _known_marks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - MARKS)
        if unknown:
            raise ValueError(f"no such mark: {', '.join(unknown)}; there are: {', '.join(sorted(MARKS))}")
        return value

    @field_validator("weights", "shares")
    @classmethod
    def _finite(cls, value: dict[str, float]) -> dict[str, float]:
        if any(not 0 <= v < float("inf") for v in value.values()):
            raise ValueError("a weight or share is a number, 0 or more")
        return value

    @model_validator(mode="after")
    def _one_way_to_ask(self) -> MixSpec:
        if self.quotas and (self.shares or self.samples):
            raise ValueError("give quotas, or samples with shares, not both")
        if bool(self.shares) != bool(self.samples):
            raise ValueError("shares need samples (what they are shares of), and samples need shares")
        if self.shares and abs(sum(self.shares.values()) - 1) > 1e-6:
            raise ValueError(f"shares add up to {sum(self.shares.values()):g}, not 1")
        return self

    def scaled(self, count: int) -> int:
        """A count of the full mix at this scale, rounded half up; at least 1 where it was."""
        return max(1, int(count * self.scale + 0.5)) if count else 0

    def asked(self) -> dict[str, int] | None:
        """Lines asked for by category at this scale, or None: all of everything."""
        if self.shares:
            assert self.samples is not None
            wanted = {str(c): share * self.scaled(self.samples) for c, share in sorted(self.shares.items())}
            return apportion(self.scaled(self.samples), wanted)
        if self.quotas:
            return {str(c): self.scaled(n) for c, n in sorted(self.quotas.items())}
        return None


def apportion(total: int, claims: Mapping[str, float]) -> dict[str, int]:
    """Divide a whole number in proportion to claims, by largest remainders; ties go to the first name.

    The parts add up to ``total`` unless every claim is 0: then all parts are 0.
    """
    weight = sum(claims.values())
    if weight <= 0:
        return dict.fromkeys(claims, 0)
    exact = {name: total * claim / weight for name, claim in claims.items()}
    parts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted((n for n in claims if claims[n] > 0), key=lambda n: (parts[n] - exact[n], n))
    for name in by_remainder[: total - sum(parts.values())]:
        parts[name] += 1
    return parts


def load_mixes(path: Path | None) -> Mapping[str, MixSpec]:
    """The mixes of a file, by training stage.

    The file has ``mixes``, a mapping from training stage to :class:`MixSpec`, and may have ``scale`` and
    ``seed``, which hold for every mix that does not give its own.

    Args:
        path: the file; Infinity-MM's six training stages if None.

    Raises:
        CatalogueError: listing every problem with file and line.
    """
    return read_or_refuse(path or DEFAULT_MIXES, "mixes", _parse)


class _File(_Model):
    scale: float = Field(default=1.0, gt=0, le=1000)
    seed: int = 0
    mixes: dict[TrainingStage, dict[str, Any]] = Field(min_length=1)

    @field_validator("mixes", mode="before")
    @classmethod
    def _stage_names(cls, value: object) -> object:
        return {str(k): v for k, v in value.items()} if isinstance(value, dict) else value


class _Mixes(_Model):
    mixes: dict[str, MixSpec]


def _parse(value: object) -> Mapping[str, MixSpec]:
    file = TypeAdapter(_File).validate_python(value)
    shared = {"scale": file.scale, "seed": file.seed}
    return _Mixes.model_validate({"mixes": {s: {**shared, **spec} for s, spec in file.mixes.items()}}).mixes
