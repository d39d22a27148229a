"""The plan of a heavy step: which shards there are, as plain values that any process can read.

Its file has a line of JSON for each shard, then one that says where they begin, then that line's length.
A pod reads its own shard of a million, not the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from infinity_assets.store.digests import key_of
from infinity_assets.store.objects import Objects

#: Bytes of the last line of a plan's file: the length of the line before it, in decimal digits.
LENGTH: Final = 20


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
        return f"_plans/{self.table}/{self.partition}/{self.hash}.plan"

    def save(self, objects: Objects) -> None:
        """Write the plan, so that workers on other machines can read it."""
        lines, offsets = [], [0]
        for task in self.tasks:
            line = json.dumps({"kind": task.kind, "key": task.key, "payload": dict(task.payload)}).encode()
            lines.append(line)
            offsets.append(offsets[-1] + len(line) + 1)
        keys = [task.key for task in self.tasks]
        index = {"table": self.table, "partition": self.partition, "keys": keys, "offsets": offsets}
        lines.append(json.dumps(index).encode())
        lines.append(b"%*d" % (LENGTH, len(lines[-1])))
        objects.put(self.path, b"\n".join(lines))

    def discard(self, objects: Objects) -> None:
        """Remove the plan's file and its marks once every shard is staged."""
        objects.delete(self.path)
        objects.delete_prefix(_marks(self.path))

    def marked(self, objects: Objects) -> set[str]:
        """Keys of the shards that other machines staged."""
        return set(objects.children(_marks(self.path)))


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan in the store, read as far as it is needed."""

    objects: Objects
    path: str
    keys: tuple[str, ...]  #: of its shards, in their order
    offsets: tuple[int, ...]  #: where each begins, and where the last ends

    def task(self, index: int) -> Task:
        """One shard.

        Raises:
            FileNotFoundError: if the plan was discarded meanwhile.
        """
        start = self.offsets[index]
        line = self.objects.get_range(self.path, start, self.offsets[index + 1] - start)
        if line is None:
            raise FileNotFoundError(f"{self.path}: no such plan in the store")
        found = json.loads(line)
        return Task(found["kind"], found["key"], found["payload"])

    def marked(self) -> set[str]:
        """See :meth:`Plan.marked`."""
        return set(self.objects.children(_marks(self.path)))

    def mark(self, key: str) -> None:
        """Say in the store that a shard is staged, for whoever watches from another machine."""
        self.objects.put(f"{_marks(self.path)}/{key}", b"")


def open_plan(objects: Objects, path: str) -> PlanFile:
    """What :meth:`Plan.save` wrote.

    Raises:
        FileNotFoundError: if there is no such plan.
    """
    end = objects.get_tail(path, LENGTH)
    tail = None if end is None else objects.get_tail(path, int(end) + 1 + LENGTH)
    if tail is None:
        raise FileNotFoundError(f"{path}: no such plan in the store")
    index = json.loads(tail[: -LENGTH - 1])
    return PlanFile(objects, path, tuple(index["keys"]), tuple(index["offsets"]))


def _marks(path: str) -> str:
    return path.removesuffix(".plan")
