"""Shards in pods: what fails is told apart, and each cause leads to what helps; no pod works for nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest

from infinity_assets.errors import ClusterError
from infinity_assets.kubernetes.job import RUN, Owner
from infinity_assets.kubernetes.pods import Cause, ShardsFailed
from infinity_assets.kubernetes.runner import IndexedJobs
from infinity_assets.kubernetes.watch import finished
from infinity_assets.settings import WorkerJobs
from infinity_assets.sharding.plan import Plan, Task, open_plan
from infinity_assets.store.objects import Objects
from infinity_assets_tests.k8s.conftest import ROOT, Here
from infinity_assets_tests.k8s.double.api import Double

#: In the place of the module of the kind ``images``: shards that end their pod in every way there is.
MISBEHAVE = """
import os, signal, time
from pathlib import Path

def run_images(root, key, payload):
    how = payload["how"]
    folder = Path(root) / "results"
    folder.mkdir(exist_ok=True)
    with (folder / (key + ".tries")).open("a") as tries:
        tries.write("x")
    if how == "raise":
        raise OSError("rows.jsonl, row 7: no space left on device")
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "hang":
        time.sleep(600)
    if how == "memory":
        held = bytearray(b"x") * (400 << 20)
    if how == "slow":
        print("begun", flush=True)
        while not (Path(root) / "go").exists():
            time.sleep(0.05)
    (folder / key).write_text(how)
"""
SITE = """
import sys
if "infinity_assets.sharding.worker" in sys.orig_argv:
    import misbehave
    sys.modules["infinity_assets.stages.images.shard"] = misbehave
"""
FAST = WorkerJobs(poll_s=0.1, warn_after_s=0.3, cpu="100m", memory="300Mi", most_memory="1Gi", kept_s=600)


@dataclass
class Bench:
    """A store, a cluster, and runs that work there."""

    here: Here
    folder: Path
    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    @property
    def root(self) -> str:
        return str(self.folder / "store")

    def jobs(self, run: str = "run-a", options: WorkerJobs = FAST, **container: Any) -> IndexedJobs:
        volumes, mounts = self.here.volumes()
        amounts = {"cpu": options.cpu, "memory": options.memory}
        given = {
            "name": "dagster",
            "image": self.here.image,
            "env": [{"name": "PYTHONPATH", "value": f"{self.folder}:{ROOT}"}],
            "volumeMounts": mounts,
            "resources": {"limits": amounts, "requests": amounts},
        }
        spec = {
            "restartPolicy": "Never",
            "containers": [given | container],
            "volumes": volumes,
            "terminationGracePeriodSeconds": 1,
        }
        template = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "template"},
            "spec": {"template": {"metadata": {}, "spec": spec}},
        }
        return IndexedJobs(
            cluster=self.here.cluster,
            template=template,
            owner=Owner(run, None, None),
            options=options,
            parallelism=2,
            always=True,
            tell=self.said.append,
            warn=self.warned.append,
        )

    def run(
        self, jobs: IndexedJobs, tasks: Sequence[Task], timeout_s: float = 60, on_death: Any = None
    ) -> None:
        plan = Plan("images", "some_source", tuple(tasks))
        jobs.run(self.root, plan, timeout_s=timeout_s, on_death=on_death or nothing_dies, on_progress=None)

    def results(self) -> dict[str, tuple[str, int]]:
        """What each shard gave, and how often it was tried."""
        folder = self.folder / "store" / "results"
        return {
            p.name: (p.read_text(), len((folder / f"{p.name}.tries").read_text()))
            for p in sorted(folder.iterdir())
            if p.suffix != ".tries"
        }

    def started(self) -> int:
        """How many pods have begun a shard."""
        tries = (self.folder / "store" / "results").glob("*.tries")
        return sum(len(path.read_text()) for path in tries)

    def go(self) -> None:
        """Let slow shards end."""
        (self.folder / "store" / "go").touch()

    def wait_for(self, what: Any, seconds: float = 60) -> Any:
        until = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < until, (self.said, self.warned)
            time.sleep(0.05)
        return found

    def left(self, run: str = "run-a") -> list[str]:
        """Jobs of a run that are not finished."""
        return [j["metadata"]["name"] for j in self.here.cluster.jobs(f"{RUN}={run}") if not finished(j)]


class Thread(threading.Thread):
    """A run beside the test; what it raises is raised at the end of its ``with``."""

    def __init__(self, bench: Bench, jobs: IndexedJobs, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.jobs = jobs
        self._work = lambda: bench.run(jobs, tasks)
        self._raised: list[BaseException] = []

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._raised.append(error)

    def __enter__(self) -> Thread:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.join(90)
        assert not self.is_alive()
        for error in self._raised:
            raise error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "misbehave.py").write_text(MISBEHAVE)
    (tmp_path / "sitecustomize.py").write_text(SITE)
    (tmp_path / "store").mkdir()
    return tmp_path


@pytest.fixture
def minor() -> str:
    return "34"


@pytest.fixture
def on_double(folder: Path, minor: str):
    """On a double wherever the other tests run: for what nobody does to a real cluster."""
    with Double(folder / "double", minor=minor) as double:
        yield Bench(Here(double.kubeconfig(), "default", "infinity-assets:test", (), double), folder)


@pytest.fixture
def bench(kubeconfig: Here, folder: Path):
    yield Bench(kubeconfig, folder)
    for run in ("run-a", "run-b"):
        for job in kubeconfig.cluster.jobs(f"{RUN}={run}"):
            kubeconfig.cluster.delete_job(job["metadata"]["name"])


def act(key: str, how: str = "fine") -> Task:
    return Task("images", f"{key}-key", {"how": how})


def nothing_dies(task: Task, why: str) -> Sequence[Task]:
    raise AssertionError(f"{task.key}: {why}")


def test_a_plan_of_four_shards_runs_as_one_indexed_job(bench: Bench) -> None:
    jobs = bench.jobs()
    bench.run(jobs, [act(k) for k in "abcd"])
    assert bench.results() == {f"{k}-key": ("fine", 1) for k in "abcd"}
    (name,) = jobs.jobs
    job = bench.here.cluster.job(name)
    assert job is not None and job["status"]["completedIndexes"] == "0-3"
    assert job["spec"]["completions"] == 4 and job["spec"]["parallelism"] == 2
    assert jobs.ends == [] and "4 of 4 shards staged" in bench.said[-1]
    assert not [p for p in Path(bench.root).glob("_plans/**/*") if p.is_file()]


def test_a_shard_that_raises_fails_the_step_with_the_pods_last_words(bench: Bench) -> None:
    jobs = bench.jobs()
    with pytest.raises(ShardsFailed, match="row 7: no space left on device") as failed:
        bench.run(jobs, [act("a"), act("b", "raise"), act("c", "slow"), act("d", "slow")])
    (end,) = failed.value.ends
    assert (end.cause, end.phase, end.exit_code, end.index) == (Cause.RAISED, "Failed", 42, 1)
    assert end.pod in str(failed.value) and "Traceback" in end.log
    assert bench.left() == []
    bench.wait_for(lambda: not bench.here.cluster.pods(jobs.jobs[0]))
    bench.go()
    again = bench.jobs("run-b")
    bench.run(again, [act("b"), act("c"), act("d")])
    assert sorted(bench.results()) == ["a-key", "b-key", "c-key", "d-key"], "what was staged stays"


def test_a_shard_that_wants_memory_gets_more_until_it_is_cut_up(bench: Bench) -> None:
    jobs = bench.jobs()
    bench.run(jobs, [act("a"), act("big", "memory")])
    assert bench.results() == {"a-key": ("fine", 1), "big-key": ("memory", 2)}
    first, second = (bench.here.cluster.job(name) for name in jobs.jobs)
    assert first is not None and second is not None
    (container,) = second["spec"]["template"]["spec"]["containers"]
    assert second["spec"]["completions"] == 1 and container["resources"]["limits"]["memory"] == "600Mi"
    assert [end.cause for end in jobs.ends] == [Cause.OUT_OF_MEMORY]
    deaths: list[tuple[str, str]] = []

    def halves(task: Task, why: str) -> Sequence[Task]:
        deaths.append((task.key, why))
        return [act("left"), act("right")]

    small = FAST.model_copy(update={"most_memory": "300Mi"})
    bench.run(bench.jobs(options=small), [act("huge", "memory")], on_death=halves)
    assert deaths == [("huge-key", "the worker died (exit code -9)")], "the words of the local pool"
    assert {"left-key", "right-key"} <= bench.results().keys()


def test_a_shard_that_kills_or_stalls_its_worker_is_cut_up_and_costs_no_other(bench: Bench) -> None:
    """Lost otherwise: the row that does it is never found and set aside."""
    deaths: dict[str, str] = {}

    def on_death(task: Task, why: str) -> Sequence[Task]:
        deaths[task.key] = why
        return [act(f"{task.key}-half")]

    jobs = bench.jobs()
    tasks = [act("a"), act("crash", "segfault"), act("stall", "hang"), act("b")]
    bench.run(jobs, tasks, timeout_s=3, on_death=on_death)
    assert deaths == {"crash-key": "the worker died (exit code -11)", "stall-key": "no result within 3 s"}
    assert all(tries == 1 for _, tries in bench.results().values())
    assert sorted(bench.results()) == ["a-key", "b-key", "crash-key-half-key", "stall-key-half-key"]
    assert {end.cause for end in jobs.ends} == {Cause.DIED, Cause.HUNG}


def test_an_image_that_is_not_there_fails_with_the_servers_words(bench: Bench) -> None:
    jobs = bench.jobs(image="registry.invalid/missing:1", imagePullPolicy="IfNotPresent")
    with pytest.raises(ShardsFailed, match=r"image pull.*registry\.invalid/missing") as failed:
        bench.run(jobs, [act("a")])
    assert failed.value.ends[0].phase == "Pending" and failed.value.ends[0].exit_code is None
    assert bench.left() == []


def test_a_program_that_is_not_in_the_image_fails_with_the_servers_words(bench: Bench) -> None:
    jobs = bench.jobs(env=[{"name": "PATH", "value": "/nowhere"}])
    with pytest.raises(ShardsFailed, match="StartError"):
        bench.run(jobs, [act("a")])


def test_a_shard_without_a_free_gpu_waits_is_mentioned_and_runs_in_its_turn(bench: Bench) -> None:
    amounts = {"nvidia.com/gpu": "1", "memory": "300Mi"}
    on_gpu = {"resources": {"requests": amounts, "limits": amounts}}
    runs = ("run-a", "run-b")
    first, second = (Thread(bench, bench.jobs(run, **on_gpu), [act(run, "slow")]) for run in runs)
    with first, second:
        told = bench.wait_for(lambda: [line for line in bench.warned if "unschedulable" in line])
        assert "Insufficient nvidia.com/gpu" in told[0] and len(told) == 1
        bench.go()
    assert sorted(bench.results()) == ["run-a-key", "run-b-key"]
    assert Cause.UNSCHEDULABLE in {end.cause for t in (first, second) for end in t.jobs.ends}


def test_a_pod_that_is_evicted_or_deleted_is_made_again(bench: Bench) -> None:
    cluster, jobs = bench.here.cluster, bench.jobs()
    with Thread(bench, jobs, [act("a", "slow"), act("b", "slow")]):
        bench.wait_for(lambda: bench.started() == 2)
        evicted, deleted = (pod["metadata"]["name"] for pod in cluster.pods(jobs.jobs[0]))
        client = kubernetes.client.CoreV1Api(cluster._connection)
        body = kubernetes.client.V1Eviction(metadata={"name": evicted, "namespace": bench.here.namespace})
        client.create_namespaced_pod_eviction(evicted, bench.here.namespace, body)
        client.delete_namespaced_pod(deleted, bench.here.namespace)
        bench.wait_for(lambda: bench.started() == 4)
        bench.go()
    assert {k: tries for k, (_, tries) in bench.results().items()} == {"a-key": 2, "b-key": 2}
    told = "".join(bench.warned)
    assert evicted in told and deleted in told, "whether or not they were seen while they ended"


def test_shards_on_a_node_that_went_silent_run_elsewhere(on_double: Bench, monkeypatch) -> None:
    """Lost otherwise: a Job that waits for ever, as it makes no other pod before the lost one has ended."""
    bench = on_double
    monkeypatch.setattr("infinity_assets.kubernetes.watch.OVERDUE_S", 0.2)
    jobs = bench.jobs()
    with Thread(bench, jobs, [act("a"), act("b", "slow")]):
        bench.wait_for(lambda: "1 of 2 shards staged" in "".join(bench.said))
        (pod,) = bench.wait_for(lambda: bench.here.cluster.pods(jobs.jobs[0]))
        bench.here.double.lose(pod["metadata"]["name"])
        bench.wait_for(lambda: len(jobs.jobs) == 2)
        bench.go()
    assert sorted(bench.results()) == ["a-key", "b-key"]
    assert {end.cause for end in jobs.ends} == {Cause.NODE_LOST}
    assert "their nodes do not answer" in "".join(bench.warned)


def test_a_server_in_trouble_is_asked_again_and_one_that_forbids_is_not(
    on_double: Bench, monkeypatch
) -> None:
    monkeypatch.setattr("infinity_assets.kubernetes.api.PAUSES", (0.05,) * 4)
    bench, server = on_double, on_double.here.double
    server.trouble += [503, 429, 500]
    bench.run(bench.jobs(), [act("a")])
    server.trouble.append(403)
    with pytest.raises(ClusterError, match=r"is not itself \(403\); does the service account have the role"):
        bench.run(bench.jobs(), [act("b")])
    assert sorted(bench.results()) == ["a-key"]


def test_a_second_run_waits_for_the_job_of_the_first_and_never_deletes_it(bench: Bench) -> None:
    first = Thread(bench, bench.jobs("run-a"), [act("a", "slow"), act("b", "slow"), act("c", "slow")])
    with first:
        bench.wait_for(lambda: bench.started() == 2)

        class Told(Exception):
            """Of a second run that is stopped while it waits."""

        def stopped(line: str) -> None:
            raise Told(line)

        killed = bench.jobs("run-b")
        killed.tell = stopped
        with pytest.raises(Told, match="of run run-a runs already"):
            bench.run(killed, [act("a", "slow"), act("b", "slow")])
        assert bench.left("run-a") == first.jobs.jobs
        # Its plan has other shards: one was staged since, one is new.
        second = Thread(bench, bench.jobs("run-b"), [act("b", "slow"), act("c", "slow"), act("d")])
        with second:
            bench.wait_for(lambda: second.jobs.jobs)
            bench.go()
    slow = {f"{k}-key": ("slow", 1) for k in "abc"}
    assert bench.results() == slow | {"d-key": ("fine", 1)}
    assert second.jobs.jobs[0] == first.jobs.jobs[0] and len(second.jobs.jobs) == 2


def test_a_run_that_is_stopped_leaves_no_job_and_no_pod(bench: Bench) -> None:
    jobs = bench.jobs()

    def stopped(done: int, total: int) -> None:
        raise KeyboardInterrupt

    plan = Plan("images", "some_source", (act("a"), act("b", "slow"), act("c", "slow")))
    with pytest.raises(KeyboardInterrupt):
        jobs.run(bench.root, plan, timeout_s=60, on_death=nothing_dies, on_progress=stopped)
    assert bench.left() == []
    bench.wait_for(lambda: not bench.here.cluster.pods(jobs.jobs[0]))


def test_a_job_that_ended_before_is_believed_only_where_its_shards_are_staged(bench: Bench) -> None:
    """Lost otherwise: a source that is read again after its drafts were cleared finds nothing for an hour."""
    tasks = [act("a"), act("b")]
    plan = Plan("images", "some_source", tuple(tasks))
    bench.run(bench.jobs(), tasks)
    bench.run(bench.jobs(), tasks)
    assert {tries for _, tries in bench.results().values()} == {2}, "marks were gone with the plan"
    objects = Objects(bench.root)
    plan.save(objects)
    for task in tasks:
        open_plan(objects, plan.path).mark(task.key)
    bench.run(bench.jobs("run-b"), tasks)
    assert {tries for _, tries in bench.results().values()} == {2}, "staged: nothing ran"


@pytest.mark.parametrize("minor", ["28"])
def test_an_old_server_without_limits_by_index_gets_a_plain_job(on_double: Bench) -> None:
    jobs = on_double.jobs()
    on_double.run(jobs, [act("a"), act("b", "segfault")], on_death=lambda task, why: [act("c")])
    first, second = (on_double.here.cluster.job(name) for name in jobs.jobs)
    assert first is None, "it would try the crash again until its total is used up"
    assert second is not None and second["spec"]["backoffLimit"] == 2
    assert not {"backoffLimitPerIndex", "podFailurePolicy"} & second["spec"].keys()
    assert sorted(on_double.results()) == ["a-key", "c-key"]
