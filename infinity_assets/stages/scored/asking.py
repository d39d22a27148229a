"""What the scorer is asked about an exchange, and what is read from its replies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from infinity_assets.models.vlm.loss import LOSS_PROMPT, loss_request, masked_loss
from infinity_assets.models.vlm.prompt_files import Language, fill, prompt_name, read_prompt
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Message, Picture, Request, Sampling
from infinity_assets.stages.scored.exchanges import Exchange
from infinity_assets.stages.scored.policy import Measure
from infinity_assets.stages.scored.schema import AXES, PICTURE_AXES, TEXT_AXES

#: Raised whenever the same replies would give other scores.
SCORE_VERSION: Final = 1

PROMPTS: Final = Path(__file__).with_name("prompts")
#: Latest version of each prompt; earlier ones stay, so that what they gave can be read.
LATEST: Final = {"text_ratings": 1, "picture_ratings": 1}
_AXES: Final[Mapping[str, tuple[str, ...]]] = {"text_ratings": TEXT_AXES, "picture_ratings": PICTURE_AXES}

RATING_TOKENS: Final = 64  #: of a reply: two small numbers

#: Why a loss is null, beside what the engine tells (``PROBLEMS`` of models/vlm) and ``UNFIT``.
LOSS_PROBLEMS: Final = {
    "no_engine": "no engine is named in scoring.yaml",
    "blank_answer": "an answer has no text",
    "no_logprobs": "the server gives no prompt logprobs",
    "not_aligned": "the prompt's tokens do not end with the answer",
}


@dataclass(frozen=True, slots=True)
class Scores:
    """Of one exchange."""

    loss: float | None
    answer_tokens: int | None
    ratings: Mapping[str, int | None]  #: by axis
    loss_problem: str | None
    ratings_problem: str | None


def requests_for(
    exchange: Exchange, language: Language, measures: Collection[Measure]
) -> Iterator[tuple[Measure, Request]]:
    """What is asked about one exchange, in the order of the measures' names.

    Args:
        exchange: what is scored.
        language: of the prompts: ``en`` or ``zh``.
        measures: that are wanted. Pictures are rated only where there are any.
    """
    if "loss" in measures and exchange.answer:
        said = Message("assistant", (exchange.answer,))
        yield "loss", loss_request((*exchange.before, said), tag="loss")
    if "picture_ratings" in measures and exchange.pictures:
        yield "picture_ratings", _rating("picture_ratings", exchange, language)
    if "text_ratings" in measures:
        yield "text_ratings", _rating("text_ratings", exchange, language)


def prompt_names(measures: Collection[Measure], language: Language) -> list[str]:
    """``name@version`` of every prompt that may be used for a sample."""
    named = [prompt_name(m, LATEST[m], language) for m in sorted(measures) if m != "loss"]
    return ([LOSS_PROMPT] if "loss" in measures else []) + named


def read_scores(
    exchange: Exchange, replies: Mapping[Measure, Reply], measures: Collection[Measure]
) -> Scores:
    """Scores of one exchange; whatever failed is null, with the first reason."""
    loss, tokens, loss_problem = None, None, None
    if "loss" in measures:
        loss, tokens, loss_problem = _loss(exchange, replies.get("loss"))
    ratings: dict[str, int | None] = dict.fromkeys(AXES)
    ratings_problem = None
    for measure, axes in _AXES.items():
        reply = replies.get(measure)  # type: ignore[call-overload]
        if reply is None:
            continue
        if reply.problem is not None:
            ratings_problem = ratings_problem or reply.problem
        else:
            ratings |= {axis: int(reply.parsed[axis]) for axis in axes}
    return Scores(loss, tokens, ratings, loss_problem, ratings_problem)


def _loss(exchange: Exchange, reply: Reply | None) -> tuple[float | None, int | None, str | None]:
    if reply is None:
        return None, None, "blank_answer"
    if reply.problem is not None:
        return None, None, reply.problem
    if reply.prompt_logprobs is None:
        return None, None, "no_logprobs"
    found = masked_loss(reply, exchange.answer)
    return (found.mean, found.tokens, None) if found else (None, None, "not_aligned")


def _rating(measure: Measure, exchange: Exchange, language: Language) -> Request:
    words = {"question": exchange.question, "answer": exchange.answer}
    text = fill(read_prompt(PROMPTS, measure, LATEST[measure], language), words)
    parts: tuple[str | Picture, ...] = (*exchange.pictures, text) if measure == "picture_ratings" else (text,)
    return Request(
        (Message("user", parts),),
        Sampling(max_tokens=RATING_TOKENS),
        prompt_name(measure, LATEST[measure], language),
        schema=_schema(_AXES[measure]),
        tag=measure,
    )


@cache
def _schema(axes: Sequence[str]) -> Mapping[str, Any]:
    points = {"type": "integer", "enum": [1, 2, 3, 4, 5]}
    return {
        "type": "object",
        "properties": dict.fromkeys(axes, points),
        "required": list(axes),
        "additionalProperties": False,
    }
