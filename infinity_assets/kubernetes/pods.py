"""What became of a pod, and why, from its status alone: what to do about it depends on the cause.

Where the server says so in several places, the most telling is asked first: the condition of a disruption,
the reason of the pod, the reason of its container, and only then the exit code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from infinity_assets.errors import ClusterError
from infinity_assets.sharding.pool import died_with, hung_for
from infinity_assets.sharding.worker import EXIT_HUNG, EXIT_RAISED, EXIT_STOPPED

INDEX: Final = "batch.kubernetes.io/job-completion-index"

#: Lines of a pod's log that are kept of a failure.
WORDS = 20


class Cause(StrEnum):
    """Why a pod ended, or does not start."""

    OUT_OF_MEMORY = "OOMKilled"  #: again with more memory, then in smaller pieces
    EVICTED = "evicted"  #: again elsewhere, not counted; so are the next two
    PREEMPTED = "preempted"
    NODE_LOST = "node lost"
    STOPPED = "stopped"  #: deleted by someone: again, counted
    UNSCHEDULABLE = "unschedulable"  #: waits, and is mentioned after a time; so does the next
    NOT_CONFIGURED = "not configured"
    NO_IMAGE = "image pull"  #: fails; so do the next two
    NOT_STARTED = "not started"
    RAISED = "code error"
    DIED = "worker died"  #: smaller pieces, down to the row that does it; so is the next
    HUNG = "hung"


DISRUPTED: Final = frozenset({Cause.EVICTED, Cause.PREEMPTED, Cause.NODE_LOST})
WAITING: Final = frozenset({Cause.UNSCHEDULABLE, Cause.NOT_CONFIGURED})
HOPELESS: Final = frozenset({Cause.NO_IMAGE, Cause.NOT_STARTED, Cause.RAISED})

#: Reasons of the condition DisruptionTarget.
_CONDITIONS = {
    "PreemptionByScheduler": Cause.PREEMPTED,
    "DeletionByTaintManager": Cause.NODE_LOST,
    "DeletionByPodGC": Cause.NODE_LOST,
    "EvictionByEvictionAPI": Cause.EVICTED,
    "TerminationByKubelet": Cause.EVICTED,
}

#: Reasons of a failed pod itself; without the condition on servers below 1.26.
_REASONS = {
    "Evicted": Cause.EVICTED,
    "Preempting": Cause.PREEMPTED,
    "NodeLost": Cause.NODE_LOST,
    "NodeShutdown": Cause.NODE_LOST,
    "Shutdown": Cause.NODE_LOST,
    "Terminated": Cause.NODE_LOST,
}

#: Reasons of a container that waits and will wait for ever. A first ErrImagePull may be a registry's hiccup.
_NO_IMAGE = frozenset({"ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
_NOT_CONFIGURED = frozenset({"CreateContainerConfigError"})
_NOT_STARTED = frozenset({"StartError", "ContainerCannotRun", "RunContainerError", "CreateContainerError"})


@dataclass(frozen=True, slots=True)
class PodEnd:
    """One pod that failed or does not start, for people and for what happens next."""

    pod: str
    index: int | None  #: of its shard in the Job's plan
    cause: Cause
    phase: str
    reason: str  #: in the server's words
    exit_code: int | None
    message: str
    node: str
    log: str = ""  #: last lines

    def why(self, timeout_s: float) -> str:
        """The cause of a dead shard, in the words of the local pool: they may stand in a table."""
        if self.cause is Cause.HUNG:
            return hung_for(timeout_s)
        code = 137 if self.cause is Cause.OUT_OF_MEMORY else self.exit_code
        return died_with(128 - code if code is not None and code > 128 else code)

    def with_log(self, log: str) -> PodEnd:
        """With its last lines."""
        return replace(self, log=log)

    def __str__(self) -> str:
        parts = [f"phase {self.phase}"]
        if self.reason and self.reason != str(self.cause):
            parts.append(self.reason)
        if self.exit_code is not None:
            parts.append(f"exit code {self.exit_code}")
        if self.node:
            parts.append(f"node {self.node}")
        where = "" if self.index is None else f" (shard {self.index})"
        said = f": {self.message}" if self.message else ""
        words = f"\n{self.log}" if self.log else ""
        return f"{self.pod}{where}: {self.cause} ({', '.join(parts)}){said}{words}"


class ShardsFailed(ClusterError):
    """Shards that no further try would help."""

    def __init__(self, told: str, ends: Sequence[PodEnd] = ()) -> None:
        super().__init__("\n".join([told, *map(str, ends)]))
        self.ends = tuple(ends)


def look(pod: Mapping[str, Any]) -> PodEnd | None:
    """What is wrong with a pod; None where it runs, starts or succeeded."""
    status: Mapping[str, Any] = pod.get("status") or {}
    phase = status.get("phase", "Pending")
    if phase == "Succeeded":
        return None
    conditions = {c["type"]: c for c in status.get("conditions") or () if c["status"] != "Unknown"}
    states = [
        container.get("state") or {}
        for key in ("initContainerStatuses", "containerStatuses")
        for container in status.get(key) or ()
    ]
    ended = next((s["terminated"] for s in states if _failed(s.get("terminated"))), None)
    waits = next((s["waiting"] for s in states if "waiting" in s), None) if phase == "Pending" else None

    def end(cause: Cause, told: Mapping[str, Any]) -> PodEnd:
        metadata = pod["metadata"]
        index = (metadata.get("labels") or {}).get(INDEX, (metadata.get("annotations") or {}).get(INDEX))
        return PodEnd(
            pod=metadata["name"],
            index=None if index is None else int(index),
            cause=cause,
            phase=phase,
            reason=told.get("reason") or "",
            exit_code=None if ended is None else ended.get("exitCode"),
            message=told.get("message") or "",
            node=pod["spec"].get("nodeName") or "",
        )

    disrupted = conditions.get("DisruptionTarget", {})
    if disrupted.get("status") == "True":
        return end(_CONDITIONS.get(disrupted.get("reason", ""), Cause.EVICTED), disrupted)
    if phase == "Failed" and status.get("reason") in _REASONS:
        return end(_REASONS[status["reason"]], status)
    if ended is not None and (phase == "Failed" or ended.get("reason") == "OOMKilled"):
        return end(_cause(ended), ended)
    if phase == "Failed":
        return end(Cause.STOPPED, status)
    if waits is not None:
        reason = waits.get("reason")
        if reason in _NO_IMAGE:
            return end(Cause.NO_IMAGE, waits)
        if reason in _NOT_STARTED:
            return end(Cause.NOT_STARTED, waits)
        return end(Cause.NOT_CONFIGURED, waits) if reason in _NOT_CONFIGURED else None
    scheduled = conditions.get("PodScheduled", {})
    if phase == "Pending" and scheduled.get("status") == "False":
        return end(Cause.UNSCHEDULABLE, scheduled)
    return None


def _failed(ended: Mapping[str, Any] | None) -> bool:
    return ended is not None and (ended.get("exitCode") != 0 or ended.get("reason") == "OOMKilled")


def _cause(ended: Mapping[str, Any]) -> Cause:
    if ended.get("reason") == "OOMKilled":
        return Cause.OUT_OF_MEMORY
    if ended.get("reason") in _NOT_STARTED:
        return Cause.NOT_STARTED
    known = {EXIT_RAISED: Cause.RAISED, EXIT_HUNG: Cause.HUNG, EXIT_STOPPED: Cause.STOPPED}
    return known.get(ended.get("exitCode", -1), Cause.DIED)


def numbers(compressed: str | None) -> set[int]:
    """Indexes as a server compresses them: ``0,2-4``."""
    found: set[int] = set()
    for part in filter(None, (compressed or "").split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
