"""Which pictures of a source are new, cut into shards of similar cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infinity_assets.sharding.plan import Task
from infinity_assets.stages.images.shard import shard_key

#: A shard closes at either. Our choice: about 10 s of decoding, and a Lance fragment worth its file.
SHARD_BYTES = 64 << 20
SHARD_IMAGES = 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """A picture that some record refers to."""

    image_id: str
    root: str  #: records, media or embedded
    name: str  #: path, or name inside the container
    bytes: int
    slice: Mapping[str, Any] | None = None  #: the slice that holds an embedded picture


def plan_images(wanted: Iterable[Wanted], common: Mapping[str, Any]) -> Iterator[Task]:
    """Tasks over distinct pictures in order of first reference; embedded ones stay with their slice.

    Args:
        wanted: distinct by image id.
        common: the payload that every task shares (``payload_of`` in the room ``unified``).
    """
    waiting: list[Wanted] = []
    size = 0
    for item in wanted:
        if waiting and (
            size >= SHARD_BYTES or len(waiting) >= SHARD_IMAGES or waiting[-1].slice != item.slice
        ):
            yield _task(waiting, common)
            waiting, size = [], 0
        waiting.append(item)
        size += item.bytes
    if waiting:
        yield _task(waiting, common)


def split(task: Task, why: str) -> list[Task]:
    """What to run instead of a shard whose worker died: its halves, or its one picture as the culprit."""
    items: Sequence[Sequence[Any]] = task.payload["items"]
    source = task.payload["spec"]["name"]
    if len(items) == 1:
        payload = {**task.payload, "failure": why}
        return [Task("images", shard_key(source, items, why), payload)]
    half = len(items) // 2
    return [
        Task("images", shard_key(source, part), {**task.payload, "items": list(part)})
        for part in (items[:half], items[half:])
    ]


def _task(wanted: Sequence[Wanted], common: Mapping[str, Any]) -> Task:
    items = [[w.image_id, w.root, w.name, w.bytes] for w in wanted]
    payload = {**common, "items": items, "slice": wanted[0].slice}
    return Task("images", shard_key(common["spec"]["name"], items), payload)
