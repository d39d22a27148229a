"""The loss of an answer: how much it surprises a model that reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Message, Request, Sampling

#: Stands in a request in the place of a prompt file: the conversation is measured as it is.
LOSS_PROMPT = "loss@1"

_BROKEN = "\ufffd"  #: a decoder's sign for a token that is part of a character


def loss_request(messages: Sequence[Message], tag: str = "") -> Request:
    """Measure the last message, which must be the assistant's.

    Only servers with vLLM's ``prompt_logprobs`` can; others reply without them, or with ``bad_request``.
    """
    assert messages[-1].role == "assistant"
    sampling = Sampling(max_tokens=1)
    return Request(tuple(messages), sampling, LOSS_PROMPT, prompt_logprobs=True, tag=tag)


@dataclass(frozen=True, slots=True)
class Loss:
    """Of one answer."""

    mean: float  #: nats a token, not negative
    tokens: int


def masked_loss(reply: Reply, answer: str) -> Loss | None:
    """The loss over the tokens of the answer alone, as training masks it (Infinity-MM, arXiv 2410.18558).

    Args:
        reply: to a :func:`loss_request`.
        answer: text of the measured message.

    Returns:
        Null where the request failed, or where the prompt's last tokens do not spell the answer: then the
        server's template changed the text, and no token can be told to be the answer's.
    """
    if reply.problem is not None or reply.prompt_logprobs is None:
        return None
    span = _spelling(
        "".join(answer.split()), [token.text if token else "" for token in reply.prompt_logprobs]
    )
    masked = reply.prompt_logprobs[span] if span else ()
    known = [token.logprob for token in masked if token is not None]
    if not known or len(known) != len(masked):
        return None
    return Loss(max(0.0, -sum(known) / len(known)), len(known))


def _spelling(text: str, tokens: Sequence[str]) -> slice | None:
    """The last tokens, if they spell a text without its white space, which decoders add and drop.

    A character may be cut over several tokens, none of which decodes alone. A run of such tokens stands for
    at least one character and for no more than it shows.
    """
    end = len(tokens)
    while end and not tokens[end - 1].strip():  # a template may end with a line break of its own
        end -= 1
    rest, at, run, begun = text, end, 0, end
    while rest:
        if not at:
            return None
        at -= 1
        piece = "".join(tokens[at].split())
        if not piece:
            continue
        if _BROKEN in piece:
            run, begun = run + len(piece), at
            continue
        most = min(run, len(rest))
        before = [rest[: len(rest) - swallowed] for swallowed in range(min(run, 1), most + 1)]
        fit = next((left for left in before if left.endswith(piece)), None)
        if fit is not None:
            rest, run = fit[: len(fit) - len(piece)], 0
        elif any(left and piece.endswith(left) for left in before):  # the template's end in the same token
            rest = ""
        elif "" in before:  # the answer began with the run
            rest, at = "", begun
        else:
            return None
    return slice(at, end) if text else None
