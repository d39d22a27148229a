"""One Job, watched until it ends: which of its shards are staged, and why the others are not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infinity_assets.errors import ClusterError
from infinity_assets.kubernetes.api import Cluster
from infinity_assets.kubernetes.pods import (
    DISRUPTED,
    HOPELESS,
    WAITING,
    WORDS,
    Cause,
    PodEnd,
    ShardsFailed,
    look,
    numbers,
)
from infinity_assets.settings import WorkerJobs

#: Seconds that a pod may take to end beyond its grace period. Our choice.
OVERDUE_S = 120.0

#: Seconds between two lines of progress, while it changes.
TELL_EVERY_S = 10.0


@dataclass(frozen=True)
class Listener:
    """Who is told what happens, as it happens."""

    tell: Callable[[str], None]  #: a line for the step's log
    warn: Callable[[str], None]  #: a line that a person should look at
    staged: Callable[[int], None]  #: shards of this Job that are staged
    ended: Callable[[PodEnd], None]  #: each pod that did not succeed, once


@dataclass
class Outcome:
    """What is known of a Job when it ended or was gone."""

    staged: set[int] = field(default_factory=set)  #: indexes
    ends: dict[int, PodEnd] = field(default_factory=dict)  #: the last pod of each index that did not
    gone: bool = False  #: whether the Job was deleted while it ran


def condition(job: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """A condition of a Job that holds."""
    for found in (job.get("status") or {}).get("conditions") or ():
        if found["type"] == kind and found["status"] == "True":
            return dict(found)
    return None


def finished(job: Mapping[str, Any]) -> bool:
    """Whether a Job ended, one way or the other."""
    return condition(job, "Complete") is not None or condition(job, "Failed") is not None


@dataclass
class Watch:
    """A look at a Job every few seconds; :meth:`run` is its whole life."""

    cluster: Cluster
    options: WorkerJobs
    listener: Listener
    name: str
    uid: str
    count: int  #: of its indexes
    mine: bool  #: whether it is this run's, to be deleted once nothing more is to be learned
    outcome: Outcome = field(default_factory=Outcome)
    _seen: set[str] = field(default_factory=set)  #: pods whose end was told
    _open: set[str] = field(default_factory=set)  #: those that had not succeeded at the last look
    _waits: dict[str, float] = field(default_factory=dict)  #: pods without a node, and since when
    _mentioned: set[str] = field(default_factory=set)  #: those that were mentioned
    _going: dict[str, float] = field(default_factory=dict)  #: pods that are to end, and since when
    _began: float = field(default_factory=time.monotonic)
    _told: float = 0.0

    def run(self) -> Outcome:
        """Look until the Job has ended or is gone.

        Raises:
            ShardsFailed: as soon as a pod failed for a cause that no further try would help, or when the Job
                took longer than its deadline.
        """
        while True:
            job = self.cluster.job(self.name)
            if job is None or job["metadata"]["uid"] != self.uid:
                self.outcome.gone = True
                return self.outcome
            lost = self._look_at_pods()
            self._progress(job)
            failed = condition(job, "Failed")
            if failed is not None and failed.get("reason") == "DeadlineExceeded":
                waiting = f"; without a node: {', '.join(self._waits)}" if self._waits else ""
                raise ShardsFailed(
                    f"Job {self.name}: not done within {self.options.deadline_s} s (worker_jobs.deadline_s)"
                    f"{waiting}",
                    list(self.outcome.ends.values()),
                )
            if finished(job):
                self._fill(job)
                return self.outcome
            settled = len(self.outcome.staged | self.outcome.ends.keys()) == self.count
            if settled and self.mine and "backoffLimitPerIndex" not in job["spec"]:
                self.cluster.delete_job(self.name)  # it would try in vain until its total is used up
                return self.outcome
            if lost and self.mine:
                told = f"their nodes do not answer: {', '.join(lost)}; the other shards run again elsewhere"
                self.listener.warn(f"Job {self.name}: {told}")
                self.cluster.delete_job(self.name)  # it makes no other pod before these have ended
                return self.outcome
            if condition(job, "Suspended") is not None:
                self._waiting(self.name, f"Job {self.name} is suspended: its queue did not admit it yet")
            time.sleep(self.options.poll_s)

    def _look_at_pods(self) -> list[str]:
        """Tell how pods ended; gives those that never will, where no other is left at work."""
        lost, at_work = [], False
        pods = self.cluster.pods(self.name)
        for name in sorted(self._open - self._seen - {pod["metadata"]["name"] for pod in pods}):
            self.listener.warn(f"pod {name} was gone before its end was seen: deleted or evicted")
        self._open = {p["metadata"]["name"] for p in pods if p["status"].get("phase") != "Succeeded"}
        for pod in pods:
            if pod["status"].get("phase") != "Failed":
                overdue = self._overdue(pod)
                at_work |= not overdue
                lost += [pod["metadata"]["name"]] if overdue else []
            end = look(pod)
            name = pod["metadata"]["name"]
            if end is None or end.cause not in WAITING:
                self._waits.pop(name, None)
            if end is None or name in self._seen:
                continue
            if end.cause in WAITING:
                self._waiting(name, str(end), end)
                continue
            self._seen.add(name)
            end = end.with_log(self.cluster.last_words(name, WORDS))
            self.listener.ended(end)
            if end.cause in HOPELESS:
                raise ShardsFailed(f"Job {self.name}: {end.cause}", [end])
            if end.cause in DISRUPTED:
                self.listener.warn(f"not counted, it runs again elsewhere: {end}")
            elif end.index is not None:
                self.outcome.ends[end.index] = end
                self.listener.warn(str(end))
        return [] if at_work else lost

    def _overdue(self, pod: Mapping[str, Any]) -> bool:
        """Whether a pod was to end long ago: its node is gone, and nobody said so to the server."""
        metadata = pod["metadata"]
        if "deletionTimestamp" not in metadata:
            return False
        since = self._going.setdefault(metadata["name"], time.monotonic())
        return time.monotonic() - since > (metadata.get("deletionGracePeriodSeconds") or 0) + OVERDUE_S

    def _fill(self, job: Mapping[str, Any]) -> None:
        """Indexes that failed, and whose pods were gone before anyone looked."""
        for index in numbers(job["status"].get("failedIndexes")) - self.outcome.ends.keys():
            told = "its pods were gone before their end was seen"
            self.outcome.ends[index] = PodEnd(self.name, index, Cause.STOPPED, "Failed", "", None, told, "")

    def _waiting(self, name: str, told: str, end: PodEnd | None = None) -> None:
        since = self._waits.setdefault(name, time.monotonic())
        if name not in self._mentioned and time.monotonic() - since >= self.options.warn_after_s:
            self._mentioned.add(name)
            self.listener.warn(f"waiting for {time.monotonic() - since:.0f} s: {told}")
            if end is not None:
                self.listener.ended(end)

    def _progress(self, job: Mapping[str, Any]) -> None:
        status = job.get("status") or {}
        before = len(self.outcome.staged)
        self.outcome.staged |= numbers(status.get("completedIndexes"))
        done = len(self.outcome.staged)
        for index in self.outcome.staged & self.outcome.ends.keys():
            del self.outcome.ends[index]
        if done == before:
            return
        self.listener.staged(done)
        now = time.monotonic()
        if done == self.count or now - self._told >= TELL_EVERY_S:
            self._told = now
            left = (now - self._began) / done * (self.count - done)
            eta = f", about {left:.0f} s to go" if done < self.count else ""
            running = f", {status.get('active', 0)} pods" if done < self.count else ""
            self.listener.tell(f"Job {self.name}: {done} of {self.count} shards staged{running}{eta}")


def wait_until_gone(cluster: Cluster, name: str, uid: str, options: WorkerJobs) -> None:
    """After a Job was deleted: its name is free once the server is done with it.

    Raises:
        ClusterError: if it is still there after two minutes.
    """
    for _ in range(max(1, int(120 / options.poll_s))):
        job = cluster.job(name)
        if job is None or job["metadata"]["uid"] != uid:
            return
        time.sleep(options.poll_s)
    raise ClusterError(f"Job {name} was deleted and is still there; what holds its finalizers?")
