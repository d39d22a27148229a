"""The client against a server that fails on demand, over real HTTP."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from infinity_assets.models.vlm.ask import complete_all
from infinity_assets.models.vlm.config import EngineConfig
from infinity_assets.models.vlm.engine import EngineError
from infinity_assets.models.vlm.fake import FakeServer, Fault, plausible
from infinity_assets.models.vlm.requests import Message, Request, Sampling
from infinity_assets_tests.models.vlm.asking import PICTURE, SCHEMA, ask, engine, question

KEY = "sk-a-key-that-nobody-may-see"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infinity_assets.models.vlm.pacing.FIRST_WAIT_S", 0.01)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, retry_after="0"),
        Fault(status=503),
        Fault(status=500),
        Fault(cut=True),
        Fault(reset=True),
        Fault(delay_s=1.5),
    ],
    ids=["429", "503", "500", "cut stream", "reset", "slow"],
)
def test_a_failure_that_passes_costs_no_answer(fault: Fault) -> None:
    with FakeServer(faults=[fault, fault]) as server:
        (reply,) = ask(server, question(), timeout_s=0.5)
    assert reply.problem is None and reply.text
    assert len(server.requests) == 3


def test_what_retry_after_asks_for_is_waited_out() -> None:
    import time

    with FakeServer(faults=[Fault(status=429, retry_after="1")]) as server:
        began = time.monotonic()
        ask(server, question())
        assert time.monotonic() - began >= 1.0


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Fault(finish_reason="length", text='{"answer": "a cat", "score": 7}'), "cut_answer"),
        (Fault(refusal="I cannot help with that."), "refusal"),
        (Fault(finish_reason="content_filter", text="x"), "refusal"),
        (Fault(text=""), "empty_answer"),
        (Fault(status=400), "bad_request"),
        (Fault(status=422), "bad_request"),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_verdict_and_never_a_guess(fault: Fault, problem: str) -> None:
    with FakeServer(faults=[fault]) as server:
        (reply,) = ask(server, question(schema=SCHEMA))
    assert (reply.problem, reply.parsed) == (problem, None)
    assert reply.detail
    assert len(server.requests) == 1


def test_an_answer_out_of_schema_is_asked_for_once_more_and_no_more() -> None:
    bad = Fault(text='{"answer": "a cat", "score": 11}')
    with FakeServer(faults=[bad]) as server:
        (reply,) = ask(server, question(schema=SCHEMA))
        assert reply.repaired and reply.parsed["score"] <= 10
        assert reply.usage.prompt_tokens == 200, "the repair is paid for too"
        assert "score" in server.requests[1]["messages"][-1]["content"], "the model is told what was wrong"
    with FakeServer(faults=[bad, bad, bad]) as server:
        (reply,) = ask(server, question(schema=SCHEMA))
        assert (reply.problem, reply.parsed, len(server.requests)) == ("unparsable", None, 2)


def test_one_row_that_the_server_fails_at_each_time_does_not_stop_the_others() -> None:
    def poison(body: Mapping[str, Any]) -> Fault | None:
        return Fault(status=500) if "poison" in str(body["messages"]) else None

    asked = [question("poison")] + [question(f"question {number}") for number in range(20)]
    with FakeServer(fault_for=poison) as server:
        replies = ask(server, *asked, attempts=3)
        assert [reply.problem for reply in replies] == ["engine_error"] + [None] * 20
        # Alone too: a step that meets it last must not fail for ever.
        assert ask(server, question("poison"), attempts=2)[0].problem == "engine_error"


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_a_deployment_that_is_wrong_fails_loudly_and_at_once(status: int) -> None:
    with FakeServer(fault_for=lambda body: Fault(status=status)) as server:
        with pytest.raises(EngineError, match=str(status)):
            complete_all(engine(server.url), [question(str(number)) for number in range(50)], concurrency=2)
        assert len(server.requests) < 50


def test_a_server_that_is_not_there_is_an_error_of_the_environment() -> None:
    with FakeServer() as server:
        pass
    with pytest.raises(EngineError, match="cannot connect"):
        ask(server, question(), attempts=2)


def test_a_server_that_is_down_for_everyone_is_not_taken_for_bad_rows() -> None:
    with (
        FakeServer(fault_for=lambda body: Fault(status=500)) as server,
        pytest.raises(EngineError, match="status 500"),
    ):
        ask(server, *[question(str(number)) for number in range(9)], attempts=1)


def test_the_key_is_seen_by_the_server_and_by_nobody_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    told = ""
    for status in (400, 401, 500):
        with FakeServer(fault_for=lambda body, s=status: Fault(status=s, echo_key=True)) as server:
            asked = engine(server.url, key_env="TOY_KEY", attempts=1)
            try:
                told += repr(complete_all(asked, [question()]))
            except EngineError as error:
                told += repr(error) + str(error.__cause__) + str(error.__context__)
            told += repr(asked) + repr(vars(asked)) + repr(asked._config) + asked._config.model_dump_json()
            assert "Bearer" in told, "the server did repeat the header, and so was sent it"
    told += caplog.text + "".join(capfd.readouterr())
    assert KEY not in told


def test_a_key_that_is_missing_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOY_KEY", raising=False)
    with FakeServer() as server, pytest.raises(EngineError, match="TOY_KEY"):
        ask(server, question(), key_env="TOY_KEY")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "https://user:secret@host/v1", "https://host/v1?key=secret", "host/v1"]
)
def test_an_address_with_a_secret_or_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        EngineConfig(engine="openai", model="toy", url=url)


def test_pictures_schema_and_logprobs_reach_the_server_as_the_protocol_says() -> None:
    with FakeServer(answer=lambda body: '{"answer": "a cat", "score": 7}') as server:
        (reply,) = ask(server, question(schema=SCHEMA, logprobs=2))
        loss = Request(
            (Message("user", (PICTURE, "What is it?")), Message("assistant", ("It is a cat.",))),
            Sampling(max_tokens=1),
            "loss@1",
            prompt_logprobs=True,
        )
        (measured,) = ask(server, loss)
    asked, measuring = server.requests
    picture, text = asked["messages"][0]["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert text == {"type": "text", "text": "What is it?"}
    assert asked["response_format"]["json_schema"] == {"name": "reply", "schema": SCHEMA, "strict": True}
    assert (asked["logprobs"], asked["top_logprobs"]) == (True, 2)
    assert reply.logprobs is not None and len(reply.logprobs[0].top) == 2
    assert (measuring["prompt_logprobs"], measuring["continue_final_message"]) == (0, True)
    assert measured.prompt_logprobs is not None and measured.prompt_logprobs[0] is None
    assert "".join(token.text for token in measured.prompt_logprobs if token) == "It is a cat."
    assert measured.problem is None


def test_connections_are_used_again() -> None:
    with FakeServer() as server:
        ask(server, *[question(str(number)) for number in range(200)], concurrency=8)
        assert len(server.requests) == 200
        assert server.connections <= 8


def test_an_answer_far_too_long_is_refused_before_it_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infinity_assets.models.vlm.client.LARGEST_REPLY", 1000)
    with FakeServer(faults=[None, Fault(text="x" * 2000)]) as server:
        first, second = complete_all(
            engine(server.url, attempts=1), [question("a"), question("b")], concurrency=1
        )
    assert (first.problem, second.problem) == (None, "engine_error")


def test_the_same_requests_wait_and_answer_alike_whatever_runs_beside_them() -> None:
    asked = [question(str(number), schema=SCHEMA) for number in range(30)]
    with FakeServer(faults=[Fault(status=500)] * 5) as server:
        some = [reply.text for reply in ask(server, *asked, concurrency=7)]
    with FakeServer(answer=plausible) as server:
        assert [reply.text for reply in ask(server, *asked, concurrency=1)] == some
