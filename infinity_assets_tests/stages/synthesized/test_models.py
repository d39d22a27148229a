"""Without these, a model's failure is a line that silently is not there, or money that is spent twice."""

from __future__ import annotations

import json
import re
from collections import Counter

import dagster as dg
import pytest

from infinity_assets.definitions import platform_defs
from infinity_assets.errors import CatalogueError
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.models.vlm.engine import EngineError
from infinity_assets.models.vlm.fake import FakeServer, Fault
from infinity_assets.stages.synthesized.inputs import behind, moved
from infinity_assets_tests.stages.synthesized.talking import (
    PRICE,
    add_pictures,
    asked,
    engines,
    lines,
    policy,
    reply,
    serve,
    step_of,
    synthesized,
    tagged,
)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr("infinity_assets.models.vlm.pacing.FIRST_WAIT_S", 0.01)


@pytest.fixture
def source(site):
    """A source of six pictures with tags, two lines each."""
    add_pictures(site, "pictures", 6)
    tagged(site.platform(), "pictures")
    return site


def run(site, server, **more):
    engines(site, writer={"url": server.url})
    policy(site, **more)
    return synthesized(site)


def test_each_line_goes_through_every_step_and_records_all_that_made_it(source):
    with serve() as server:
        result = run(source, server, scorer="writer")
        steps = Counter(step_of(body) for body in server.requests)
    assert set(steps.values()) == {12} and len(steps) == 5
    assert result.qa.counts.kept == 12 and result.synthesized.counts.kept == 6
    cache = ReplyCache(source.platform().store.objects)
    for row in lines(result):
        assert row["prompts"] == ["question.en@1", "relevance.en@1", "answer.en@1", "judge.en@1", "loss@1"]
        assert all(cache.get(request) is not None for request in row["requests"])
        assert (row["model"], row["judge_model"], row["scorer_model"]) == ("toy@1",) * 3
        assert row["relevant"] and row["judge_score"] == 9 and row["judge_reason"] == "So it is."
        assert row["loss"] == pytest.approx(0.5) and len(row["parent_ids"]) == 1
        assert row["cost"] == pytest.approx(5 * PRICE) and row["prompt_tokens"] == 500
        assert json.loads(row["sampling"])["question"]["temperature"] == 0.7
    assert sum(cost.cost for cost in result.costs) == pytest.approx(60 * PRICE)
    assert {(cost.prompt, cost.asked) for cost in result.costs} == {
        (p, 12) for p in lines(result)[0]["prompts"]
    }


def test_a_second_run_asks_nothing_even_where_the_tables_are_gone(source):
    with serve() as server:
        first = run(source, server)
        before = len(server.requests)
        again = synthesized(source)
        assert not again.qa.committed and sum(cost.asked for cost in again.costs) == 0
        # Another threshold makes verdicts anew, from the replies that are kept.
        policy(source, keep_score=10)
        strict = synthesized(source)
        policy(source)
        back = synthesized(source)
    assert len(server.requests) == before
    assert strict.qa.counts.reasons == {"low_judge_score": 12}
    assert back.qa.published.data_version == first.qa.published.data_version
    assert sum(c.cost for c in back.costs) == pytest.approx(sum(c.cost for c in first.costs)), (
        "told at first cost"
    )
    assert sum(c.spent for c in back.costs) == 0


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Fault(finish_reason="length", text='{"answer": "half'), "cut_answer"),
        (Fault(refusal="I cannot help with that."), "refusal"),
        (Fault(text="not JSON at all"), "unparsable"),
        (Fault(text=""), "empty_answer"),
        (Fault(status=400), "bad_request"),
        (Fault(status=500), "engine_error"),
    ],
)
@pytest.mark.parametrize("step", ["question", "relevance", "answer", "judge"])
def test_a_failure_at_a_step_is_a_verdict_of_that_line_and_of_no_other(source, fault, problem, step):
    """One picture's requests fail at one step; the others must not notice."""
    poisoned: list[str] = []

    def fault_for(body):
        shown = asked(body)[0] if step_of(body) == step else None
        if shown is not None and not poisoned:
            poisoned.append(shown)
        return fault if shown is not None and shown == poisoned[0] else None

    with serve(fault_for=fault_for) as server:
        result = run(source, server)
    rows = lines(result)
    bad = [row for row in rows if row["verdict"] != "keep"]
    assert len(rows) == 12 and len(bad) == 2, "nothing is left out"
    for row in bad:
        assert (row["verdict"], row["reason"], row["problem_step"]) == ("quarantine", problem, step)
        assert row["detail"]
    assert behind(source.platform(), "pictures") == (problem == "engine_error")


@pytest.mark.parametrize(
    "fault", [Fault(status=429, retry_after="0"), Fault(status=500), Fault(cut=True), Fault(reset=True)]
)
def test_a_failure_that_passes_costs_no_line(source, fault):
    faults = iter([fault, None, fault, None, None, fault])
    with serve(fault_for=lambda body: next(faults, None)) as server:
        assert run(source, server).qa.counts.kept == 12


def test_a_slow_server_is_waited_for_and_then_a_verdict(source):
    slow: list[str] = []

    def fault_for(body):
        if step_of(body) != "judge":
            return None
        slow.append(asked(body)[1])
        return Fault(delay_s=0.6) if len(slow) == 1 or slow[1] == asked(body)[1] else None

    with serve(fault_for=fault_for) as server:
        engines(source, writer={"url": server.url, "timeout_s": 0.3, "concurrency": 1})
        policy(source)
        result = synthesized(source)
    assert result.qa.counts.reasons == {"engine_error": 1} and result.qa.counts.kept == 11
    (late,) = [row for row in lines(result) if row["verdict"] != "keep"]
    assert late["detail"] == "no reply within 0.3 s" and late["answer"], "what was paid before is told"


def test_what_an_engine_failed_at_is_asked_again_by_the_next_run_and_nothing_else(source):
    broken = [True]

    def fault_for(body):
        found = broken and step_of(body) == "judge" and re.search(r"Which one is .*([0-7])\?", asked(body)[1])
        return Fault(status=500) if found else None

    with serve(fault_for=fault_for) as server:
        first = run(source, server)
        failed = first.qa.counts.quarantined
        assert 0 < failed < 12 and first.qa.counts.reasons == {"engine_error": failed}
        broken.clear()
        before = len(server.requests)
        second = synthesized(source, run_id="second")
        assert len(server.requests) - before == failed
    assert second.qa.counts.kept == 12 and not behind(source.platform(), "pictures")


def test_a_server_that_died_fails_the_step_and_costs_nothing_twice(source):
    died = []

    def fault_for(body):
        if step_of(body) == "answer" and len(died) == 4:
            return Fault(die=True)
        died.extend([1] if step_of(body) == "answer" else [])
        return None

    with serve(fault_for=fault_for) as server, pytest.raises(EngineError, match="what was answered is kept"):
        run(source, server)
    assert len(ReplyCache(source.platform().store.objects)) >= 24 + 4
    kept = len(ReplyCache(source.platform().store.objects))
    with serve() as server:
        assert run(source, server).qa.counts.kept == 12
        assert len(server.requests) == 48 - kept


def test_bad_questions_are_not_paid_an_answer(source):
    """The verdict on the question comes before the answer: novelty, then relevance."""

    def answer(body):
        if step_of(body) == "question":
            return json.dumps({"question": "What colour is the bus?"})
        if step_of(body) == "relevance":
            return json.dumps({"reason": "There is none.", "relevant": False})
        return reply(body)

    with FakeServer(answer) as server:
        result = run(source, server)
        steps = Counter(step_of(body) for body in server.requests)
    reasons = result.qa.counts.reasons
    assert sum(reasons.values()) == 12 and set(reasons) == {"repeated_question", "irrelevant_question"}
    assert steps == {"question": 12, "relevance": reasons["irrelevant_question"]}


def test_the_budget_stops_the_step_cleanly_and_a_larger_one_goes_on(source):
    with serve() as server:
        first = run(source, server, budget=20.5 * PRICE)
        assert len(server.requests) <= 20 + 8, "those at work before there is a mean"
        spent = len(server.requests)
        assert first.qa.counts.reasons["budget_spent"] + first.qa.counts.kept == 12
        assert all(r["verdict"] == "drop" for r in lines(first) if r["reason"] == "budget_spent")
        again = synthesized(source, run_id="again")
        assert len(server.requests) == spent and not again.qa.committed, "the budget is for all runs"
        assert not behind(source.platform(), "pictures")
        policy(source, budget=1000.0)
        assert behind(source.platform(), "pictures")
        whole = synthesized(source)
        assert whole.qa.counts.kept == 12 and len(server.requests) == 48
    assert sum(cost.asked for cost in whole.costs) == 48 - spent
    assert sum(cost.cost for cost in whole.costs) == pytest.approx(48 * PRICE)


def test_the_judge_may_be_another_model(source):
    with serve() as writer, serve() as judge:
        engines(
            source, writer={"url": writer.url}, judge={"url": judge.url, "model": "strict", "revision": "7"}
        )
        policy(source, judge="judge")
        result = synthesized(source)
        assert {step_of(body) for body in judge.requests} == {"judge"}
        assert "judge" not in {step_of(body) for body in writer.requests}
    assert {row["judge_model"] for row in lines(result)} == {"strict@7"}


def test_a_loss_that_cannot_be_taken_is_null_and_costs_no_line(source):
    with serve(fault_for=lambda b: Fault(status=400) if step_of(b) == "loss" else None) as server:
        result = run(source, server, scorer="writer")
    assert result.qa.counts.kept == 12 and all(row["loss"] is None for row in lines(result))
    assert result.qa.notes["without_loss"] == 12


def test_another_source_with_the_same_pictures_pays_nothing(source):
    """The same picture, kind and style is the same request, whatever the source."""
    with serve() as server:
        run(source, server, styles={"short": 1.0})
        before = len(server.requests)
        add_pictures(source, "doubles_", 6)  # as long a name gives the same pictures
        tagged(source.platform(), "doubles_")
        result = synthesized(source, "doubles_")
    assert result.qa.counts.rows == 12 and len(server.requests) == before


def test_shards_that_are_written_together_keep_their_own_lines_and_costs(source, monkeypatch):
    """Lost otherwise: a shard that holds another one's answers, or costs that are told twice."""
    monkeypatch.setattr("infinity_assets.stages.synthesized.stage.SHARD_LINES", 3)
    with serve() as server:
        result = run(source, server)
    shards = result.qa.published.shards
    assert len(shards) > 2 and len(server.requests) == 48
    for shard in shards:
        rows = result.qa.published.read_shard(shard).to_pylist()
        assert sum(cost["cost"] for cost in shard.stats["costs"]) == pytest.approx(
            sum(r["cost"] for r in rows)
        )
    planned = {row["line_id"]: row for row in result.plan.published.read().to_pylist()}
    for row in lines(result):
        told = planned.pop(row["line_id"])
        assert all(row[name] == told[name] for name in ("image_id", "instruction_l3", "style", "parent_ids"))
    assert not planned
    assert sum(cost.spent for cost in result.costs) == pytest.approx(48 * PRICE)


def test_a_source_that_grows_pays_for_its_new_picture_alone_and_the_sensor_asks_for_it(site):
    """Lost otherwise: all of a source is paid for again for each row that comes, or that row is forgotten."""
    add_pictures(site, "pictures", 6)
    tagged(site.platform(), "pictures")
    with serve() as server:
        run(site, server)
        before = len(server.requests)
        assert moved(site.platform(), "pictures") is None
        add_pictures(site, "pictures", 7)
        tagged(site.platform(), "pictures")
        assert moved(site.platform(), "pictures") is not None
        grown = synthesized(site)
        assert len(server.requests) - before == 2 * 4
        assert moved(site.platform(), "pictures") is None
        policy(site, keep_score=9)
        assert moved(site.platform(), "pictures") is None, "another policy is a person's decision"
        assert behind(site.platform(), "pictures")
    assert grown.qa.counts.kept == 14


def test_examples_are_of_the_same_kind_with_their_pictures_and_never_the_picture_itself(source):
    from infinity_assets.stages.tag_associations.stage import materialize_tag_associations

    materialize_tag_associations(source.platform(), "test")
    with serve() as server:
        result = run(source, server, shots=2, leaves=["colour"], lines_per_picture=1)
        bodies = [body for body in server.requests if step_of(body) == "question"]
    for row in lines(result):
        assert len(set(row["seed_ids"])) == len(row["seed_ids"]) >= 1
        assert not set(row["seed_ids"]) & set(row["parent_ids"])
    for body in bodies:
        roles = [message["role"] for message in body["messages"]]
        assert roles in (["system", *["user", "assistant"] * n, "user"] for n in (1, 2))
        shown = [str(m["content"][0]) for m in body["messages"] if m["role"] == "user"]
        assert len(set(shown)) == len(shown), "a picture twice"
        said = [m["content"] for m in body["messages"] if m["role"] == "assistant"]
        assert said and {json.loads(text)["question"] for text in said} == {"What colour is the bus?"}


def test_prompts_of_ones_own_lie_beside_the_policy(source):
    folder = source.catalogue / "words"
    folder.mkdir()
    from infinity_assets.stages.synthesized.prompt_files import FOLDER

    for path in FOLDER.glob("*.zh.yaml"):
        (folder / path.name).write_text(path.read_text().replace("version: 1", "version: 7"))
    with serve() as server:
        result = run(source, server, prompts="words", language="zh")
        texts = {str(body["messages"][-1]["content"][-1]["text"]) for body in server.requests}
    assert any("颜色" in text for text in texts)
    assert lines(result)[0]["prompts"][0] == "question.zh@7"
    (folder / "judge.zh.yaml").unlink()
    with pytest.raises(CatalogueError, match=r"judge\.zh\.yaml"):
        synthesized(source)


def test_the_key_of_an_api_stands_in_no_table(source, monkeypatch):
    monkeypatch.setenv("TOY_KEY", "sk-a-key-that-nobody-may-see")
    with serve(
        fault_for=lambda b: Fault(status=400, echo_key=True) if step_of(b) == "judge" else None
    ) as server:
        engines(source, writer={"url": server.url, "key_env": "TOY_KEY"})
        policy(source)
        result = synthesized(source)
    assert result.qa.counts.reasons == {"bad_request": 12}
    for path in (source.folder / "store").rglob("*"):
        assert path.is_dir() or b"sk-a-key" not in path.read_bytes(), path


def test_wrong_engines_and_kinds_are_named(source):
    with serve() as server:
        with pytest.raises(CatalogueError, match="no_such"):
            run(source, server, leaves=["no_such_kind"])
        with pytest.raises(CatalogueError, match="nobody"):
            run(source, server, judge="nobody")
        engines(source, writer={"url": server.url}, judge={"url": server.url, "prices": {"currency": "EUR"}})
        policy(source, judge="judge")
        with pytest.raises(CatalogueError, match="EUR and USD"):
            synthesized(source)
        assert not server.requests


def test_the_asset_page_has_the_costs_by_prompt_and_model_from_run_to_run(source):
    """Money that nobody sees is spent again."""
    with serve() as server, dg.DagsterInstance.ephemeral() as instance:
        engines(source, writer={"url": server.url})
        policy(source)
        pages = []
        for score in (8, 9):
            policy(source, keep_score=score)
            job = platform_defs(source.platform()).resolve_job_def("synthesize")
            assert job.execute_in_process(partition_key="pictures", instance=instance).success
            where = dg.AssetRecordsFilter(dg.AssetKey("synthesis_qa"), asset_partitions=["pictures"])
            event = instance.fetch_materializations(where, limit=1).records[0].asset_materialization
            pages.append({name: value.value for name, value in event.metadata.items()})
    first, second = pages
    assert first["cost"] == second["cost"] == first["cost_of_this_run"] == pytest.approx(48 * PRICE)
    assert (first["requests_of_this_run"], second["requests_of_this_run"]) == (48, 0)
    assert second["cost_of_this_run"] == 0.0 and isinstance(second["cost_of_this_run"], float)
    assert first["cost_per_kept_line"] == pytest.approx(4 * PRICE)
    table = first["cost_ledger"].splitlines()
    assert len(table) == 2 + 4 and "`judge.en@1` | `toy@1` | 12 | 0 |" in table[3]
    assert "Which one is" not in str(pages), "no text of a sample in Dagster's records"
