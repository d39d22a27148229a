"""Whole runs on a cluster: a pod for the run, Jobs for its heavy steps, nothing left when it is over."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import dagster as dg
import kubernetes.client
import pytest
import yaml
from dagster._core.instance import InstanceRef
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.monitoring.run_monitoring import monitor_started_run
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from infinity_assets.automation.pools import pools_known
from infinity_assets.automation.reaper import reap_jobs
from infinity_assets.definitions import platform_defs
from infinity_assets.kubernetes.job import RUN
from infinity_assets.kubernetes.watch import finished
from infinity_assets.platform import Platform
from infinity_assets_tests.conftest import Site, dedupe, ingest, jsonl, picture, talk
from infinity_assets_tests.k8s.conftest import Here
from infinity_assets_tests.k8s.deployed import Deployment, deployed
from infinity_assets_tests.orchestration.postgres import MISSING, postgres, programs

#: In pods of shards: a tagger that sees a cat everywhere; all wait as long as the file ``hold`` is there.
STAND_INS = """
import os, sys, time, types
from pathlib import Path

class Tagger:
    def tag(self, pictures):
        from infinity_assets.models.taggers.protocol import PictureTags
        for one in pictures:
            yield PictureTags(one.image_id, ("cat",), (5.0,))

if "infinity_assets.sharding.worker" in sys.orig_argv:
    engines = types.ModuleType("infinity_assets.models.taggers.engines")
    engines.open_tagger = lambda options, decode: Tagger()
    sys.modules[engines.__name__] = engines
    folder = Path(__file__).parent
    with (folder / "pods").open("a") as told:
        told.write("x")
    while (folder / "hold").exists():
        time.sleep(0.05)
    if (folder / "fail").exists():
        print("0.jsonl, row 7: no space left on device")
        sys.stdout.flush()
        os._exit(42)
"""
STAGED = 4  #: shards of a source: one for each of its files


@pytest.fixture
def deployment(kubeconfig: Here, site: Site) -> Iterator[Deployment]:
    """One source of four files with three pictures; tags by a model on a GPU."""
    (site.folder / "sitecustomize.py").write_text(STAND_INS)
    for name, line in (("tags", "cat"), ("thresholds", "0.5"), ("weights.safetensors", "w")):
        (site.folder / name).write_text(line)
    rows = {f"{i}.jsonl": jsonl([talk(f"{i}-{j}", f"{j}.png") for j in range(3)]) for i in range(STAGED)}
    site.add("dots", rows | {f"{j}.png": picture(j) for j in range(3)})
    ram_plus = {n: str(site.folder / n) for n in ("tags", "thresholds")} | {"device": "cpu"}
    ram_plus["weights"] = str(site.folder / "weights.safetensors")
    with deployed(kubeconfig, site, ram_plus, tagger="ram_plus") as made:
        yield made


def test_a_source_goes_from_its_files_to_its_filters_in_pods_of_a_cluster(deployment: Deployment) -> None:
    run_id = deployment.launch("source_pipeline", "dots")
    run = deployment.ended(run_id)
    assert run.status is dg.DagsterRunStatus.SUCCESS, deployment.words()
    pictures, tags, drafts = deployment.jobs(run_id)
    assert [j["spec"]["completions"] for j in (pictures, tags, drafts)] == [1, 1, STAGED]
    for job, stage in ((drafts, "unified"), (pictures, "unified"), (tags, "tagged")):
        labels = job["spec"]["template"]["metadata"]["labels"]
        assert labels["infinity-assets/stage"] == stage and labels["infinity-assets/source"] == "dots"
        assert labels["dagster/run-id"] == run_id
        (owner,) = job["metadata"]["ownerReferences"]
        assert owner["kind"] == "Job" and owner["name"] == f"dagster-run-{run_id}"
        assert job["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
        assert "DAGSTER_HOME" not in str(job["spec"])
        told = deployment.metadata(stage, "dots")
        assert job["metadata"]["name"] in told["kubernetes_jobs"].value
    gpu = {"nvidia.com/gpu": "1"}
    (container,) = tags["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"requests": gpu, "limits": gpu}
    assert deployment.metadata("filtered", "dots")["dagster/row_count"].value == 3 * STAGED


def test_a_run_that_is_terminated_leaves_no_job_and_no_pod(deployment: Deployment) -> None:
    """Lost otherwise: GPUs that go on working for nobody."""
    deployment.hold(True)
    run_id = deployment.launch("ingest", "dots")
    deployment.wait_for(lambda: deployment.pods() == 2)
    (job,) = deployment.jobs(run_id)
    assert deployment.instance.run_launcher.terminate(run_id)
    assert deployment.ended(run_id).status is dg.DagsterRunStatus.CANCELED
    deployment.wait_for(lambda: not deployment.jobs(run_id))
    deployment.wait_for(lambda: not deployment.here.cluster.pods(job["metadata"]["name"]))
    assert deployment.pods() == 2


def test_a_run_whose_pod_is_killed_goes_on_in_another_and_pays_for_no_shard_twice(
    deployment: Deployment,
) -> None:
    cluster = deployment.here.cluster
    deployment.hold(True)
    run_id = deployment.launch("ingest", "dots")
    deployment.wait_for(lambda: deployment.pods() == 2)
    (before,) = deployment.jobs(run_id)
    (pod,) = cluster.pods(f"dagster-run-{run_id}")
    core = kubernetes.client.CoreV1Api(cluster._connection)
    core.delete_namespaced_pod(pod["metadata"]["name"], deployment.here.namespace, grace_period_seconds=0)
    deployment.wait_for(lambda: finished(cluster.job(f"dagster-run-{run_id}") or {}))
    record = deployment.instance.get_run_record_by_id(run_id)
    nowhere: Any = None  # the launcher needs no workspace: the run says where its code is
    monitor_started_run(deployment.instance, nowhere, record, logging.getLogger(__name__))
    deployment.hold(False)
    assert deployment.ended(run_id).status is dg.DagsterRunStatus.SUCCESS, deployment.words()
    _, drafts = deployment.jobs(run_id)
    assert drafts["metadata"]["uid"] == before["metadata"]["uid"], "the same Job, met again"
    assert deployment.pods() == STAGED + 1


def test_jobs_of_a_run_that_is_over_are_reaped_and_no_others(deployment: Deployment) -> None:
    """Lost otherwise: the GPUs of a run whose node died, for a day."""
    cluster = deployment.here.cluster
    states = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED)
    runs = [create_run_for_test(deployment.instance, status=status).run_id for status in states]
    volumes, mounts = deployment.here.volumes()
    container = {
        "name": "c",
        "image": deployment.here.image,
        "command": ["sleep", "600"],
        "volumeMounts": mounts,
    }
    pod = {"restartPolicy": "Never", "volumes": volumes, "terminationGracePeriodSeconds": 1}
    names = [f"infinity-test-{run_id[:8]}" for run_id in (*runs, "elsewhere")]
    for name, run_id in zip(names, (*runs, "elsewhere"), strict=True):
        spec = {"template": {"metadata": {}, "spec": pod | {"containers": [container]}}}
        metadata = {"name": name, "labels": {RUN: run_id}}
        cluster.create_job({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
    deployment.wait_for(lambda: len(cluster.pods(names[0])) == 1)
    context = dg.build_sensor_context(instance=deployment.instance)
    told = reap_jobs()(context)
    assert names[0] in str(told) and names[1] not in str(told)
    deployment.wait_for(lambda: [cluster.job(name) is None for name in names] == [True, False, False])
    deployment.wait_for(lambda: not cluster.pods(names[0]))
    for name in names[1:]:
        cluster.delete_job(name)


def test_a_failed_run_tells_of_its_pods_and_the_next_one_goes_on(deployment: Deployment) -> None:
    """Lost otherwise: whoever wakes at night reads `failed indexes`, and looks for pods that are gone."""
    (deployment.site.folder / "fail").touch()
    job = deployment.definitions.resolve_job_def("ingest")

    def run() -> dg.ExecuteInProcessResult:
        return job.execute_in_process(
            partition_key="dots", instance=deployment.instance, raise_on_error=False
        )

    failed = run()
    (event,) = failed.get_step_failure_events()
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    told = failure.metadata["failed_pods"].records[0].data
    assert told["cause"] == "code error" and told["phase"] == "Failed" and told["exit_code"] == "42"
    assert told["log"] == "0.jsonl, row 7: no space left on device"
    assert deployment.jobs(failed.run_id) == []
    (deployment.site.folder / "fail").unlink()
    assert run().success


@pytest.fixture
def with_postgres(deployment: Deployment) -> Iterator[Deployment]:
    """Records in Postgres, as on a cluster: SQLite locks out processes that write at the same time."""
    found = programs()
    if found is None:
        pytest.skip(MISSING)
    home = deployment.site.folder / "with_postgres"
    home.mkdir()
    config = yaml.safe_load((deployment.site.folder / "dagster" / "dagster.yaml").read_text())
    with postgres(found) as url:
        del config["run_coordinator"]  # the queue, as on a cluster
        config["concurrency"] = {"pools": {"granularity": "run", "default_limit": 1}}
        config["storage"] = {"postgres": {"postgres_url": url}}
        (home / "dagster.yaml").write_text(yaml.safe_dump(config))
        with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as instance:
            yield replace(deployment, instance=instance)


def test_five_sources_at_once_take_their_turns_on_one_gpu(
    with_postgres: Deployment, site: Site, in_process: list[str]
) -> None:
    """Lost otherwise: four pods that wait for a GPU which a pool was to keep free, or a source run twice."""
    deployment = with_postgres
    names = [f"s{i}" for i in range(5)]
    for i, name in enumerate(names):
        site.add(name, {"rows.jsonl": jsonl([talk(name, "p.png")]), "p.png": picture(10 + i)})
    platform = Platform(deployment.settings)
    for name in names:
        ingest(platform, name)
    for name in names:
        dedupe(platform, name)
    deployed_now = replace(deployment, definitions=platform_defs(Platform(deployment.settings)))
    pools_known(["gpu"])(dg.build_sensor_context(instance=deployment.instance))
    runs = [deployed_now.queue("decide", name) for name in names]
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    nowhere: Any = SimpleNamespace(instance=deployment.instance, create_request_context=lambda: None)

    def over() -> bool:
        for _ in daemon.run_iteration(nowhere):
            pass
        return all(deployment.instance.get_run_by_id(run).is_finished for run in runs)

    deployment.wait_for(over)
    ended = [deployment.instance.get_run_by_id(run).status for run in runs]
    assert ended == [dg.DagsterRunStatus.SUCCESS] * 5, deployment.words()
    assert deployment.pods() == 5
    told = [deployment.metadata("tagged", name) for name in names]
    assert all("kubernetes_jobs" in of_source for of_source in told)
    failed = [of_source["failed_pods"].records for of_source in told if "failed_pods" in of_source]
    assert failed == [], "no pod had to wait for the GPU"
    records = deployment.instance.get_run_records(dg.RunsFilter(run_ids=runs))
    times = sorted((record.start_time, record.end_time) for record in records)
    assert all(later >= earlier for (_, earlier), (later, _) in itertools.pairwise(times)), "one at a time"
