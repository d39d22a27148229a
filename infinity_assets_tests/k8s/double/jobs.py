"""The controller of Jobs: plain and Indexed ones, as seen on a server of 1.34."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any

from infinity_assets_tests.k8s.double.objects import Document, State, condition, now, suffix

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


class JobController:
    """Makes pods for Jobs, counts how they end, and says when a Job is over."""

    def __init__(self, state: State, delete_pod: Any, back_off_s: float) -> None:
        self._state = state
        self._delete_pod = delete_pod
        self._back_off_s = back_off_s
        self._books: dict[str, _Book] = {}

    def step(self) -> None:
        """Look at every Job once."""
        for job in self._state.all("jobs"):
            book = self._books.setdefault(job["metadata"]["uid"], _Book(job))
            if _over(job) is None:
                self._count(job, book)
                self._end_or_go_on(job, book)
            else:
                book.tell(self._pods(job))
                self._expire(job, book)

    def pod_gone(self, pod: Document) -> None:
        """A pod was removed: one whose end was not seen counts as failed."""
        for owner in pod["metadata"].get("ownerReferences") or ():
            book = self._books.get(owner["uid"])
            if book is not None and pod["metadata"]["uid"] not in book.counted:
                if pod["status"]["phase"] != "Succeeded":
                    pod["status"]["phase"] = "Failed"
                self._count_one(book, pod)

    def _pods(self, job: Document) -> list[Document]:
        uid = job["metadata"]["uid"]
        return [
            p
            for p in self._state.all("pods", job["metadata"]["namespace"])
            if any(o["uid"] == uid for o in p["metadata"].get("ownerReferences") or ())
        ]

    def _count(self, job: Document, book: _Book) -> None:
        for pod in self._pods(job):
            ended = pod["status"]["phase"] in ("Succeeded", "Failed")
            if ended and pod["metadata"]["uid"] not in book.counted:
                self._count_one(book, pod)
        book.tell(self._pods(job))

    def _count_one(self, book: _Book, pod: Document) -> None:
        book.counted.add(pod["metadata"]["uid"])
        found = (pod["metadata"].get("labels") or {}).get(INDEX)
        index = None if found is None else int(found)
        if pod["status"]["phase"] == "Succeeded":
            book.succeeded.add(index)
            book.pods_succeeded += 1
            return
        action = _action(book.spec, pod)
        if action == "Ignore":
            book.ignored[index] = book.ignored.get(index, 0) + 1
            return
        book.pods_failed += 1
        book.failures[index] = failures = book.failures.get(index, 0) + 1
        book.not_before[index] = time.monotonic() + self._back_off_s * 2 ** (failures - 1)
        limit = book.spec.get("backoffLimitPerIndex")
        if action == "FailIndex" or (limit is not None and failures > limit):
            book.failed.add(index)

    def _end_or_go_on(self, job: Document, book: _Book) -> None:
        spec, pods = book.spec, self._pods(job)
        active = [p for p in pods if p["status"]["phase"] in ("Pending", "Running")]
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and time.monotonic() - book.began >= deadline:
            self._fail(job, book, active, "DeadlineExceeded", "Job was active longer than specified deadline")
        elif spec.get("backoffLimitPerIndex") is None and book.pods_failed > spec.get("backoffLimit", 6):
            self._fail(
                job, book, active, "BackoffLimitExceeded", "Job has reached the specified backoff limit"
            )
        elif len(book.succeeded) + len(book.failed) == book.completions:
            if active:
                return
            if book.failed:
                self._fail(job, book, [], "FailedIndexes", "Job has failed indexes")
            else:
                condition(job, "SuccessCriteriaMet", "True", "CompletionsReached")
                condition(job, "Complete", "True", "CompletionsReached")
                job["status"]["completionTime"] = now()
                book.ended = time.monotonic()
        elif not spec.get("suspend"):
            self._start(job, book, active)

    def _fail(self, job: Document, book: _Book, active: list[Document], reason: str, message: str) -> None:
        condition(job, "FailureTarget", "True", reason, message)
        condition(job, "Failed", "True", reason, message)
        book.ended = time.monotonic()
        for pod in active:
            self._delete_pod(pod)

    def _start(self, job: Document, book: _Book, active: list[Document]) -> None:
        room = book.spec.get("parallelism", 1) - len(active)
        busy = {_index_of(pod) for pod in active}
        indexes = range(book.completions) if book.indexed else [None]
        for index in indexes:
            waits = book.not_before.get(index, 0) > time.monotonic()
            if room <= 0 or index in busy | book.succeeded | book.failed or waits:
                continue
            self._make(job, book, index)
            room -= 1

    def _make(self, job: Document, book: _Book, index: int | None) -> None:
        template = deepcopy(book.spec["template"])
        metadata, name = template.setdefault("metadata", {}), job["metadata"]["name"]
        labels = metadata.setdefault("labels", {})
        for key, value in (("job-name", name), ("controller-uid", job["metadata"]["uid"])):
            labels[key] = labels[f"batch.kubernetes.io/{key}"] = value
        head = name
        if index is not None:
            head = f"{name}-{index}"
            labels[INDEX] = str(index)
            metadata.setdefault("annotations", {})[INDEX] = str(index)
            if "backoffLimitPerIndex" in book.spec:
                metadata["annotations"][FAILURES] = str(book.failures.get(index, 0))
            if index in book.ignored:
                metadata["annotations"][IGNORED] = str(book.ignored[index])
            field = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
            for container in template["spec"]["containers"]:
                container.setdefault("env", []).append({"name": "JOB_COMPLETION_INDEX", "valueFrom": field})
        metadata["name"] = f"{head}-{suffix()}"
        metadata["ownerReferences"] = [
            {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"],
             "controller": True, "blockOwnerDeletion": True}
        ]  # fmt: skip
        pod = {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}}
        self._state.add("pods", job["metadata"]["namespace"], pod)

    def _expire(self, job: Document, book: _Book) -> None:
        kept = book.spec.get("ttlSecondsAfterFinished")
        if kept is not None and time.monotonic() - book.ended >= kept:
            for pod in self._pods(job):
                self._delete_pod(pod)
            self._state.remove("jobs", job)


class _Book:
    """What the controller knows of a Job beside its document."""

    def __init__(self, job: Document) -> None:
        self.job, self.spec = job, job["spec"]
        self.indexed = self.spec.get("completionMode") == "Indexed"
        self.completions = self.spec.get("completions", 1)
        self.began = self.ended = time.monotonic()
        self.counted: set[str] = set()
        self.succeeded: set[int | None] = set()
        self.failed: set[int | None] = set()
        self.failures: dict[int | None, int] = {}
        self.ignored: dict[int | None, int] = {}
        self.not_before: dict[int | None, float] = {}
        self.pods_succeeded = self.pods_failed = 0

    def tell(self, pods: list[Document]) -> None:
        """Bring the status of the document up to date."""
        status = self.job["status"]
        active = [p for p in pods if p["status"]["phase"] in ("Pending", "Running")]
        going = [p for p in active if "deletionTimestamp" in p["metadata"]]
        ready = [p for p in active if p["status"]["phase"] == "Running"]
        status.setdefault("startTime", now())
        numbers = {
            "active": len(active) - len(going),
            "succeeded": self.pods_succeeded,
            "failed": self.pods_failed,
        }
        for key, value in numbers.items():
            status.pop(key, None)
            if value:
                status[key] = value
        status |= {"ready": len(ready), "terminating": len(going), "uncountedTerminatedPods": {}}
        if self.indexed:
            if self.succeeded:
                status["completedIndexes"] = compressed(self.succeeded)
            if "backoffLimitPerIndex" in self.spec:
                status["failedIndexes"] = compressed(self.failed)


def compressed(indexes: set[Any]) -> str:
    """``0,2-4``."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][-1] == index - 1:
            parts[-1] = [parts[-1][0], index]
        else:
            parts.append([index])
    return ",".join("-".join(map(str, part)) for part in parts)


def _over(job: Document) -> str | None:
    for found in job["status"].get("conditions") or ():
        if found["type"] in ("Complete", "Failed") and found["status"] == "True":
            return str(found["type"])
    return None


def _index_of(pod: Document) -> int | None:
    found = (pod["metadata"].get("labels") or {}).get(INDEX)
    return None if found is None else int(found)


def _action(spec: Document, pod: Document) -> str:
    """What the first rule that fits says; Count where none does."""
    status = pod["status"]
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for wanted in rule.get("onPodConditions") or ():
            for found in status.get("conditions") or ():
                if found["type"] == wanted["type"] and found["status"] == wanted.get("status", "True"):
                    return str(rule["action"])
        codes = rule.get("onExitCodes")
        for container in (status.get("containerStatuses") or ()) if codes else ():
            code = (container["state"].get("terminated") or {}).get("exitCode", 0)
            named = codes.get("containerName") in (None, container["name"])
            if code != 0 and named and (code in codes["values"]) == (codes["operator"] == "In"):
                return str(rule["action"])
    return "Count"
