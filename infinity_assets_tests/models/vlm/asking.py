"""What the tests of the client share."""

from __future__ import annotations

from typing import Any

from infinity_assets.models.vlm.ask import complete_all
from infinity_assets.models.vlm.client import OpenAIEngine
from infinity_assets.models.vlm.config import EngineConfig, Prices
from infinity_assets.models.vlm.fake import FakeServer
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Message, Picture, Request, Sampling

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "score": {"type": "integer", "minimum": 1, "maximum": 10}},
    "required": ["answer", "score"],
    "additionalProperties": False,
}
PICTURE = Picture("0" * 32, b"\x89PNG not looked at by a fake", "image/png")


def question(text: str = "What is it?", **more: Any) -> Request:
    """A question about a picture."""
    return Request((Message("user", (PICTURE, text)),), Sampling(), "ask@1", **more)


def engine(url: str, **more: Any) -> OpenAIEngine:
    """An engine at an address, quick to give up; prices give each fake reply a cost of 0.11."""
    more.setdefault("timeout_s", 5)
    more.setdefault("prices", Prices(per_million_prompt_tokens=1000, per_million_completion_tokens=1000))
    return OpenAIEngine(EngineConfig(engine="openai", model="toy", url=url, **more))


def ask(server: FakeServer, *requests: Request, **more: Any) -> list[Reply]:
    """Replies of a fake server, without a cache."""
    return complete_all(engine(server.url, **more), requests)
