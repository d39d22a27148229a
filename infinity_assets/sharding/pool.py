"""A pool of local processes. A worker that dies or hangs costs its shard, not the run."""

from __future__ import annotations

import atexit
import multiprocessing
import multiprocessing.forkserver
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures import as_completed
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from infinity_assets.sharding.plan import Plan, Task
from infinity_assets.sharding.worker import run_task
from infinity_assets.store.objects import Objects

#: Called with a shard whose worker died and why; gives the shards to run instead, or raises.
OnDeath = Callable[[Task, str], Sequence[Task]]
#: Called after each shard with (done, total).
OnProgress = Callable[[int, int], None]

#: A worker is replaced after this many shards, so that a library's leak stays bounded.
TASKS_PER_WORKER = 200

#: Shards of a plan, for each worker, from which on workers end with the plan: each holds 170 MB that later
#: stages could use, and the server starts another in half a second.
MANY = 32

#: Items of :func:`spread` below which starting a worker costs more than it saves.
FEW = 32

Item = TypeVar("Item")
Result = TypeVar("Result")

_pools: dict[int, Any] = {}


class Elsewhere(Protocol):
    """Other machines that run the shards of a plan."""

    def takes(self, plan: Plan) -> bool:
        """Whether the plan is worth the way there."""

    def run(
        self, root: str, plan: Plan, *, timeout_s: float, on_death: OnDeath, on_progress: OnProgress | None
    ) -> None:
        """See :func:`run_plan`."""


_elsewhere: ContextVar[Elsewhere | None] = ContextVar("elsewhere", default=None)


@contextmanager
def run_elsewhere(machines: Elsewhere | None) -> Iterator[None]:
    """Inside of it, :func:`run_plan` gives these machines the plans that they take; None: keeps all here."""
    before = _elsewhere.set(machines)
    try:
        yield
    finally:
        _elsewhere.reset(before)


def runs_elsewhere() -> bool:
    """Whether there are other machines: what only they have need not be here then."""
    return _elsewhere.get() is not None


def run_plan(
    root: str,
    plan: Plan,
    *,
    workers: int,
    timeout_s: float,
    on_death: OnDeath,
    on_progress: OnProgress | None = None,
) -> None:
    """Run every shard of a plan, each of which stages its own result, in worker processes.

    They are those of this machine, or of others inside of :func:`run_elsewhere`.

    Args:
        root: the store's root.
        plan: what to run; saved in the store while it runs.
        workers: processes.
        timeout_s: longest a single shard may take before its worker is killed.
        on_death: what to run instead of a shard whose worker died or hung.
        on_progress: told after each shard.

    Raises:
        Exception: whatever a shard raised, once; shards already staged stay staged.
    """
    if not plan.tasks:
        return
    machines = _elsewhere.get()
    if machines is not None and machines.takes(plan):
        machines.run(root, plan, timeout_s=timeout_s, on_death=on_death, on_progress=on_progress)
        return
    from pebble import ProcessExpired

    objects = Objects(root)
    plan.save(objects)
    pool = _pool(workers)
    waiting = list(plan.tasks)
    done, total = 0, len(waiting)
    while waiting:
        futures = {pool.schedule(run_task, args=(root, task), timeout=timeout_s): task for task in waiting}
        waiting = []
        try:
            for future in as_completed(futures):
                task = futures[future]
                try:
                    future.result()
                    done += 1
                except (ProcessExpired, FutureTimeout) as error:
                    hung = isinstance(error, FutureTimeout)
                    why = hung_for(timeout_s) if hung else died_with(getattr(error, "exitcode", None))
                    instead = on_death(task, why)
                    waiting += instead
                    total += len(instead) - 1
                if on_progress is not None:
                    on_progress(done, total)
        except BaseException:
            for future in futures:
                future.cancel()
            raise
    plan.discard(objects)
    if done >= MANY * workers:
        end_workers(workers)


def spread(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> list[Result]:
    """A pure function of each item, in order, by the pool's workers; a few items are not worth the way there.

    Args:
        function: found by its name in a module; its items and results are pickled.
        items: what it is given.
        workers: processes; with one the work is done here.

    Raises:
        Exception: what the function raised.
        pebble.ProcessExpired: if a worker died.
    """
    if workers == 1 or len(items) < FEW:
        return [function(item) for item in items]
    chunk = max(1, min(FEW, len(items) // (4 * workers)))
    return list(_pool(workers).map(function, items, chunksize=chunk).result())


def end_workers(workers: int) -> None:
    """End so many workers, if there are, once they have nothing to do; the server stays, with its models.

    What takes much memory itself, and has no work for them, is given theirs: the next plan starts others.
    """
    pool = _pools.pop(workers, None)
    if pool is not None:
        pool.close()
        pool.join()


def hung_for(timeout_s: float) -> str:
    """Why a shard has no result, in words that stand in a table: the same wherever it ran."""
    return f"no result within {timeout_s:g} s"


def died_with(exit_code: int | None) -> str:
    """Like :func:`hung_for`; a signal's number is negative."""
    return f"the worker died (exit code {exit_code})"


def _pool(workers: int) -> Any:
    """The process-wide pool: workers keep their models loaded from one partition to the next."""
    from pebble import ProcessPool

    pool = _pools.get(workers)
    if pool is None or not pool.active:
        # Not fork: this process runs threads (Lance, Polars) that a forked child would inherit locked. The
        # server runs none; models are loaded there once, and their memory is shared.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["infinity_assets.sharding.preload"])
        pool = _pools[workers] = ProcessPool(workers, max_tasks=TASKS_PER_WORKER, context=context)
    return pool


@atexit.register
def close_pools() -> None:
    """Stop every worker, and the server: the next workers see the environment as it is then."""
    for pool in _pools.values():
        pool.stop()
        pool.join()
    _pools.clear()
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]
