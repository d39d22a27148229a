"""The shards of a plan, run by pods: the pool of :mod:`infinity_assets.sharding` on a cluster.

One Job runs the shards that are missing. One that is found running is waited for, whoever made it; one that
failed is deleted and made again for what is missing; one that is complete says what is staged. Only the run
that made a Job deletes it while it runs: when the run fails or is told to stop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infinity_assets.errors import ClusterError
from infinity_assets.kubernetes.api import Cluster, Document
from infinity_assets.kubernetes.job import (
    INDEX_POLICIES,
    PLAN,
    RUN,
    TRIES,
    WORK,
    Owner,
    indexed_job,
    memory_of,
    more_memory,
    work_of,
)
from infinity_assets.kubernetes.pods import Cause, PodEnd, ShardsFailed
from infinity_assets.kubernetes.watch import Listener, Outcome, Watch, condition, finished, wait_until_gone
from infinity_assets.settings import WorkerJobs
from infinity_assets.sharding.plan import Plan, Task, open_plan
from infinity_assets.sharding.pool import OnDeath, OnProgress
from infinity_assets.store.objects import Objects


@dataclass
class IndexedJobs:
    """Where the shards of one step run; :class:`~infinity_assets.sharding.pool.Elsewhere`."""

    cluster: Cluster
    template: Mapping[str, Any]  #: a Job of one container, as dagster-k8s renders it
    owner: Owner
    options: WorkerJobs
    parallelism: int
    always: bool  #: whether plans of few shards go there too: the run's own pod has no GPU
    tell: Callable[[str], None]
    warn: Callable[[str], None]
    ends: list[PodEnd] = field(default_factory=list)  #: every pod that did not succeed
    jobs: list[str] = field(default_factory=list)  #: names, in the order in which they were met

    def takes(self, plan: Plan) -> bool:
        """Whether the plan is worth a Job."""
        return self.always or len(plan.tasks) >= self.options.least_shards

    def run(
        self, root: str, plan: Plan, *, timeout_s: float, on_death: OnDeath, on_progress: OnProgress | None
    ) -> None:
        """Run every shard of a plan in pods.

        Raises:
            ShardsFailed: if a shard raised an error, or its pod cannot start; with the pod's words.
            ClusterError: if the server refuses or does not answer.
        """
        if "://" not in root and not root.startswith("/"):
            raise ClusterError(f"{root}: the pods of a Job need an absolute path of a volume that all mount")
        work = _Work(self, root, Objects(root), timeout_s, on_death, on_progress)
        try:
            work.run(plan)
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Leave no pod behind that works for a run that is over."""
        for name in self.jobs:
            try:
                job = self.cluster.job(name)
                if job is not None and self.mine(job) and not finished(job):
                    self.cluster.delete_job(name)
                    self.tell(f"Job {name}: deleted")
            except ClusterError as error:
                self.warn(f"Job {name} may still run, until its run is reaped: {error}")

    def mine(self, job: Mapping[str, Any]) -> bool:
        """Whether this run made a Job, be it in an earlier pod."""
        return bool(job["metadata"].get("labels", {}).get(RUN) == self.owner.run_id)


@dataclass
class _Work:
    """One plan on its way; :meth:`run` goes from Job to Job until nothing is missing."""

    jobs: IndexedJobs
    root: str
    objects: Objects
    timeout_s: float
    on_death: OnDeath
    on_progress: OnProgress | None
    done: int = 0
    total: int = 0
    vanished: int = 0
    stopped: Counter[str] = field(default_factory=Counter)

    def run(self, plan: Plan) -> None:
        waiting: Sequence[Task] = plan.tasks
        self.total = len(waiting)
        memory = memory_of(self.jobs.template)
        while waiting:
            part = Plan(plan.table, plan.partition, tuple(waiting))
            part.save(self.objects)
            staged, ends = self._one_job(part, memory)
            missing = [task for task in waiting if task.key not in staged]
            self.done += len(waiting) - len(missing)
            self._progress(0)
            if not missing:
                part.discard(self.objects)
                return
            waiting, memory = self._again(missing, ends, memory)

    def _again(
        self, missing: Sequence[Task], ends: Mapping[str, PodEnd], memory: str | None
    ) -> tuple[list[Task], str | None]:
        """What to run next for the shards that are missing, and with how much memory."""
        starved = [t for t in missing if t.key in ends and ends[t.key].cause is Cause.OUT_OF_MEMORY]
        more = more_memory(memory, self.jobs.options.most_memory) if starved else None
        if more is not None:
            self.jobs.tell(f"{len(starved)} shards run again with {more} of memory")
        waiting: list[Task] = []
        for task in missing:
            end = ends.get(task.key)
            if end is None or (more is not None and end.cause is Cause.OUT_OF_MEMORY):
                waiting.append(task)  # nobody ran it to its end
            elif end.cause is Cause.STOPPED:
                self.stopped[task.key] += 1
                if self.stopped[task.key] >= TRIES:
                    raise ShardsFailed(f"shard {task.key}: its pods were deleted again and again", [end])
                waiting.append(task)
            else:
                instead = self.on_death(task, end.why(self.timeout_s))
                waiting += instead
                self.total += len(instead) - 1
        return waiting, more or memory

    def _one_job(self, plan: Plan, memory: str | None) -> tuple[set[str], dict[str, PodEnd]]:
        """Keys of the plan that one Job staged, and how the pods of others ended."""
        wanted = {task.key for task in plan.tasks}
        job = self._running(plan, wanted) or self._made(plan, memory)
        if job is None:
            return plan.marked(self.objects), {}
        name = job["metadata"]["name"]
        try:
            theirs = open_plan(self.objects, job["metadata"]["annotations"][PLAN])
        except FileNotFoundError:
            return set(), {}  # another run's, done this moment: look again
        keys = theirs.keys
        outcome = self._watched(job, len(keys))
        if outcome.gone:
            self.vanished += 1
            if self.vanished >= TRIES:
                raise ClusterError(f"Job {name} was deleted while it ran, for the {self.vanished}th time")
            self.jobs.warn(f"Job {name} was deleted while it ran: what is missing runs again")
        # What a Job staged in its last moments it may not have told.
        staged = {keys[i] for i in outcome.staged} | theirs.marked()
        return staged & wanted, {keys[i]: end for i, end in outcome.ends.items() if keys[i] in wanted}

    def _watched(self, job: Document, count: int) -> Outcome:
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        if name not in self.jobs.jobs:
            self.jobs.jobs.append(name)
        listener = Listener(self.jobs.tell, self.jobs.warn, self._progress, self.jobs.ends.append)
        mine = self.jobs.mine(job)
        return Watch(self.jobs.cluster, self.jobs.options, listener, name, uid, count, mine).run()

    def _running(self, plan: Plan, wanted: set[str]) -> Document | None:
        """A Job that works at shards of the plan, whatever else it works at."""
        for job in self.jobs.cluster.jobs(f"{WORK}={work_of(self.root, plan)}"):
            metadata = job["metadata"]
            if finished(job) or metadata.get("deletionTimestamp"):
                continue
            try:
                theirs = open_plan(self.objects, metadata["annotations"][PLAN])
            except FileNotFoundError:
                continue  # done this moment
            if wanted & set(theirs.keys):
                whose = "this run" if self.jobs.mine(job) else f"run {metadata['labels'][RUN]}"
                self.jobs.tell(f"Job {metadata['name']} of {whose} runs already: waiting for it")
                return job
        return None

    def _made(self, plan: Plan, memory: str | None) -> Document | None:
        """A new Job of the plan; none where a complete one left nothing to do, or another was quicker."""
        jobs = self.jobs
        policies = jobs.cluster.version() >= INDEX_POLICIES
        job = indexed_job(
            jobs.template,
            self.root,
            plan,
            jobs.owner,
            jobs.options,
            parallelism=jobs.parallelism,
            memory=memory,
            timeout_s=self.timeout_s,
            policies=policies,
        )
        name = job["metadata"]["name"]
        jobs.jobs.append(name)  # before it is made: who is stopped in between takes it away all the same
        for _ in range(TRIES):
            plan.save(self.objects)  # again: whoever had the same plan may have removed it since
            made = jobs.cluster.create_job(job)
            if made is not None:
                jobs.tell(f"Job {name}: {len(plan.tasks)} shards, {job['spec']['parallelism']} pods at once")
                return made
            found = jobs.cluster.job(name)
            if found is None:
                continue
            if found["metadata"].get("deletionTimestamp") is None:
                if not finished(found):
                    return found
                if condition(found, "Complete") and plan.marked(self.objects) >= {t.key for t in plan.tasks}:
                    jobs.tell(f"Job {name} is complete: its shards are staged")
                    return None
                jobs.tell(f"Job {name} ended before: made again for what is missing")
                jobs.cluster.delete_job(name)
            wait_until_gone(jobs.cluster, name, found["metadata"]["uid"], jobs.options)
        raise ClusterError(f"Job {name} is made and deleted by others all the time")

    def _progress(self, staged: int) -> None:
        if self.on_progress is not None:
            self.on_progress(min(self.done + staged, self.total), self.total)
