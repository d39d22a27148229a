"""What a vision-language model gave back. A reply that cannot be used says why; it is never guessed at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: Why a reply cannot be used. The first four were paid for and are kept; the others are asked again.
PROBLEMS = {
    "cut_answer": "the model reached max_tokens",
    "refusal": "the model or its provider's filter refused",
    "empty_answer": "the model said nothing",
    "unparsable": "not JSON of the schema, after one repair",
    "bad_request": "the server does not accept the request: a broken picture, too long a prompt",
    "engine_error": "the server failed at this request each time, and answered others",
    "engine_died": "the server died of this request, with no other at work",
    "budget_spent": "not sent: the budget was spent",
}
PAID = frozenset({None, "cut_answer", "refusal", "empty_answer", "unparsable"})


@dataclass(frozen=True, slots=True)
class Token:
    """One token and its natural log probability; ``top`` has the alternatives that were asked for."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a reply cost, its repair included."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0  #: wall time from sending to the last byte, waits between attempts left out
    cost: float = 0.0  #: in the currency of the price table; 0 for a cached reply

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.seconds + other.seconds,
            self.cost + other.cost,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to one request."""

    request_hash: str
    model: str
    text: str | None = None
    parsed: Any | None = None  #: the JSON value, where a schema was given and the reply follows it
    finish_reason: str | None = None  #: as the server said
    problem: str | None = None  #: a key of ``PROBLEMS``; null where the reply can be used
    detail: str = ""  #: the problem in words
    logprobs: tuple[Token, ...] | None = None
    prompt_logprobs: tuple[Token | None, ...] | None = None
    """Of the prompt's tokens, null for its first; where its last message is measured, only of its end."""
    usage: Usage = field(default_factory=Usage)
    paid: float = 0.0  #: what it cost when it was asked, also where it is replayed now
    machine_s: float = 0.0  #: its share of the wall time while requests were at work, likewise
    cached: bool = False
    repaired: bool = False  #: the model was asked once more, since its first reply did not follow the schema
