"""What a model said of samples, against the policy: percentile cuts of the loss, least ratings.

A loss means something only beside others of its like: long answers have a low one, numbers a high one. So its
cut is a percentile of the source's samples with the same kind of question, and written samples are a kind of
their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from infinity_assets.stages.scored.schema import AXES
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Published, Shard

#: Rule -> what it looks at. A sample without the score passes.
SCORE_RULES: Final[Mapping[str, str]] = {"high_loss": "loss"} | {f"low_{axis}": axis for axis in AXES}

#: Columns of ``scored`` that are read, and the cut of each sample's kind.
SCORE_COLUMNS: Final = ("sample_id", "loss", *AXES)
NO_SCORES: Final = pl.DataFrame(
    schema={"sample_id": pl.String, "loss": pl.Float32}
    | dict.fromkeys(AXES, pl.Int8)
    | {"loss_cut": pl.Float64}
)
_FINENESS: Final = 100  #: cuts are rounded up to 1/100 nat: a few new samples then move none


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LossPolicy(_Model):
    """From which loss on a sample stands out among its like."""

    action: Literal["drop", "annotate"] = "annotate"
    percentile: float | None = Field(default=95.0, gt=0, lt=100)  #: null: none stands out
    min_samples: int = Field(default=100, ge=1)  #: of a kind; below, those of the whole source are its like
    source: str = "papers 1.4 and 5.2"


class RatingPolicy(_Model):
    """The least rating."""

    action: Literal["drop", "annotate"] = "annotate"
    limit: int | None = Field(default=3, ge=1, le=5)  #: below it a sample fails; null: none does
    source: str = "our choice"


class ScorePolicy(_Model):
    """What follows from a model's scores, where there are any."""

    high_loss: LossPolicy = LossPolicy()
    low_formatting: RatingPolicy = RatingPolicy()
    low_relevance: RatingPolicy = RatingPolicy()
    low_visual_dependency: RatingPolicy = RatingPolicy(limit=2)
    low_image_correspondence: RatingPolicy = RatingPolicy()

    def rating(self, code: str) -> RatingPolicy:
        """That of a rule other than ``high_loss``."""
        found: RatingPolicy = getattr(self, code)
        return found


class Scores:
    """The published scores of a source, and the cuts that follow from all of them."""

    def __init__(self, published: Published, policy: ScorePolicy) -> None:
        self.published = published
        told = published.read(["kind", "loss"], "loss IS NOT NULL")
        self.cuts, self.otherwise = loss_cuts(pl.DataFrame(pl.from_arrow(told)), policy.high_loss)
        self._shards = {shard.stats["ids"]: shard for shard in published.shards}

    def key(self, shard: Shard) -> str:
        """What of the scores decides about the samples of a shard of ``tagged`` or ``synthesized``."""
        found = self._shards.get(shard.stats["ids"])
        return "" if found is None else key_of(found.digest, sorted(self.cuts.items()), self.otherwise)

    def of(self, shard: Shard) -> pl.DataFrame:
        """Scores of its samples, in any order; of samples that changed since there are none."""
        found = self._shards.get(shard.stats["ids"])
        if found is None:
            return NO_SCORES
        rows = self.published.read_shard(found, [*SCORE_COLUMNS, "kind"])
        cut = pl.col("kind").replace_strict(self.cuts, default=self.otherwise, return_dtype=pl.Float64)
        frame = pl.DataFrame(pl.from_arrow(rows)).with_columns(loss_cut=cut)
        return frame.select(NO_SCORES.columns)

    @property
    def notes(self) -> dict[str, Any]:
        """For the asset page."""
        cuts = {"*": self.otherwise} | dict(sorted(self.cuts.items()))
        return {"loss_cuts": {kind: cut for kind, cut in cuts.items() if cut is not None}}


def loss_cuts(losses: pl.DataFrame, policy: LossPolicy) -> tuple[dict[str, float], float | None]:
    """The loss above which samples of each kind stand out, and that for kinds too small to have their own.

    Args:
        losses: ``kind`` and ``loss``, without nulls of the latter; the order does not matter.
        policy: percentile and size.

    Returns:
        Cuts in nats, rounded up; null where the whole source is too small, or the policy wants none.
    """
    if policy.percentile is None:
        return {}, None
    known = losses.with_columns(pl.col("loss").cast(pl.Float64))
    at = pl.col("loss").quantile(policy.percentile / 100, "linear")
    sized = known.drop_nulls("kind").group_by("kind").agg(pl.len(), cut=at)
    own = sized.filter(pl.col("len") >= policy.min_samples)
    cuts = {str(kind): _rounded(cut) for kind, cut in own.select("kind", "cut").iter_rows()}
    whole = _rounded(known.select(at).item()) if len(known) >= policy.min_samples else None
    return cuts, whole


def score_findings(
    policy: ScorePolicy,
) -> tuple[list[pl.Expr], list[pl.Expr], list[pl.Expr]]:
    """Expressions over the columns of :data:`NO_SCORES`: findings, dropping reasons and their details."""
    found: list[pl.Expr] = []
    reasons: list[pl.Expr] = []
    details: list[pl.Expr] = []
    for code, measure in SCORE_RULES.items():
        settings: LossPolicy | RatingPolicy
        if code == "high_loss":
            settings = policy.high_loss
            fails = pl.col("loss") > pl.col("loss_cut")
            text = pl.format("loss {} is above {} of its like", pl.col("loss").round(4), pl.col("loss_cut"))
        else:
            settings = rating = policy.rating(code)
            if rating.limit is None:
                continue
            fails = pl.col(measure) < rating.limit
            text = pl.format("{} {} is below {}", pl.lit(measure), pl.col(measure), pl.lit(rating.limit))
        failed = pl.when(fails.fill_null(False))
        found.append(failed.then(pl.lit(code)))
        if settings.action == "drop":
            reasons.append(failed.then(pl.lit(code)))
            details.append(failed.then(text))
    return found, reasons, details


def _rounded(cut: float) -> float:
    return math.ceil(cut * _FINENESS - 1e-9) / _FINENESS
