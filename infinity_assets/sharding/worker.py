"""The one entry point of every worker: run one shard and stage its result under its key.

``python -m infinity_assets.sharding.worker ROOT PLAN INDEX`` runs shard INDEX of a plan in the store.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from infinity_assets.sharding.plan import Task, load_plan
from infinity_assets.store.objects import Objects

#: Kinds of shard, and the functions that run them: ``f(root, key, payload) -> None``, staging their result.
KINDS = {
    "draft": "infinity_assets.stages.unified.draft:run_draft",
    "images": "infinity_assets.stages.images.shard:run_images",
    "picture_tags": "infinity_assets.stages.tagged.pictures:run_picture_tags",
    "export": "infinity_assets.stages.exported.shard:run_export",
}


def run_task(root: str, task: Task) -> None:
    """Run one shard in this process.

    Raises:
        KeyError: if the kind is unknown.
        RuntimeError: for a TimeoutError of the shard's own, which is not that of a hung worker.
    """
    module, name = KINDS[task.kind].split(":")
    function: Callable[[str, str, Any], None] = getattr(import_module(module), name)
    try:
        function(root, task.key, task.payload)
    except TimeoutError as error:
        raise RuntimeError(f"shard {task.key}: {error}; is the store or the source reachable?") from error


def main(argv: list[str]) -> int:
    """Run one shard of a stored plan; the exit code is 0 once its result is staged."""
    root, path, index = argv
    plan = load_plan(Objects(root), path)
    run_task(root, plan.tasks[int(index)])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
