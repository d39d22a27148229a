"""Without these, a GPU waits in the pod of a run, or work in pods gives, costs or loses something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infinity_assets.errors import StoreError
from infinity_assets.models.vlm.engine import EngineError
from infinity_assets.models.vlm.fake import FakeServer
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.sharding.plan import Plan, Task
from infinity_assets.sharding.pool import run_elsewhere
from infinity_assets.sharding.worker import run_task
from infinity_assets.stages.scored.stage import materialize_scored
from infinity_assets.stages.synthesized.stage import materialize_synthesized
from infinity_assets.stages.tagged.stage import materialize_tagged
from infinity_assets_tests.conftest import Site, dedupe, ingest, jsonl, picture, talk
from infinity_assets_tests.models.vlm.toy_vllm import ToyVllm
from infinity_assets_tests.stages.scored.servers import name_engine
from infinity_assets_tests.stages.synthesized.talking import engines, policy, tagged


class Pods:
    """Other machines that are this process: each shard as a pod would run it, from its plan in the store."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.before: Callable[[int], None] = lambda place: None

    def takes(self, plan: Plan) -> bool:
        return True

    def run(self, root: str, plan: Plan, **_: Any) -> None:
        self.plans.append(plan)
        for place, task in enumerate(plan.tasks):
            self.before(place)
            run_task(root, task)

    @property
    def orders(self) -> list[tuple[Task, ...]]:
        return [plan.tasks for plan in self.plans if plan.tasks]


@pytest.fixture
def toy(site: Site, monkeypatch: pytest.MonkeyPatch) -> ToyVllm:
    """A vLLM of its own for each order of one or two shards; three files with two pictures each."""
    vllm = ToyVllm(site.folder)
    monkeypatch.setenv("INFINITY_VLLM_PYTHON", str(vllm.python))
    monkeypatch.setattr("infinity_assets.stages.tagged.stage.GROUP_ROWS", 2)
    monkeypatch.setattr("infinity_assets.stages.synthesized.stage.SHARD_LINES", 4)
    monkeypatch.setattr("infinity_assets.stages.synthesized.writers.ModelWriter.together", 2)
    rows = {f"{i}.jsonl": jsonl([talk(f"{i}-{j}", f"{2 * i + j}.png") for j in range(2)]) for i in range(3)}
    site.add("dots", rows | {f"{j}.png": picture(j) for j in range(6)}, stages=["3"])
    engines(site, own={"engine": "vllm", "attempts": 1, "concurrency": 2})
    return vllm


def scored(platform: Platform) -> Any:
    return materialize_scored(platform, "dots", "run").published


def written(platform: Platform) -> Any:
    return materialize_synthesized(platform, "dots", "run").qa.published


def labelled(platform: Platform) -> Any:
    return materialize_tagged(platform, "dots", "run").published


def score_by_model(site: Site, **more: Any) -> None:
    name_engine(site, None, **{"engine": "own"} | more)


@pytest.mark.parametrize("make", [scored, written, labelled])
def test_pods_with_a_server_each_make_the_same_table_and_none_starts_here(
    site: Site, toy: ToyVllm, make: Callable[[Platform], Any]
) -> None:
    """Lost otherwise: a GPU held as long as a run takes, or samples that depend on where they were made."""
    score_by_model(site)
    policy(site, engine="own", leaves=["colour", "shape"], lines_per_picture=3)
    tables, starts = [], []
    for place, store in enumerate(("here", "pods")):
        platform = site.platform(store)
        if make is labelled:
            ingest(platform, "dots")
            dedupe(platform, "dots")
            more = {"labeller": "vlm", "tagging_engine": "own"}
            platform = Platform(Settings(**platform.settings.model_dump(exclude={"ram_plus"}) | more))
        else:
            tagged(platform, "dots")
        before = len(toy.lines("started"))
        with run_elsewhere(pods := Pods()) if place else run_elsewhere(None):
            tables.append(make(platform))
        starts.append(len(toy.lines("started")) - before)
        if place:
            (tasks,) = pods.orders
            assert len(tasks) > 1 and starts == [1, len(tasks)]
            with run_elsewhere(again := Pods()):
                make(platform)
            assert again.orders == [] and len(toy.lines("started")) == sum(starts)
            assert list((site.folder / "home" / "pods").iterdir()) == [], "logs of servers that did well"
    here, there = tables
    assert here.data_version == there.data_version
    assert [s.stats.get("costs") for s in here.shards] == [s.stats.get("costs") for s in there.shards]


def test_an_order_that_failed_loses_no_reply_and_the_next_run_orders_what_is_missing(
    site: Site, toy: ToyVllm
) -> None:
    """Lost otherwise: what the other pods were paid for, or a second payment for it."""
    score_by_model(site)
    tagged(site.platform(), "dots")

    def third_dies(place: int) -> None:
        if place == 2:
            raise EngineError("the GPU fell off")

    with run_elsewhere(pods := Pods()):
        pods.before = third_dies
        with pytest.raises(EngineError):
            scored(site.platform())
        pods.before = lambda place: None
        asked = len(toy.lines("asked"))
        result = materialize_scored(site.platform(), "dots", "again")
    first, second = pods.orders
    assert second == first[2:], "the same orders, so that a resumed run finds the Job of the one before"
    assert len(toy.lines("asked")) == 3 * asked // 2
    assert result.notes["with_loss"] == 6


def test_a_budget_is_shared_out_and_what_was_paid_for_is_published(site: Site, toy: ToyVllm) -> None:
    """Lost otherwise: ten pods that spend the budget of one each, or a step that fails when it is spent."""
    score_by_model(site, budget=1.2)
    tagged(site.platform(), "dots")
    with run_elsewhere(pods := Pods()):
        cut = materialize_scored(site.platform(), "dots", "first")
        assert [task.payload["budget"] for task in pods.orders[0]] == pytest.approx([0.4] * 3)
        spent = sum(cost["spent"] for cost in cut.notes["costs"])
        assert spent == pytest.approx(0.11 * len(toy.lines("asked"))) and 0 < spent <= 1.2 + 3 * 0.11
        assert cut.notes["loss_problems"].get("budget_spent") or cut.notes["ratings_problems"]
        paid = len(toy.lines("asked"))
        score_by_model(site, budget=100.0)
        whole = materialize_scored(site.platform(), "dots", "second")
    assert whole.notes["with_ratings"] == 6 and "budget_spent" not in whole.notes["ratings_problems"]
    assert len(toy.lines("asked")) == 6 * 3 > paid, "and nothing was asked twice"


def test_a_policy_that_moves_while_shards_are_ordered_is_refused(site: Site, toy: ToyVllm) -> None:
    """Lost otherwise: scores by one policy under the name of another."""
    score_by_model(site)
    policy(site, engine="own", lines_per_picture=3)
    tagged(site.platform(), "dots")
    with run_elsewhere(pods := Pods()):
        pods.before = lambda place: score_by_model(site, measures=["loss"])
        with pytest.raises(StoreError, match="run again"):
            scored(site.platform())
        pods.before = lambda place: policy(site, engine="own", lines_per_picture=3, seed=7)
        with pytest.raises(StoreError, match="run again"):
            written(site.platform())


def test_a_server_elsewhere_is_asked_by_the_run_itself(site: Site, toy: ToyVllm) -> None:
    """Lost otherwise: a pod with a GPU that waits for an API."""
    with FakeServer() as server:
        name_engine(site, server)
        tagged(site.platform(), "dots")
        with run_elsewhere(pods := Pods()):
            materialize_scored(site.platform(), "dots", "run")
    assert pods.orders == [] and len(server.requests) == 6 * 3
