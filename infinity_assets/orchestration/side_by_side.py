"""Runs in processes of their own, several at once: while one talks to Dagster, another computes.

No pool of a library: those mark their workers as daemons, and a run has worker processes of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, Final

from infinity_assets.orchestration.progress import Ended, Listener, StageEvent, Work
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.sharding.pool import close_pools

#: Has some work of a partition run.
Run = Callable[[Work, str], Ended]

_GONE = object()  #: what a process says that is no more

#: Not fork: threads of Lance and Polars would be inherited locked.
_CONTEXT = multiprocessing.get_context("spawn")

#: After which a process that did not end is told again; recording that its run failed takes less.
TOLD_AGAIN_S: Final = 20.0


class SideBySide:
    """Processes that run jobs; use :func:`side_by_side`."""

    def __init__(
        self, settings: Settings, on_event: Listener, at_once: int, tags: Mapping[str, str] | None
    ) -> None:
        opening = _CONTEXT.Lock()  # of Dagster's tables: two that make them at once are in each other's way
        self._on_event = on_event
        self._one_at_a_time = threading.Lock()
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._processes = [_Process(settings, opening, tags) for _ in range(at_once)]
        for process in self._processes:
            self._idle.put(process)

    def run(self, work: Work, partition: str) -> Ended:
        """The work of one partition, as soon as a process is free."""
        process = self._idle.get()
        try:
            return process.run(work, partition, self._tell)
        finally:
            self._idle.put(process)

    def _tell(self, event: StageEvent) -> None:
        with self._one_at_a_time:
            self._on_event(event)

    def stop(self, told_to: bool) -> None:
        """End the processes: at once where the person said so (Dagster records the run as failed first)."""
        for process in self._processes:
            process.stop(told_to)


@contextmanager
def runs(
    platform: Platform, on_event: Listener, at_once: int, tags: Mapping[str, str] | None = None
) -> Iterator[Run]:
    """How to have work run: by processes of its own, or in this one where one at a time is enough."""
    if at_once > 1:
        with side_by_side(platform, on_event, at_once, tags) as processes:
            yield processes.run
        return
    from infinity_assets.orchestration.instance import open_instance
    from infinity_assets.orchestration.runner import Runner

    with open_instance(platform.settings.home) as instance:
        yield Runner(platform, on_event, instance, tags).run


def spread(run: Run, units: Sequence[tuple[Work, str]], at_once: int) -> Iterator[tuple[int, Ended]]:
    """Have all of these run; each by its place, as it ends."""
    if at_once == 1:  # in this thread: only here does Dagster hear of signals
        for place, unit in enumerate(units):
            yield place, run(*unit)
        return
    threads = ThreadPoolExecutor(at_once)
    try:
        futures = {threads.submit(run, *unit): place for place, unit in enumerate(units)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        # Not waited for: leaving the processes of the runs, a level up, is what ends those under way.
        threads.shutdown(wait=False, cancel_futures=True)


@contextmanager
def side_by_side(
    platform: Platform, on_event: Listener, at_once: int, tags: Mapping[str, str] | None = None
) -> Iterator[SideBySide]:
    """Processes for runs, each with Dagster and the platform loaded.

    Args:
        platform: opened anew in each process, from its settings.
        on_event: told what happens in any of them, one call at a time, on other threads.
        at_once: processes.
        tags: of every run.

    Raises:
        KeyboardInterrupt: if one of them was told to stop.
    """
    runs = SideBySide(platform.settings, on_event, at_once, tags)
    told_to = True
    try:
        yield runs
        told_to = False
    finally:
        runs.stop(told_to)


class _Process:
    """One process, started anew when it died."""

    def __init__(self, settings: Settings, opening: Any, tags: Mapping[str, str] | None) -> None:
        self._with = (settings, opening, tags)
        self._stopping = False
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs, *self._with))
        self._process.start()
        theirs.close()  # so that the end of the process is the end of what can be read here

    def run(self, work: Work, partition: str, on_event: Listener) -> Ended:
        """Have some work run; a process that dies in it is a failure of this run alone."""
        said = self._answer((work, partition))
        while isinstance(said, StageEvent):
            on_event(said)
            said = self._answer()
        if isinstance(said, Ended):
            return said
        if said is not _GONE:
            raise KeyboardInterrupt
        self._process.join()
        if self._stopping:  # before it could say so: while it started
            raise KeyboardInterrupt
        why = f"the process of the run died (exit code {self._process.exitcode}); run it again"
        name = work if isinstance(work, str) else "+".join(work)
        dead = StageEvent(name, partition, "failed", error=why)
        on_event(dead)
        self._start()
        return Ended(False, (dead,))

    def _answer(self, asked: tuple[Work, str] | None = None) -> Any:
        """What it says next. Only here is a broken pipe its death: a listener's may break as well."""
        try:
            if asked is not None:
                self._pipe.send(asked)
            return self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return _GONE

    def stop(self, told_to: bool) -> None:
        """Ask it to end, and wait."""
        self._stopping = True
        if not told_to:
            self._pipe.close()
            self._process.join()
        # Told again: Python ignores errors, an interrupt too, where one falls into the end of an object.
        while self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, signal.SIGINT)
            self._process.join(TOLD_AGAIN_S)


def _serve(pipe: Connection, settings: Settings, opening: Any, tags: Mapping[str, str] | None) -> None:
    """What such a process does: job after job, until nobody is there to ask."""
    os.setsid()  # Ctrl-C reaches the parent alone, which passes it on once
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from infinity_assets.orchestration.instance import open_instance
    from infinity_assets.orchestration.runner import Runner

    platform = Platform(settings)
    with ExitStack() as stack:
        stack.callback(close_pools)  # a process that ends waits for its children before it closes anything
        with opening:
            instance = stack.enter_context(open_instance(settings.home))
        runner = Runner(platform, pipe.send, instance, tags)
        try:
            while True:
                pipe.send(runner.run(*pipe.recv()))
        except (EOFError, BrokenPipeError):
            return
        except KeyboardInterrupt:
            pipe.send(None)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
