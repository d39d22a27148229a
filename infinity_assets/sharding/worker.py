"""The one entry point of every worker: run one shard and stage its result under its key.

``python -m infinity_assets.sharding.worker ROOT PLAN [INDEX]`` runs shard INDEX of a plan in the store. The
pods of an Indexed Job of Kubernetes know theirs from ``JOB_COMPLETION_INDEX``.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from infinity_assets.sharding.plan import Task, open_plan
from infinity_assets.store.memory import share_arenas, spare_pandas
from infinity_assets.store.objects import Objects

#: How a worker process ends whose shard raised an error, after it printed it; any other code is a death.
EXIT_RAISED = 42

#: How it ends when its shard took too long; as ``timeout`` of coreutils.
EXIT_HUNG = 124

#: How it ends when it was told to stop: 128 and the signal's number, as a shell has it.
EXIT_STOPPED = 128 + signal.SIGTERM

#: Kinds of shard, and the functions that run them: ``f(root, key, payload) -> None``, staging their result.
KINDS = {
    "draft": "infinity_assets.stages.unified.draft:run_draft",
    "images": "infinity_assets.stages.images.shard:run_images",
    "picture_tags": "infinity_assets.stages.tagged.pictures:run_picture_tags",
    "tags": "infinity_assets.stages.tagged.stage:run_tags",
    "lines": "infinity_assets.stages.synthesized.stage:run_lines",
    "scores": "infinity_assets.stages.scored.stage:run_scores",
    "export": "infinity_assets.stages.exported.shard:run_export",
}


def run_task(root: str, task: Task) -> None:
    """Run one shard in this process.

    Raises:
        KeyError: if the kind is unknown.
        RuntimeError: for a TimeoutError of the shard's own, which is not that of a hung worker.
    """
    share_arenas(1)  # before the shard's libraries start threads
    spare_pandas()
    module, name = KINDS[task.kind].split(":")
    function: Callable[[str, str, Any], None] = getattr(import_module(module), name)
    try:
        function(root, task.key, task.payload)
    except TimeoutError as error:
        raise RuntimeError(f"shard {task.key}: {error}; is the store or the source reachable?") from error


def main(argv: list[str]) -> int:
    """Run one shard of a stored plan in a process of its own, which may die or hang, and mark it as staged.

    Returns:
        0 once its result is staged and marked, else one of the codes above, or that of the process: 128 and
        the number where a signal ended it.
    """
    parser = argparse.ArgumentParser(prog="python -m infinity_assets.sharding.worker")
    parser.add_argument("root")
    parser.add_argument("plan")
    parser.add_argument("index", type=int, nargs="?", default=os.environ.get("JOB_COMPLETION_INDEX"))
    parser.add_argument("--timeout", type=float, default=0.0, help="seconds; 0 for none")
    given = parser.parse_args(argv)
    if given.index is None:
        parser.error("no INDEX, and no JOB_COMPLETION_INDEX in the environment")
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os._exit(_shard(given.root, given.plan, int(given.index)))
    return _watched(child, given.timeout)


def _shard(root: str, path: str, index: int) -> int:
    try:
        plan = open_plan(Objects(root), path)
        task = plan.task(index)
        run_task(root, task)
        plan.mark(task.key)
        return 0
    except BaseException:
        traceback.print_exc()
        return EXIT_RAISED
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _watched(child: int, timeout_s: float) -> int:
    """Wait for the process, and end its whole group when it takes too long or this one is told to stop."""
    ended_by: list[int] = []
    with suppress(OSError):  # it does so itself, sooner or later
        os.setpgid(child, child)

    def end(number: int, _: object) -> None:
        ended_by.append(number)
        os.killpg(child, signal.SIGKILL)

    # Handlers, not defaults: the first process of a container ignores signals that it does not handle.
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, end)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    _, status = os.waitpid(child, 0)
    if ended_by:
        return EXIT_HUNG if ended_by[0] == signal.SIGALRM else EXIT_STOPPED
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
