"""The OpenAI chat protocol: a request as the bytes of a body, and a body as a reply."""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import orjson

from infinity_assets.models.vlm.parsing import parse
from infinity_assets.models.vlm.replies import Reply, Token, Usage
from infinity_assets.models.vlm.requests import Message, Picture, Request

TEMPLATE_TOKENS = 16  #: that a template may put behind a measured message, at most (our choice)
KEPT_PICTURES = 64 << 20  #: bytes of encoded pictures to keep: each is asked about several times in a row


class Pictures:
    """Pictures as parts of a body, each encoded once while it is in use. Always data, never an address."""

    def __init__(self, limit: int = KEPT_PICTURES) -> None:
        self._limit, self._held = limit, 0
        self._parts: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def part(self, picture: Picture) -> orjson.Fragment:
        """The picture as JSON."""
        key = (picture.image_id, picture.media_type)
        found = self._parts.get(key)
        if found is None:
            kind = orjson.dumps(picture.media_type)[1:-1]
            url = b'"data:%b;base64,%b"' % (kind, base64.b64encode(picture.data))
            found = self._parts[key] = b'{"type":"image_url","image_url":{"url":%b}}' % url
            self._held += len(found)
            while self._held > self._limit and len(self._parts) > 1:
                self._held -= len(self._parts.popitem(last=False)[1])
        else:
            self._parts.move_to_end(key)
        return orjson.Fragment(found)


def encode(request: Request, model: str, pictures: Pictures) -> bytes:
    """The body of a chat completion."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": m.role, "content": _content(m, pictures)} for m in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
    }
    if request.schema is not None:
        named = {"name": "reply", "schema": request.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    if request.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": request.logprobs}
    if request.prompt_logprobs:  # an extension of vLLM
        body["prompt_logprobs"] = 0
        if request.messages[-1].role == "assistant":
            body |= {"add_generation_prompt": False, "continue_final_message": True}
    return orjson.dumps(body)


def _content(message: Message, pictures: Pictures) -> Any:
    if len(message.parts) == 1 and isinstance(message.parts[0], str):
        return message.parts[0]
    return [
        {"type": "text", "text": part} if isinstance(part, str) else pictures.part(part)
        for part in message.parts
    ]


def decode(body: bytes, request: Request, request_hash: str, model: str) -> Reply:
    """What a body with status 200 says.

    Raises:
        ValueError: it is not a chat completion.
    """
    try:
        answer = orjson.loads(body)
        choice = answer["choices"][0]
        message = choice["message"]
        usage = answer.get("usage") or {}
        return finish(
            request,
            Reply(
                request_hash=request_hash,
                model=model,
                text=_text(message.get("content")),
                finish_reason=choice.get("finish_reason"),
                detail=_text(message.get("refusal")) or "",
                logprobs=_logprobs((choice.get("logprobs") or {}).get("content")),
                prompt_logprobs=_prompt_logprobs(answer.get("prompt_logprobs"), _measured(request)),
                usage=Usage(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)),
            ),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"not a chat completion: {type(error).__name__}: {error}") from error


def finish(request: Request, reply: Reply) -> Reply:
    """The reply with its problem or its value: one function for fresh and for kept replies."""
    text, parsed, problem, detail = reply.text, None, None, reply.detail
    if (reply.detail and not text) or reply.finish_reason == "content_filter":
        problem, detail = "refusal", reply.detail or "the provider's filter cut it"
    elif reply.finish_reason == "length" and not request.prompt_logprobs:
        problem, detail = "cut_answer", f"cut after {reply.usage.completion_tokens} tokens"
    elif not text and not request.prompt_logprobs:
        problem, detail = "empty_answer", f"{reply.usage.completion_tokens} tokens and no text"
    elif request.schema is not None and text:
        parsed, detail = parse(text, request.schema)
        problem = "unparsable" if detail else None
    return Reply(
        request_hash=reply.request_hash,
        model=reply.model,
        text=text,
        parsed=parsed,
        finish_reason=reply.finish_reason,
        problem=problem,
        detail=detail,
        logprobs=reply.logprobs,
        prompt_logprobs=reply.prompt_logprobs,
        usage=reply.usage,
        paid=reply.paid,
        machine_s=reply.machine_s,
        cached=reply.cached,
        repaired=reply.repaired,
    )


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"text expected, got {type(value).__name__}")


def _logprobs(content: Any) -> tuple[Token, ...] | None:
    if content is None:
        return None
    return tuple(
        Token(
            item["token"],
            float(item["logprob"]),
            tuple((top["token"], float(top["logprob"])) for top in item.get("top_logprobs") or ()),
        )
        for item in content
    )


def _measured(request: Request) -> int:
    """Tokens at the end of a prompt that may be those of the measured message: one a byte, and a template's.

    A picture is a thousand tokens that nobody reads; kept replies would consist of them.
    """
    last = request.messages[-1]
    if last.role != "assistant":
        return 0
    return sum(len(part.encode()) for part in last.parts if isinstance(part, str)) + TEMPLATE_TOKENS


def _prompt_logprobs(
    content: list[Mapping[str, Any] | None] | None, last: int
) -> tuple[Token | None, ...] | None:
    """vLLM gives a mapping from ids to tokens for each token of the prompt; the token itself stands first.

    Args:
        last: how many to keep, from the end; 0 keeps all.
    """
    if content is None:
        return None
    found: list[Token | None] = []
    for item in content[-last:]:
        first = next(iter(item.values())) if item else None
        found.append(Token(first.get("decoded_token") or "", float(first["logprob"])) if first else None)
    return tuple(found)
