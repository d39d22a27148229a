"""A failure that is taken for another costs money: a preempted shard counted, a bad row tried for ever."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infinity_assets.kubernetes.job import Owner, amount, indexed_job, job_name, more_memory
from infinity_assets.kubernetes.pods import Cause, look, numbers
from infinity_assets.settings import WorkerJobs
from infinity_assets.sharding.plan import Plan, Task
from infinity_assets_tests.k8s.double.jobs import compressed
from infinity_assets_tests.k8s.server import NAME, refusals


def pod(phase: str, *, disrupted: str = "", scheduled: str = "True", reason: str = "", **state: Any) -> Any:
    conditions = [{"type": "PodScheduled", "status": scheduled, "reason": "Unschedulable", "message": "0/9"}]
    if disrupted:
        conditions.append({"type": "DisruptionTarget", "status": "True", "reason": disrupted, "message": "m"})
    status = {"phase": phase, "conditions": conditions, "message": "told"}
    if reason:
        status["reason"] = reason
    if state:
        status["containerStatuses"] = [{"name": "dagster", "state": state}]
    labels = {"batch.kubernetes.io/job-completion-index": "3"}
    return {"metadata": {"name": "p", "labels": labels}, "spec": {"nodeName": "n"}, "status": status}


def ended(code: int, reason: str = "Error") -> Any:
    return {"exitCode": code, "reason": reason, "message": "words"}


STATUSES = {
    "runs": (pod("Running", running={}), None),
    "is done": (pod("Succeeded", terminated=ended(0, "Completed")), None),
    "starts": (pod("Pending", waiting={"reason": "ContainerCreating"}), None),
    "first miss of a registry": (pod("Pending", waiting={"reason": "ErrImagePull"}), None),
    "starved": (pod("Failed", terminated=ended(137, "OOMKilled")), Cause.OUT_OF_MEMORY),
    "child starved": (pod("Failed", terminated=ended(0, "OOMKilled")), Cause.OUT_OF_MEMORY),
    "evicted by the kubelet": (pod("Failed", reason="Evicted"), Cause.EVICTED),
    "evicted by an admin": (pod("Running", disrupted="EvictionByEvictionAPI", running={}), Cause.EVICTED),
    "drained while it raised": (
        pod("Failed", disrupted="TerminationByKubelet", terminated=ended(137)),
        Cause.EVICTED,
    ),
    "preempted": (pod("Failed", disrupted="PreemptionByScheduler", terminated=ended(143)), Cause.PREEMPTED),
    "node lost": (pod("Failed", disrupted="DeletionByTaintManager"), Cause.NODE_LOST),
    "node shut down": (pod("Failed", reason="NodeShutdown", terminated=ended(143)), Cause.NODE_LOST),
    "no node": (pod("Pending", scheduled="False"), Cause.UNSCHEDULABLE),
    "no image": (pod("Pending", waiting={"reason": "ImagePullBackOff"}), Cause.NO_IMAGE),
    "never an image": (pod("Pending", waiting={"reason": "ErrImageNeverPull"}), Cause.NO_IMAGE),
    "no secret": (pod("Pending", waiting={"reason": "CreateContainerConfigError"}), Cause.NOT_CONFIGURED),
    "no program": (pod("Failed", terminated=ended(128, "StartError")), Cause.NOT_STARTED),
    "raised": (pod("Failed", terminated=ended(42)), Cause.RAISED),
    "hung": (pod("Failed", terminated=ended(124)), Cause.HUNG),
    "stopped": (pod("Failed", terminated=ended(143)), Cause.STOPPED),
    "crashed": (pod("Failed", terminated=ended(139)), Cause.DIED),
}


@pytest.mark.parametrize("name", STATUSES)
def test_a_cause_is_read_from_what_a_server_says(name: str) -> None:
    status, cause = STATUSES[name]
    end = look(status)
    assert (None if end is None else end.cause) == cause
    if end is not None:
        assert end.index == 3 and end.node == "n" and str(cause) in str(end)


TEMPLATE = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "t"},
    "spec": {"template": {"metadata": {}, "spec": {"containers": [{"name": "dagster", "image": "i"}]}}},
}
JOB: dict[str, Any] = indexed_job(
    TEMPLATE,
    "s3://bucket/store",
    Plan("images", "some_source", tuple(Task("images", str(i), {}) for i in range(5))),
    Owner("2c5a3b9e-run", "dagster-run-2c5a3b9e", "uid"),
    WorkerJobs(queue="gpus"),
    parallelism=2,
    memory="4Gi",
    timeout_s=300,
    policies=True,
)
UNSORTED = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [43, 42]}}
REFUSED = {
    "more failed indexes than indexes": {"maxFailedIndexes": 6},
    "a limit by index of a plain Job": {"completionMode": "NonIndexed"},
    "a rule for indexes without their limit": {"backoffLimitPerIndex": None},
    "unsorted exit codes": {"podFailurePolicy": {"rules": [UNSORTED]}},
    "more indexes than a host name has room for": {"completions": 10**30},
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_indexed_job_is_what_a_server_takes_and_a_wrong_one_is_refused(name: str) -> None:
    assert refusals(JOB) == [] and JOB["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    spec = {k: v for k, v in (JOB["spec"] | REFUSED[name]).items() if v is not None}
    assert refusals(JOB | {"spec": spec}, ()) != []


@given(st.sets(st.integers(0, 300)))
def test_indexes_are_read_as_a_server_compresses_them(indexes: set[int]) -> None:
    assert numbers(compressed(indexes)) == indexes


@given(st.text("abz09_", min_size=1, max_size=80), st.text("abz09_", min_size=1, max_size=80))
def test_no_table_and_no_source_makes_a_name_that_a_server_refuses(table: str, partition: str) -> None:
    plan = Plan(table, partition, (Task("draft", "k", {}),))
    name = job_name("s3://bucket/store", plan, "4Gi")
    assert NAME.fullmatch(name) and NAME.fullmatch(f"{name}-100000-abcde")
    assert name == job_name("s3://bucket/store", plan, "4Gi") != job_name("s3://bucket/store", plan, "8Gi")


def test_memory_is_doubled_up_to_what_there_is() -> None:
    assert more_memory("4Gi", "32Gi") == "8192Mi" and more_memory("20Gi", "32Gi") == "32768Mi"
    assert more_memory("32Gi", "32Gi") is None and more_memory(None, "32Gi") is None
    assert amount("1.5Gi") == 3 << 29 and amount("2G") == 2 * 10**9
    with pytest.raises(ValidationError, match="memory"):
        WorkerJobs(memory="4 GB")
