"""The plan of a heavy step: which shards there are, as plain values that any process can read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infinity_assets.store.digests import key_of
from infinity_assets.store.objects import Objects


@dataclass(frozen=True, slots=True)
class Task:
    """One shard to run. ``payload`` holds JSON values only."""

    kind: str  #: name in :data:`infinity_assets.sharding.worker.KINDS`
    key: str  #: hash of everything that determines the result
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """The shards of one partition that are not staged yet."""

    table: str
    partition: str
    tasks: tuple[Task, ...]

    @property
    def hash(self) -> str:
        """32 hex characters of the keys of its shards, in their order."""
        return key_of(*(t.key for t in self.tasks))

    @property
    def path(self) -> str:
        """Where the plan lies in the store, by its content."""
        return f"_plans/{self.table}/{self.partition}/{self.hash}.json"

    def save(self, objects: Objects) -> None:
        """Write the plan, so that workers on other machines can read it."""
        tasks = [{"kind": t.kind, "key": t.key, "payload": dict(t.payload)} for t in self.tasks]
        document = {"table": self.table, "partition": self.partition, "tasks": tasks}
        objects.put(self.path, json.dumps(document).encode())

    def mark(self, objects: Objects, task: Task) -> None:
        """Say in the store that a shard is staged, for whoever watches from another machine."""
        objects.put(f"{self._marks}/{task.key}", b"")

    def marked(self, objects: Objects) -> set[str]:
        """Keys of the shards that other machines staged."""
        return set(objects.children(self._marks))

    def discard(self, objects: Objects) -> None:
        """Remove the plan's file and its marks once every shard is staged."""
        objects.delete(self.path)
        objects.delete_prefix(self._marks)

    @property
    def _marks(self) -> str:
        return self.path.removesuffix(".json")


def load_plan(objects: Objects, path: str) -> Plan:
    """Read what :meth:`Plan.save` wrote.

    Raises:
        FileNotFoundError: if there is no such plan.
    """
    found = objects.get(path)
    if found is None:
        raise FileNotFoundError(f"{path}: no such plan in the store")
    document = json.loads(found)
    tasks: Sequence[Mapping[str, Any]] = document["tasks"]
    return Plan(
        document["table"],
        document["partition"],
        tuple(Task(t["kind"], t["key"], t["payload"]) for t in tasks),
    )
