"""Nothing is paid twice: kept replies survive crashes and other writers, and are replayed as they were."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.errors import StoreError
from infinity_assets.models.vlm import cache as cache_module
from infinity_assets.models.vlm.ask import complete_all
from infinity_assets.models.vlm.budget import LEDGER, Budget, cost_ledger
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.models.vlm.config import Prices
from infinity_assets.models.vlm.engine import EngineError
from infinity_assets.models.vlm.fake import FakeServer, Fault
from infinity_assets.models.vlm.replies import Reply, Token, Usage
from infinity_assets.models.vlm.requests import Message, Picture, Sampling
from infinity_assets.models.vlm.wire import finish
from infinity_assets.store.objects import Objects
from infinity_assets_tests.models.vlm.asking import SCHEMA, engine, question


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(str(tmp_path / "store"))


def reply(number: int, text: str = "a cat") -> Reply:
    return Reply(blake3(str(number).encode()).hexdigest(length=16), "toy", text=f"{text} {number}")


def test_a_second_run_asks_nothing_and_gets_the_same(objects: Objects) -> None:
    faults = [Fault(text="{"), Fault(refusal="no"), Fault(finish_reason="length")]
    asked = [question(str(number), schema=SCHEMA, logprobs=1) for number in range(40)]
    with FakeServer(faults=faults) as server:
        first = complete_all(engine(server.url), asked, cache=ReplyCache(objects), concurrency=1)
        paid = len(server.requests)
        again = ReplyCache(objects)
        second = complete_all(engine(server.url), asked, cache=again)
        assert len(server.requests) == paid, "something was paid twice"
    assert all(reply.cached and reply.usage.cost == 0 for reply in second)
    assert [replace(r, cached=False, usage=Usage()) for r in second] == [
        replace(r, usage=Usage()) for r in first
    ]
    assert again.counts.misses == 0 and again.counts.hits == 41 and again.counts.bytes_read > 0
    assert first[0].repaired, "the repair is kept as well"


def test_equal_requests_of_one_run_are_asked_once(objects: Objects) -> None:
    with FakeServer() as server:
        replies = complete_all(engine(server.url), [question()] * 20, cache=ReplyCache(objects))
        assert len(server.requests) == 1
    assert len({r.text for r in replies}) == 1
    assert sum(r.usage.cost for r in replies) == pytest.approx(0.11)


def test_whatever_changes_an_answer_changes_the_hash_and_nothing_else_does() -> None:
    base = question(schema=SCHEMA)
    picture = Picture("1" * 32, b"other", "image/png")
    others = [
        replace(base, sampling=Sampling(seed=1)),
        replace(base, sampling=Sampling(temperature=0.5)),
        replace(base, prompt="ask@2"),
        replace(base, schema=None),
        replace(base, logprobs=1),
        replace(base, prompt_logprobs=True),
        replace(base, messages=(Message("user", (picture, "What is it?")),)),
        replace(base, messages=(Message("system", base.messages[0].parts),)),
        question("What is it!", schema=SCHEMA),
    ]
    hashes = {r.request_hash("toy", "1") for r in [base, *others]}
    hashes |= {base.request_hash("toy", "2"), base.request_hash("boy", "1")}
    assert len(hashes) == len(others) + 3
    same = replace(base, tag="another", schema=dict(reversed(SCHEMA.items())))
    assert same.request_hash("toy", "1") == base.request_hash("toy", "1")
    assert base.request_hash("toy", "1") == "22718ea4580bb77706eb8803645da084", "kept replies would be lost"


def test_what_was_not_paid_for_is_asked_again(objects: Objects) -> None:
    with FakeServer(faults=[Fault(status=400)]) as server:
        for problem in ("bad_request", None):
            (got,) = complete_all(engine(server.url), [question()], cache=ReplyCache(objects))
            assert got.problem == problem
        assert len(server.requests) == 2


def test_two_writers_lose_nothing_of_each_other(objects: Objects) -> None:
    one, other = ReplyCache(objects), ReplyCache(objects)
    for number in range(200):
        (one if number % 2 else other).put([reply(number)])
    one.close()
    other.close()
    kept = ReplyCache(objects)
    assert len(kept) == 200
    assert all((got := kept.get(reply(n).request_hash)) and got.text == f"a cat {n}" for n in range(200))


def test_a_reader_finds_what_was_merged_after_it_opened(objects: Objects) -> None:
    writer = ReplyCache(objects)
    writer.put([reply(0)])
    reader = ReplyCache(objects)
    for number in range(1, cache_module.SMALL_SEGMENTS):
        writer.put([reply(number)])
    assert len(objects.children(cache_module.FOLDER)) == 1
    got = reader.get(reply(0).request_hash)
    assert got is not None and got.text == "a cat 0"


def test_a_segment_that_is_no_segment_is_named(objects: Objects) -> None:
    objects.put(f"{cache_module.FOLDER}/broken", b"half of something")
    with pytest.raises(StoreError, match="broken"):
        ReplyCache(objects)


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(
        st.none() | st.builds(Token, st.text(st.characters(exclude_categories=["Cs"])), st.floats(-9, 0))
    ),
)
def test_a_kept_reply_is_replayed_to_the_letter(text: str, tokens: list[Token | None]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        given_reply = replace(reply(1), text=text, finish_reason="stop", prompt_logprobs=tuple(tokens))
        ReplyCache(Objects(folder)).put([given_reply])
        got = ReplyCache(Objects(folder)).get(given_reply.request_hash)
    assert got is not None and replace(got, cached=False) == given_reply


def test_the_budget_stops_cleanly_and_what_was_paid_is_kept(objects: Objects) -> None:
    asked = [question(str(number)) for number in range(100)]
    with FakeServer() as server:
        budget = Budget(1.0)
        first = complete_all(
            engine(server.url), asked, cache=ReplyCache(objects), budget=budget, concurrency=2
        )
        assert budget.spent <= 1.0 and len(server.requests) == 9, "nine fit at 0.11"
        assert [r.problem for r in first].count("budget_spent") == 91
        # More money: what was paid for is not paid again, and costs nothing of the new budget.
        second = complete_all(engine(server.url), asked, cache=ReplyCache(objects), budget=Budget(20.0))
        assert len(server.requests) == 100
    assert all(r.problem is None for r in second)
    ledger = cost_ledger(asked, second, "USD")
    assert ledger.schema == LEDGER and ledger.num_rows == 100
    assert sum(ledger["cost"].to_pylist()) == pytest.approx(91 * 0.11)


def test_a_budget_for_all_runs_together_stops_a_rerun_where_the_first_stopped(objects: Objects) -> None:
    """Lost otherwise: a nightly run that spends the budget each night."""
    asked = [question(str(number)) for number in range(30)]
    with FakeServer() as server:
        for limit, answered in ((1.0, 9), (1.0, 9), (2.0, 18)):
            budget = Budget(limit, counts_kept=True)
            cache = ReplyCache(objects)
            replies = complete_all(engine(server.url), asked, cache=cache, budget=budget, concurrency=1)
            assert len(server.requests) == answered
            assert [r.problem for r in replies].count(None) == answered
            assert (
                sum(r.paid for r in replies) == pytest.approx(budget.spent) == pytest.approx(0.11 * answered)
            )


def test_an_hour_of_the_machine_is_shared_out_among_its_requests() -> None:
    with FakeServer(fault_for=lambda body: Fault(delay_s=0.05)) as server:
        began = time.monotonic()
        asked = engine(server.url, prices=Prices())
        replies = complete_all(
            asked, [question(str(n)) for n in range(32)], prices=Prices(per_hour=3600), concurrency=8
        )
        took = time.monotonic() - began
    assert 0.1 < sum(r.usage.cost for r in replies) <= took, "one unit for each second, however many at work"


def test_a_failure_of_the_engine_loses_no_reply_that_came(objects: Objects) -> None:
    asked = [question(str(number)) for number in range(10)]
    with FakeServer(faults=[None] * 6 + [Fault(status=401)]) as server:
        with pytest.raises(EngineError):
            complete_all(engine(server.url), asked, cache=ReplyCache(objects), concurrency=1)
        complete_all(engine(server.url), asked, cache=ReplyCache(objects), concurrency=1)
        assert len(server.requests) == 6 + 1 + 4


ASKING = """
import sys
from infinity_assets.models.vlm.ask import complete_all
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.store.objects import Objects
from infinity_assets_tests.models.vlm.asking import engine, question
asked = [question(str(n)) for n in range(400)]
complete_all(engine(sys.argv[1]), asked, cache=ReplyCache(Objects(sys.argv[2])), concurrency=4)
"""


def test_killed_in_the_middle_the_next_run_pays_only_for_what_was_at_work(tmp_path: Path) -> None:
    store = tmp_path / "store"
    command = [sys.executable, "-c", ASKING]
    with FakeServer(fault_for=lambda body: Fault(delay_s=0.01)) as server:
        for after in (60, 150, 260):
            process = subprocess.Popen([*command, server.url, str(store)])
            while len(server.requests) < after and process.poll() is None:
                time.sleep(0.002)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        subprocess.run([*command, server.url, str(store)], check=True)
        texts = [body["messages"][0]["content"][1]["text"] for body in server.requests]
        assert len(set(texts)) == 400, "something was lost"
        # Four at work, and those whose reply had come within the last moment before the kill.
        assert len(texts) - 400 <= 3 * 8, "something that was kept was paid for again"


def test_a_kept_answer_is_read_by_todays_parser() -> None:
    kept = replace(reply(1), text='{"answer": "a cat", "score": 7}', finish_reason="stop", cached=True)
    assert finish(question(schema=SCHEMA), kept).parsed == {"answer": "a cat", "score": 7}
