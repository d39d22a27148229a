"""From samples to scores: every exchange asked about, and what the replies say, as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from infinity_assets.models.vlm.prompt_files import Language
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Picture, Request
from infinity_assets.stages.scored.asking import Scores, prompt_names, read_scores, requests_for
from infinity_assets.stages.scored.exchanges import Exchange, Unfit, exchanges
from infinity_assets.stages.scored.policy import Measure, ScoringPolicy
from infinity_assets.stages.scored.schema import AXES, SCORED

#: Asks for all of some requests: replies in their order, drawn from the iterator as places become free.
Ask = Callable[[Iterable[Request]], list[Reply]]

#: Pictures of some samples by id; of those that are there.
Pictures = Callable[[Iterable[str]], Mapping[str, Picture]]

#: Samples whose pictures are in memory at once.
AT_ONCE: Final = 64

#: Problems that another run may not have: a shard with one of them is scored again.
PASSING: Final = frozenset({"budget_spent", "engine_error", "engine_died"})


@dataclass(frozen=True, slots=True)
class Sample:
    """What is read of a sample."""

    sample_id: str
    kind: str | None
    turns: Sequence[Mapping[str, str]]
    media: Sequence[Mapping[str, Any]]
    language: str | None

    @property
    def prompts_in(self) -> Language:
        """Language of the prompts that rate it."""
        return "zh" if self.language == "zh" else "en"


@dataclass(slots=True)
class _Asked:
    """A sample with what was asked about it: for each exchange, measure -> place of the request."""

    sample: Sample
    exchanges: list[Exchange]
    places: list[dict[Measure, int]]
    unfit: str | None = None


def score_samples(
    samples: Sequence[Sample], pictures: Pictures, policy: ScoringPolicy, ask: Ask, model: str
) -> list[dict[str, Any]]:
    """Rows of :data:`SCORED` without ``made_from``, in order.

    Args:
        samples: what is scored.
        pictures: gives their pictures; asked for a few samples at a time.
        policy: measures, and how many exchanges.
        ask: the engine.
        model: its name and revision, as the rows state it.
    """
    asked: list[_Asked] = []
    replies = ask(_requests(samples, pictures, policy, asked))
    return [_row(one, replies, policy, model) for one in asked]


def unscored(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """Rows of samples that nobody was asked about."""
    return [_blank(sample, 0, "no_engine") | {"model": None} for sample in samples]


def to_table(rows: Sequence[Mapping[str, Any]], made_from: str) -> pa.Table:
    """Rows in the schema of ``scored``."""
    return pa.Table.from_pylist([{**row, "made_from": made_from} for row in rows], schema=SCORED.schema)


def _requests(
    samples: Sequence[Sample], pictures: Pictures, policy: ScoringPolicy, asked: list[_Asked]
) -> Iterator[Request]:
    """All requests in order; notes in ``asked`` which is whose. Pictures are let go as their requests are."""
    place = 0
    for first in range(0, len(samples), AT_ONCE):
        group = samples[first : first + AT_ONCE]
        shown = pictures(
            {m["image_id"] for s in group for m in s.media if m["kind"] == "image" and m["image_id"]}
        )
        for sample in group:
            one = _Asked(sample, [], [])
            asked.append(one)
            try:
                found = exchanges(sample.turns, sample.media, shown, policy.exchanges)
            except Unfit as unfit:
                one.unfit = str(unfit)
                continue
            for exchange in found:
                places: dict[Measure, int] = {}
                for measure, request in requests_for(exchange, sample.prompts_in, policy.measures):
                    places[measure], place = place, place + 1
                    yield request
                one.exchanges.append(exchange.without_pictures())
                one.places.append(places)


def _row(one: _Asked, replies: Sequence[Reply], policy: ScoringPolicy, model: str) -> dict[str, Any]:
    if one.unfit is not None:
        return _blank(one.sample, 0, one.unfit) | {"model": model}
    scores: list[Scores] = []
    used: list[Reply] = []
    for exchange, places in zip(one.exchanges, one.places, strict=True):
        mine = {measure: replies[place] for measure, place in places.items()}
        scores.append(read_scores(exchange, mine, policy.measures))
        used += mine.values()
    losses, counts = [s.loss for s in scores], [s.answer_tokens for s in scores]
    known = [(loss, n) for loss, n in zip(losses, counts, strict=True) if loss is not None and n is not None]
    whole = bool(known) and len(known) == len(scores)
    return _blank(one.sample, len(scores), None) | {
        "loss": sum(loss * n for loss, n in known) / sum(n for _, n in known) if whole else None,
        "losses": losses,
        "answer_tokens": counts,
        **{axis: _least([s.ratings[axis] for s in scores]) for axis in AXES},
        "ratings": [dict(s.ratings) for s in scores],
        "loss_problem": next((s.loss_problem for s in scores if s.loss_problem), None),
        "ratings_problem": next((s.ratings_problem for s in scores if s.ratings_problem), None),
        "model": model,
        "prompts": prompt_names(policy.measures, one.sample.prompts_in),
        "requests": [reply.request_hash for reply in used],
        "prompt_tokens": sum(reply.usage.prompt_tokens for reply in used),
        "completion_tokens": sum(reply.usage.completion_tokens for reply in used),
    }


def _least(ratings: Sequence[int | None]) -> int | None:
    """The worst exchange speaks for the sample; null where one was not rated."""
    known = [rating for rating in ratings if rating is not None]
    return min(known) if known and len(known) == len(ratings) else None


def _blank(sample: Sample, count: int, problem: str | None) -> dict[str, Any]:
    return {
        "sample_id": sample.sample_id,
        "kind": sample.kind,
        "exchanges": count,
        "loss": None,
        "losses": [],
        "answer_tokens": [],
        **dict.fromkeys(AXES),
        "ratings": [],
        "loss_problem": problem,
        "ratings_problem": problem,
        "prompts": [],
        "requests": [],
        "prompt_tokens": 0,
        "completion_tokens": 0,
    }
