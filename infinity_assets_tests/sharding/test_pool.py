"""Workers that die, hang or fail cost what they were at, and nothing else; the cause is always told."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from infinity_assets.sharding.plan import Plan, Task, open_plan
from infinity_assets.sharding.pool import MANY, end_workers, run_plan, spread
from infinity_assets.store.objects import Objects

#: Shards that write what they were given, and shards that end their worker in every way there is.
MISBEHAVE = """
import os, signal, time
from pathlib import Path
from infinity_assets.store.objects import Objects

def act(root, key, payload):
    how = payload["how"]
    plans = [p.name for p in Path(root).glob("_plans/**/*.plan")]
    if how == "exit":
        os._exit(7)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hang":
        time.sleep(600)
    if how == "raise":
        raise OSError("no space left on device")
    if how == "slow network":
        raise TimeoutError("the store did not answer")
    Objects(root).put(f"results/{key}", f"{how} {len(plans)}".encode())
"""
KINDS = """
import misbehave
import infinity_assets.sharding.worker as worker
worker.KINDS["act"] = "misbehave:act"
"""


def act(key: str, how: str = "fine") -> Task:
    return Task("act", key, {"how": how})


@pytest.fixture
def workers(in_workers: Callable[[str], Path]) -> Path:
    folder = in_workers(KINDS)
    (folder / "misbehave.py").write_text(MISBEHAVE)
    return folder


def nothing_dies(task: Task, why: str) -> Sequence[Task]:
    """A shard's own error, a timeout of the network included, is not that of a dead or hung worker."""
    raise AssertionError(f"{task.key}: {why}")


def test_a_worker_that_dies_or_hangs_costs_its_shard_and_not_the_run(workers: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    deaths: dict[str, str] = {}
    steps: list[tuple[int, int]] = []

    def on_death(task: Task, why: str) -> Sequence[Task]:
        deaths[task.key] = why
        return [] if task.key == "hung" else [act(f"{task.key}_left"), act(f"{task.key}_right")]

    tasks = [act("a"), act("exited", "exit"), act("b"), act("killed", "kill"), act("hung", "hang"), act("c")]
    plan = Plan("table", "part", tuple(tasks))
    run_plan(
        root, plan, workers=2, timeout_s=4, on_death=on_death, on_progress=lambda *step: steps.append(step)
    )
    assert deaths == {
        "exited": "the worker died (exit code 7)",
        "killed": "the worker died (exit code -9)",
        "hung": "no result within 4 s",
    }
    objects = Objects(root)
    halves = ["exited_left", "exited_right", "killed_left", "killed_right"]
    assert objects.children("results") == sorted(["a", "b", "c", *halves])
    found = {objects.get(f"results/{key}") for key in ("a", "b", "c", *halves)}
    assert found == {b"fine 1"}, "the plan is in the store while its shards run"
    assert objects.get(plan.path) is None, "and is gone once they are done"
    assert steps[-1] == (7, 7), "progress ends at the end"


def test_an_error_of_a_shard_is_raised_once_and_what_is_staged_stays(workers: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    for how, told in [("raise", "no space left on device"), ("slow network", "the store did not answer")]:
        tasks = [act("a"), act("b"), act("broken", how), act("broken too", how)]
        with pytest.raises((OSError, RuntimeError), match=told):
            run_plan(
                root,
                Plan("table", "part", tuple(tasks)),
                workers=2,
                timeout_s=30,
                on_death=nothing_dies,
            )
    run_plan(root, Plan("table", "part", (act("c"),)), workers=2, timeout_s=30, on_death=nothing_dies)
    assert Objects(root).children("results") == ["a", "b", "c"]


def test_a_death_that_cannot_be_helped_ends_the_run_with_its_cause(workers: Path, tmp_path: Path) -> None:
    def give_up(task: Task, why: str) -> Sequence[Task]:
        raise RuntimeError(f"{task.key}: {why}")

    plan = Plan("table", "part", (act("doomed", "exit"),))
    with pytest.raises(RuntimeError, match=r"doomed: the worker died \(exit code 7\)"):
        run_plan(str(tmp_path), plan, workers=1, timeout_s=30, on_death=give_up)


def test_a_plan_without_shards_starts_nothing(tmp_path: Path) -> None:
    plan = Plan("table", "part", ())
    run_plan(str(tmp_path / "store"), plan, workers=1, timeout_s=1, on_death=nothing_dies)
    assert not (tmp_path / "store").exists()


def test_one_shard_of_a_stored_plan_runs_by_its_number_on_any_machine(workers: Path, tmp_path: Path) -> None:
    objects = Objects(str(tmp_path / "store"))
    plan = Plan("table", "part", (act("first"), act("second"), act("third", "raise")))
    plan.save(objects)
    stored = open_plan(objects, plan.path)
    assert tuple(stored.task(i) for i in range(3)) == plan.tasks
    assert list(stored.keys) == [task.key for task in plan.tasks] and stored.marked() == set()
    code = f"import sys; sys.path.insert(0, {str(workers)!r}); {KINDS.strip().replace(chr(10), '; ')}; "
    code += "sys.argv[0] = 'worker'; sys.exit(worker.main(sys.argv[1:]))"

    def run(*command: str, index: str) -> subprocess.CompletedProcess[str]:
        where = (str(tmp_path / "store"), plan.path, index)
        return subprocess.run([sys.executable, *command, *where], capture_output=True, text=True, check=False)

    assert run("-c", code, index="1").returncode == 0
    assert objects.children("results") == ["second"] and plan.marked(objects) == {"second"}
    failed = run("-c", code, index="2")
    assert failed.returncode != 0 and "no space left on device" in failed.stderr
    unknown = run("-m", "infinity_assets.sharding.worker", index="0")
    assert unknown.returncode != 0 and "KeyError: 'act'" in unknown.stderr


def test_a_plan_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"_plans/none\.plan: no such plan in the store"):
        open_plan(Objects(str(tmp_path)), "_plans/none.plan")


def test_items_keep_their_order_whoever_does_them() -> None:
    """A verdict that lands on another pair of pictures drops the wrong sample."""
    items = [str(i) for i in range(500)]
    assert spread(int, items, 2) == spread(int, items, 1) == list(range(500))


def test_what_an_item_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        spread(int, [*map(str, range(100)), "no number"], 2)


def test_after_a_large_plan_no_worker_keeps_memory_and_the_next_plan_has_workers(
    workers: Path, tmp_path: Path
) -> None:
    """Idle workers of a large source would hold what the stages after it need."""
    before = {worker.pid for worker in multiprocessing.active_children()}
    for plan, count in (("large", MANY), ("small", 1)):
        tasks = tuple(act(f"{plan}{i}") for i in range(count))
        run_plan(str(tmp_path), Plan(plan, "part", tasks), workers=1, timeout_s=60, on_death=nothing_dies)
        assert len(list((tmp_path / "results").glob(f"{plan}*"))) == count
        idle = {worker.pid for worker in multiprocessing.active_children()} - before
        assert bool(idle) is (plan == "small")
    end_workers(1)
    assert {worker.pid for worker in multiprocessing.active_children()} <= before
    end_workers(1)
    again = Plan("again", "part", (act("again"),))
    run_plan(str(tmp_path), again, workers=1, timeout_s=60, on_death=nothing_dies)
    assert (tmp_path / "results" / "again").exists()
