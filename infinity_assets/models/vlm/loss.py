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

    A character may be cut over several tokens, none of which decodes alone: each sign of a broken token
    stands for a character outside of ASCII, or for a part of one. Of several readings the longest holds.
    """
    end = len(tokens)
    while end and not tokens[end - 1].strip():  # a template may end with a line break of its own
        end -= 1
    begun, at, left = None, end, {len(text)}  # how many characters may still be to the left
    while at and left:
        at -= 1
        piece = "".join(tokens[at].split())
        if not piece:
            continue
        left = {place for before in left for place in _without(text, before, piece)}
        if 0 in left:
            begun = at
            left.discard(0)
    if begun is None or not text:
        return None
    while begun and tokens[begun - 1] and not tokens[begun - 1].strip(_BROKEN):
        begun -= 1  # the first bytes of the first character
    return slice(begun, end)


def _without(text: str, before: int, piece: str) -> set[int]:
    """How much of ``text[:before]`` is left of a token that ends there; nothing where it does not fit."""
    clean = piece.strip(_BROKEN)
    if _BROKEN in clean:
        return set()  # characters on either side of a broken one: no decoder of one token writes that
    if not clean:
        return _skipped(text, before, len(piece))
    found = set()
    for end in _skipped(text, before, len(piece) - len(piece.rstrip(_BROKEN))):
        if text.endswith(clean, 0, end):
            found |= _skipped(text, end - len(clean), len(piece) - len(piece.lstrip(_BROKEN)))
        elif 0 < end < len(clean) and clean == piece and clean.endswith(text[:end]):
            found.add(0)  # the template's end is in the same token
    return found


def _skipped(text: str, before: int, signs: int) -> set[int]:
    """Where ``before`` may come to lie when some broken signs are read: each takes one character or none."""
    found = {before}
    for _ in range(signs):
        if before == 0 or text[before - 1].isascii():
            break
        before -= 1
        found.add(before)
    return found
