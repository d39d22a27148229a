"""What a vision-language model is asked, and the hash under which its reply is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from blake3 import blake3

#: Changes when the meaning of a request changes; every cached reply is then asked for again.
REQUEST_VERSION = 1


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512  #: of the reply
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture. ``image_id`` is the BLAKE3-128 of ``data`` in hex; hashes use it for the bytes."""

    image_id: str
    data: bytes = field(repr=False)
    media_type: str  #: such as ``image/jpeg``


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: texts and pictures in their order."""

    role: str  #: system, user or assistant
    parts: tuple[str | Picture, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model.

    With ``prompt_logprobs`` and an assistant's message at the end, that message is not answered but measured:
    the prompt ends with its text.
    """

    messages: tuple[Message, ...]
    sampling: Sampling
    prompt: str  #: ``name@version`` of the prompt file it was built from
    schema: Mapping[str, Any] | None = None  #: JSON schema that the reply has to follow
    logprobs: int | None = None  #: alternatives to report for each token of the reply
    prompt_logprobs: bool = False
    tag: str = ""  #: label of the caller, for grouping costs; not part of the hash

    def request_hash(self, model: str, revision: str) -> str:
        """BLAKE3-128 of all that determines the reply: model, prompt, messages, sampling, schema."""
        sampling = self.sampling
        what = [
            REQUEST_VERSION,
            model,
            revision,
            self.prompt,
            [
                [message.role, [p if isinstance(p, str) else {"image": p.image_id} for p in message.parts]]
                for message in self.messages
            ],
            [sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed],
            self.schema,
            self.logprobs,
            self.prompt_logprobs,
        ]
        return blake3(orjson.dumps(what, option=orjson.OPT_SORT_KEYS)).hexdigest(length=16)
