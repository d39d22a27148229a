"""The Indexed Job of a plan, from a Job of one container as dagster-k8s renders it; no call is made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from infinity_assets.settings import WorkerJobs
from infinity_assets.sharding.plan import Plan
from infinity_assets.sharding.worker import EXIT_STOPPED
from infinity_assets.store.digests import key_of

#: Labels of a Job, by which it is found again.
RUN: Final = "infinity-assets/run"
WORK: Final = "infinity-assets/work"
#: Annotations of a Job: where its plan lies in the store, and the memory of its pods.
PLAN: Final = "infinity-assets/plan"

KUEUE: Final = "kueue.x-k8s.io/queue-name"

#: How often an index may fail for a cause that says nothing about its shard: someone deleted its pod.
TRIES: Final = 3

#: From which version on a server counts failures by index and tells disruptions from failures.
INDEX_POLICIES: Final = (1, 29)

_UNITS = {"": 1, **{f"{unit}i": 1024**power for power, unit in enumerate("KMGTPE", 1)}}
_UNITS |= {unit: 1000**power for power, unit in enumerate("kMGTPE", 1)}


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose work it is: the run, and the Job that it runs in."""

    run_id: str
    job: str | None  #: name; None where the run has no Job
    uid: str | None


def work_of(root: str, plan: Plan) -> str:
    """A label value that all Jobs of one table and partition of one store have, and no other."""
    return key_of(root, plan.table, plan.partition)


def job_name(root: str, plan: Plan, memory: str | None) -> str:
    """The name of a plan's Job: the same wherever and whenever it is asked for.

    At most 50 characters: pods add their index and five more, and a host name has 63.
    """
    read = f"{plan.table}-{plan.partition}".replace("_", "-")[:24].strip("-")
    return f"infinity-{read}-{key_of(root, plan.table, plan.partition, plan.hash, memory or '')[:16]}"


def indexed_job(
    template: Mapping[str, Any],
    root: str,
    plan: Plan,
    owner: Owner,
    options: WorkerJobs,
    *,
    parallelism: int,
    memory: str | None,
    timeout_s: float,
    policies: bool,
) -> dict[str, Any]:
    """One Job with one index for each shard.

    Args:
        template: a Job of one container with its image, resources, mounts and labels.
        root: the store's root, as its pods reach it.
        plan: saved in the store.
        owner: the run; its Job, not its pod, so that a run that is started again finds it.
        options: deadlines and queue.
        parallelism: pods at once.
        memory: request and limit, in the place of the template's; None where it has none.
        timeout_s: longest that one shard may take.
        policies: whether the server knows failures by index; else a total stands in for them.
    """
    job = deepcopy(dict(template))
    metadata, spec = job["metadata"], job["spec"]
    metadata["name"] = job_name(root, plan, memory)
    labels = {RUN: owner.run_id, WORK: work_of(root, plan)}
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    if options.queue is not None:
        metadata["labels"][KUEUE] = options.queue
    metadata["annotations"] = {**(metadata.get("annotations") or {}), PLAN: plan.path}
    if owner.job is not None and owner.uid is not None:
        kind = {"apiVersion": "batch/v1", "kind": "Job"}
        metadata["ownerReferences"] = [{**kind, "name": owner.job, "uid": owner.uid}]
    pod = spec["template"]
    pod["metadata"].pop("name", None)
    pod["metadata"]["labels"] = {**(pod["metadata"].get("labels") or {}), **labels}
    (container,) = pod["spec"]["containers"]
    module = ["python", "-m", "infinity_assets.sharding.worker"]
    container["command"] = [*module, root, plan.path, "--timeout", f"{timeout_s:g}"]
    container.pop("args", None)
    if memory is not None:
        for amounts in ("requests", "limits"):
            container.setdefault("resources", {}).setdefault(amounts, {})["memory"] = memory
    pod["spec"]["restartPolicy"] = "Never"
    count = len(plan.tasks)
    spec |= {
        "completionMode": "Indexed",
        "completions": count,
        "parallelism": min(parallelism, count),
        "activeDeadlineSeconds": options.deadline_s,
        "ttlSecondsAfterFinished": options.kept_s,
    }
    if policies:
        spec.pop("backoffLimit", None)
        spec["backoffLimitPerIndex"] = TRIES - 1
        spec["podFailurePolicy"] = {"rules": _rules(container["name"])}
    else:
        spec["backoffLimit"] = count * (TRIES - 1)
    return job


def _rules(container: str) -> Sequence[Mapping[str, Any]]:
    """A disruption is not counted; what a shard did by itself is known at its first time."""
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    other_than_stopped = {"containerName": container, "operator": "NotIn", "values": [EXIT_STOPPED]}
    return [
        {"action": "Ignore", "onPodConditions": disrupted},
        {"action": "FailIndex", "onExitCodes": other_than_stopped},
    ]


def memory_of(template: Mapping[str, Any]) -> str | None:
    """The memory that the pods of a template are limited to."""
    (container,) = template["spec"]["template"]["spec"]["containers"]
    found = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    return None if found is None else str(found)


def more_memory(memory: str | None, most: str) -> str | None:
    """Twice as much, at most ``most``; None where that is no more."""
    if memory is None or amount(memory) >= amount(most):
        return None
    return f"{min(2 * amount(memory), amount(most)) >> 20}Mi"


def amount(quantity: str) -> int:
    """Bytes of a quantity of Kubernetes, such as ``4Gi``.

    Raises:
        ValueError: if it is none.
    """
    digits = quantity.rstrip("KMGTPEki")
    return int(float(digits) * _UNITS[quantity[len(digits) :]])
