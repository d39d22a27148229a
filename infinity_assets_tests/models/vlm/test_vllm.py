"""The real thing: vLLM in its own environment, serving a toy model that was trained on coloured shapes."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from infinity_assets.models.vlm.ask import complete_all
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.models.vlm.engine import Engine
from infinity_assets.models.vlm.own import OwnServerEngine
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Message, Picture, Request, Sampling
from infinity_assets.store.objects import Objects
from infinity_assets_tests.models.toy_vlm import drawings
from infinity_assets_tests.models.toy_vlm.serving import MODEL, open_toy
from infinity_assets_tests.processes import children

pytestmark = pytest.mark.timeout(600)
COUNT = 100


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_toy(tmp_path_factory.mktemp("vllm")) as engine:
        yield engine


def shown() -> list[tuple[drawings.Drawing, Picture, str]]:
    """Drawings that were not trained on, and a subject of each."""
    rng, found = random.Random(4242), []
    for _ in range(COUNT):
        drawing = drawings.draw(rng)
        png = drawing.png()
        picture = Picture(blake3(png).hexdigest(length=16), png, "image/png")
        found.append((drawing, picture, rng.choice(drawings.SUBJECTS)))
    return found


def ask(picture: Picture, text: str, schema: dict[str, object], **more: object) -> Request:
    return Request(
        (Message("user", (picture, text)),), Sampling(max_tokens=60), "toy@1", schema=schema, **more
    )


def test_the_weights_are_the_ones_that_the_script_made() -> None:
    told = (MODEL / "model.safetensors.sha256").read_text().split()[0]
    weights = (MODEL / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == told
    assert len(weights) < 5 << 20


def test_a_real_model_asks_answers_and_judges_and_a_second_run_asks_it_nothing(
    toy: Engine, tmp_path: Path
) -> None:
    objects = Objects(str(tmp_path))
    cases, wordings = shown(), {s: drawings.questions(s) for s in drawings.SUBJECTS}
    asked = [ask(p, drawings.ask_prompt(s), drawings.ASK_SCHEMA) for _, p, s in cases]
    questions = complete_all(toy, asked, cache=ReplyCache(objects))
    valid = [r for r, (_, _, s) in zip(questions, cases, strict=True) if r.parsed and r.parsed["type"] == s]
    assert len(valid) >= 0.99 * COUNT, [r for r in questions if r not in valid]
    sensible = [r for r in valid if r.parsed["question"] in wordings[r.parsed["type"]]]
    assert len(sensible) >= 0.99 * COUNT

    rng = random.Random(7)
    put = [rng.choice(wordings[s]) for _, _, s in cases]
    asking = [
        ask(p, drawings.answer_prompt(q), drawings.ANSWER_SCHEMA, logprobs=1)
        for (_, p, _), q in zip(cases, put, strict=True)
    ]
    answers = complete_all(toy, asking, cache=ReplyCache(objects))
    right = sum(
        bool(r.parsed) and r.parsed["answer"] == d.colours[s]
        for r, (d, _, s) in zip(answers, cases, strict=True)
    )
    assert right >= 0.85 * COUNT
    assert all(r.logprobs and r.logprobs[0].top for r in answers)

    judging = []
    for (drawing, picture, subject), q in zip(cases, put, strict=True):
        true = drawing.colours[subject]
        false = rng.choice([colour for colour in drawings.COLOURS if colour != true])
        for colour in (true, false):
            said = drawings.answer(subject, colour, rng.choice(drawings.STYLES))
            judging.append(ask(picture, drawings.judge_prompt(q, said), drawings.JUDGE_SCHEMA))
    verdicts = [
        bool(r.parsed) and r.parsed["score"] >= 8
        for r in complete_all(toy, judging, cache=ReplyCache(objects))
    ]
    assert sum(verdicts[0::2]) >= 0.8 * COUNT, "true answers were refused"
    assert COUNT - sum(verdicts[1::2]) >= 0.8 * COUNT, "false answers were accepted"

    again = ReplyCache(objects)
    everything = [*asked, *asking, *judging]
    replayed = complete_all(_NoEngine(toy), everything, cache=again)
    assert again.counts.misses == 0
    assert [r.parsed for r in replayed[:COUNT]] == [r.parsed for r in questions]


class _NoEngine:
    """An engine of the same name that must not be asked."""

    def __init__(self, like: Engine) -> None:
        self.name, self.model, self.revision = like.name, like.model, like.revision

    async def ready(self) -> None:
        raise AssertionError("the second run wanted a server")

    async def complete(self, request: Request) -> Reply:
        raise AssertionError("the second run made a request")

    async def __aenter__(self) -> _NoEngine:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def test_the_loss_of_a_true_answer_is_below_that_of_a_false_one(toy: Engine) -> None:
    measured = []
    for drawing, picture, subject in shown()[:20]:
        true = drawing.colours[subject]
        false = next(colour for colour in drawings.COLOURS if colour not in drawing.colours.values())
        for colour in (true, false):
            prompt = drawings.answer_prompt(drawings.questions(subject)[0])
            turns = (Message("user", (picture, prompt)), Message("assistant", (f'{{"answer": "{colour}"}}',)))
            measured.append(Request(turns, Sampling(max_tokens=1), "loss@1", prompt_logprobs=True))
    losses = []
    for reply in complete_all(toy, measured):
        assert reply.problem is None and reply.prompt_logprobs is not None
        tail = [token for token in reply.prompt_logprobs[-5:] if token]
        assert "".join(token.text for token in tail).endswith('"}'), "the prompt ends with the answer"
        losses.append(-sum(token.logprob for token in tail))
    better = sum(true < false for true, false in zip(losses[0::2], losses[1::2], strict=True))
    assert better >= 17


def test_a_picture_that_is_broken_is_a_verdict(toy: Engine) -> None:
    broken = Picture("f" * 32, b"\x89PNG\r\n\x1a\nhalf", "image/png")
    long = drawings.answer_prompt("why? " * 4000)
    first, second = complete_all(
        toy, [ask(broken, "Say.", drawings.ANSWER_SCHEMA), ask(shown()[0][1], long, drawings.ANSWER_SCHEMA)]
    )
    assert (first.problem, second.problem) == ("bad_request", "bad_request")
    assert "2048" in second.detail, "the limit is told"


def test_a_server_killed_in_the_middle_costs_no_answer_and_none_is_paid_twice(
    toy: Engine, tmp_path: Path
) -> None:
    assert isinstance(toy, OwnServerEngine)
    cache, cases = ReplyCache(Objects(str(tmp_path))), shown()
    asked = [
        ask(p, drawings.answer_prompt(q), drawings.ANSWER_SCHEMA)
        for _, p, s in cases
        for q in drawings.questions(s)
    ]
    server, before = toy._server, toy.restarts

    def kill() -> None:
        while len(cache) < 60:
            time.sleep(0.01)
        assert server.pid is not None
        os.kill(children(server.pid)[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    replies = complete_all(toy, asked, cache=cache)
    killer.join()
    assert toy.restarts == before + 1
    assert all(reply.problem is None for reply in replies)
    assert len(cache) == len({r.request_hash for r in replies})
    assert cache.counts.misses == len(asked), "each was looked up once, and asked at most once more"
