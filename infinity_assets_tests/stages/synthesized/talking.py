"""What the tests of synthesis by a model share: a small source, a server that answers, and policies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from blake3 import blake3

from infinity_assets.models.vlm.fake import FakeServer, Fault
from infinity_assets.platform import Platform
from infinity_assets.stages.synthesized.policy import load_synthesis_policy
from infinity_assets.stages.synthesized.stage import SynthesisResult, materialize_synthesized
from infinity_assets.stages.tagged.stage import materialize_tagged
from infinity_assets_tests.conftest import Row, Site, dedupe, ingest, jsonl, picture, talk

#: Of a fake reply: 100 and 10 tokens, at a thousand a million.
PRICE = 0.11


def step_of(body: Mapping[str, Any]) -> str:
    """Which step a request belongs to, by the schema that it asks for; ``loss`` has none."""
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    if schema is None:
        return "loss"
    fields = {"question": "question", "relevant": "relevance", "answer": "answer", "score": "judge"}
    return next(step for field, step in fields.items() if field in schema["properties"])


def asked(body: Mapping[str, Any]) -> tuple[str, str]:
    """The picture and the text of the last question; a repair, which is plain text, is about the same one."""
    content = next(m["content"] for m in reversed(body["messages"]) if isinstance(m["content"], list))
    return content[0]["image_url"]["url"], content[-1]["text"]


def reply(body: Mapping[str, Any]) -> str:
    """A good reply to each step; questions differ from picture to picture and from kind to kind."""
    match step_of(body):
        case "question":
            return json.dumps(
                {"question": f"Which one is {blake3(repr(asked(body)).encode()).hexdigest(length=8)}?"}
            )
        case "relevance":
            return json.dumps({"reason": "It is there.", "relevant": True})
        case "answer":
            return json.dumps({"answer": "It is the second one."})
        case "judge":
            return json.dumps({"reason": "So it is.", "score": 9})
        case _:
            return "x"


def serve(
    answer: Callable[[Mapping[str, Any]], str] = reply,
    fault_for: Callable[[Mapping[str, Any]], Fault | None] = lambda body: None,
) -> FakeServer:
    """A server for all steps."""
    return FakeServer(answer, fault_for=fault_for)


def add_pictures(site: Site, name: str, count: int, **more: Any) -> None:
    """Pictures with one question each, of kinds that rules know."""
    asked = ["What colour is the bus?", "Is there a dog in the picture?", "How many dogs are there?"]
    rows = [talk(i, f"{i}.png", question=asked[i % 3]) for i in range(count)]
    files = {f"{i}.png": picture(1000 * len(name) + i) for i in range(count)}
    site.add(name, {"rows.jsonl": jsonl(rows), **files}, stages=["3", "4"], **more)


def engines(site: Site, **by_name: Row) -> None:
    """Write ``engines.yaml``; what is left out is quick to give up and costs :data:`PRICE` a reply."""
    prices = {"per_million_prompt_tokens": 1000, "per_million_completion_tokens": 1000}
    usual = {"engine": "openai", "model": "toy", "timeout_s": 2, "attempts": 3, "prices": prices}
    site.catalogue.mkdir(parents=True, exist_ok=True)
    found = {name: usual | more for name, more in by_name.items()}
    (site.catalogue / "engines.yaml").write_text(yaml.safe_dump({"engines": found}))


def policy(site: Site, **more: Any) -> None:
    """Write ``synthesis.yaml``: the package's, with an engine ``writer`` and two kinds to ask for."""
    usual = {"engine": "writer", "floor": 0, "leaves": ["colour", "shape"], "shots": 0, "quota": 1.0}
    content = json.loads(load_synthesis_policy(None).model_dump_json()) | usual | more
    (site.catalogue / "synthesis.yaml").write_text(yaml.safe_dump(content))


def tagged(platform: Platform, name: str) -> None:
    """A source from its files to its tags."""
    ingest(platform, name)
    dedupe(platform, name)
    materialize_tagged(platform, name, "test")


def synthesized(site: Site, name: str = "pictures", run_id: str = "test") -> SynthesisResult:
    """Synthesis of a source whose tags are there, as a fresh process would see the files."""
    return materialize_synthesized(site.platform(), name, run_id)


def lines(result: SynthesisResult) -> list[Row]:
    """Rows of the lines, in order."""
    rows: list[Row] = result.qa.published.read().to_pylist()
    return rows
