"""A site with a few samples, and a server without a model that scores them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from infinity_assets.models.vlm.fake import FakeServer
from infinity_assets.platform import Platform
from infinity_assets.stages.tagged.stage import materialize_tagged
from infinity_assets_tests.conftest import Site, dedupe, ingest, jsonl, picture, talk

PRICES = {"per_million_prompt_tokens": 1000, "per_million_completion_tokens": 1000}  # 0.11 a fake reply


def add_samples(site: Site, count: int = 6, name: str = "photos", **spec: Any) -> None:
    """Samples about a picture each; the last one is text alone, the one before has two exchanges."""
    rows = [talk(i, f"{i}.png") for i in range(count - 2)]
    more = talk(count - 2, f"{count - 2}.png")
    more["conversations"] += [
        {"from": "human", "value": "And what colour is the frame of it?"},
        {"from": "gpt", "value": "The frame is blue and broad."},
    ]
    rows += [more, talk(count - 1, question="Which is the largest planet of the sun?", answer="Jupiter is.")]
    files = {f"{i}.png": picture(i) for i in range(count - 1)}
    site.add(name, {**files, "rows.jsonl": jsonl(rows)}, stages=["3"], **spec)


def name_engine(site: Site, server: FakeServer | None, **scoring: Any) -> None:
    """Write engines.yaml and scoring.yaml; without a server no engine is named."""
    if server is not None:
        engine = {"engine": "openai", "model": "toy", "url": server.url, "attempts": 1, "concurrency": 2}
        engine["prices"] = PRICES
        (site.catalogue / "engines.yaml").write_text(yaml.safe_dump({"engines": {"scorer": engine}}))
    policy = {
        "name": "test",
        "version": 1,
        "engine": "scorer" if server is not None else None,
        "measures": ["loss", "text_ratings", "picture_ratings"],
        "exchanges": 8,
        "source": "a test",
        **scoring,
    }
    (site.catalogue / "scoring.yaml").write_text(yaml.safe_dump(policy))


def tagged(platform: Platform, name: str = "photos") -> None:
    """Everything that comes before scores."""
    ingest(platform, name)
    dedupe(platform, name)
    materialize_tagged(platform, name, "test")


def rating(value: Callable[[str], int] = lambda axis: 4) -> Callable[[Mapping[str, Any]], str]:
    """Answers with the same rating each time, or one by axis."""

    def answer(body: Mapping[str, Any]) -> str:
        schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema", {})
        return json.dumps({axis: value(axis) for axis in schema.get("properties", {})})

    return answer
