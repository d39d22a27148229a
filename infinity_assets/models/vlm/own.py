"""An engine with a server of its own, which it starts again when it dies and every so many requests."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from infinity_assets.models.vlm.client import OpenAIEngine, ServerGone
from infinity_assets.models.vlm.config import EngineConfig
from infinity_assets.models.vlm.engine import EngineError
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Request
from infinity_assets.models.vlm.server import LocalServer

#: Deaths that a request may be near to before it is asked alone; the next one is then its own.
DEATHS_IN_COMPANY = 2
DEATHS_IN_A_ROW = 5  #: with no reply in between: the server does not work


class OwnServerEngine:
    """Asks its own server. Requests that a death interrupts are asked again.

    A request that is at work at each of three deaths is asked alone the third time, and so is found out.
    """

    def __init__(self, config: EngineConfig, server: LocalServer) -> None:
        self._config, self._server = config, server
        self._client = OpenAIEngine(config, url=lambda: server.url, alive=server.alive)
        self._since_start, self._generation, self._deaths = 0, 0, 0
        self._never_started: EngineError | None = None
        self._starting = False  #: for the first time: the process may be there, and does not answer yet
        self.restarts = 0

    name = "vllm"

    @property
    def model(self) -> str:
        """The model's name."""
        return self._config.model

    @property
    def revision(self) -> str:
        """Which weights."""
        return self._config.revision

    @property
    def url(self) -> str:
        """Where the server listens now."""
        return self._server.url

    async def __aenter__(self) -> Self:
        self._gate = _Gate()
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def complete(self, request: Request) -> Reply:
        """Ask, over as many lives of the server as it takes.

        Raises:
            EngineError: the server does not start, or dies again and again.
        """
        near = 0
        while True:
            await self.ready()
            if self._since_start >= self._config.restart_every:
                await self._restart(self._generation)
            alone = near >= DEATHS_IN_COMPANY
            await self._gate.enter(alone)
            generation = self._generation
            try:
                self._since_start += 1
                reply = await self._client.complete(request)
                self._deaths = 0
                return reply
            except ServerGone as gone:
                blamed = gone.asked
            finally:
                self._gate.leave(alone)
            await self._restart(generation, died=True)
            near += blamed
            if alone and blamed:
                request_hash = request.request_hash(self.model, self.revision)
                return Reply(request_hash, self.model, problem="engine_died", detail="the server died of it")

    async def ready(self) -> None:
        """Start the server, once for all who ask; one that does not start is not tried again for each."""
        if self._server.pid is not None and not self._starting:
            return
        await self._gate.enter(alone=True)
        try:
            if self._never_started is not None:
                raise self._never_started
            if self._server.pid is None:
                self._starting = True
                await asyncio.to_thread(self._server.start)
        except EngineError as error:
            self._never_started = error
            raise
        finally:
            self._starting = False
            self._gate.leave(alone=True)

    async def _restart(self, generation: int, *, died: bool = False) -> None:
        """Start the server again, once for all who ask, with no request at work."""
        await self._gate.enter(alone=True)
        try:
            if generation != self._generation:
                return
            self._generation += 1
            self._deaths += died
            if self._deaths >= DEATHS_IN_A_ROW:
                raise EngineError(f"the server died {self._deaths} times in a row; its log says why")
            self.restarts += 1
            await asyncio.to_thread(self._server.restart)
            self._since_start = 0
        finally:
            self._gate.leave(alone=True)


class _Gate:
    """Many may be inside, or one alone."""

    def __init__(self) -> None:
        self._inside, self._alone = 0, False
        self._changed = asyncio.Condition()
        self._queue = asyncio.Lock()  # who waits to be alone lets no others in

    async def enter(self, alone: bool) -> None:
        async with self._queue, self._changed:
            await self._changed.wait_for(lambda: not self._alone and not (alone and self._inside))
            self._inside, self._alone = self._inside + 1, alone

    def leave(self, alone: bool) -> None:
        self._inside -= 1
        if alone:
            self._alone = False
        task = asyncio.ensure_future(self._tell())
        task.add_done_callback(lambda _: None)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
