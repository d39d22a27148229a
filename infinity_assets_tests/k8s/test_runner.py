"""Shards in pods: what fails is told apart, and each cause leads to what helps; no pod works for nobody."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infinity_assets.kubernetes.job import RUN, Owner
from infinity_assets.kubernetes.runner import IndexedJobs
from infinity_assets.settings import WorkerJobs
from infinity_assets.sharding.plan import Plan, Task
from infinity_assets_tests.k8s.conftest import ROOT, Here

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
        from infinity_assets.kubernetes.watch import finished

        return [j["metadata"]["name"] for j in self.here.cluster.jobs(f"{RUN}={run}") if not finished(j)]


@pytest.fixture
def bench(kubeconfig: Here, tmp_path: Path):
    (tmp_path / "misbehave.py").write_text(MISBEHAVE)
    (tmp_path / "sitecustomize.py").write_text(SITE)
    (tmp_path / "store").mkdir()
    made = Bench(kubeconfig, tmp_path)
    yield made
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
