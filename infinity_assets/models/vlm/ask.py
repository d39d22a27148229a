"""Ask an engine many things: kept replies first, within the budget, every payment kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace

from infinity_assets.models.vlm.budget import Budget, SharedTime
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.models.vlm.config import Prices
from infinity_assets.models.vlm.engine import Engine
from infinity_assets.models.vlm.replies import PAID, Reply
from infinity_assets.models.vlm.requests import Message, Request
from infinity_assets.models.vlm.wire import finish

GATHER_S = 0.005  #: replies that come within this time are written together

REPAIR = (
    "Your last message does not follow the JSON schema that was given: {problem}. "
    "Say the same again as one JSON value of that schema, with nothing before or after it."
)


def complete_all(
    engine: Engine,
    requests: Iterable[Request],
    *,
    cache: ReplyCache | None = None,
    budget: Budget | None = None,
    prices: Prices | None = None,
    concurrency: int = 64,
) -> list[Reply]:
    """Replies in the order of the requests; equal requests are asked once.

    Requests are drawn as places become free, so an iterator need not hold all pictures at once. A reply
    counts once it is kept: killed at any moment, the next call pays again for those at work alone. When the
    budget is spent those at work are waited for, and the rest get ``budget_spent``, unless they are kept
    already. A reply that does not follow its schema is asked for once more, never twice.

    Args:
        concurrency: requests in hand; the engine may have fewer at work.

    Raises:
        EngineError: the engine as a whole does not work. Replies that came are kept.
    """
    import uvloop  # not above: most runs ask nothing

    asker = _Asker(engine, cache, budget or Budget(), prices or Prices())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(asker.run(iter(enumerate(requests)), concurrency))


class _Asker:
    def __init__(self, engine: Engine, cache: ReplyCache | None, budget: Budget, prices: Prices) -> None:
        self._engine, self._cache, self._budget, self._prices = engine, cache, budget, prices
        self._time = SharedTime()
        self._at_work: dict[str, asyncio.Task[Reply]] = {}
        self._unkept: list[tuple[Reply, asyncio.Future[None]]] = []
        self._keeper: asyncio.Task[None] | None = None

    async def run(self, requests: Iterator[tuple[int, Request]], concurrency: int) -> list[Reply]:
        replies: dict[int, Reply] = {}
        failures: list[BaseException] = []

        async def draw() -> None:
            try:
                while not failures and (drawn := next(requests, None)) is not None:
                    replies[drawn[0]] = await self._reply(drawn[1])
            except Exception as error:
                failures.append(error)  # what others have at work is paid for: it is waited for

        async with self._engine:
            await asyncio.gather(*(draw() for _ in range(concurrency)))
        if failures:
            raise failures[0]
        return [replies[number] for number in range(len(replies))]

    async def _reply(self, request: Request) -> Reply:
        first = await self._one(request)
        if first.problem != "unparsable":
            return first
        second = await self._one(_repair(request, first))
        usable = second.problem is None or second.problem not in PAID
        return replace(
            second if usable else first,
            request_hash=first.request_hash,
            usage=first.usage + second.usage,
            paid=first.paid + second.paid,
            machine_s=first.machine_s + second.machine_s,
            cached=first.cached and second.cached,
            repaired=second.problem in PAID,
        )

    async def _one(self, request: Request) -> Reply:
        """The reply to one request, from wherever it costs least."""
        request_hash = request.request_hash(self._engine.model, self._engine.revision)
        same = self._at_work.get(request_hash)
        if same is not None:
            reply = await same
            return replace(reply, cached=True, usage=replace(reply.usage, seconds=0.0, cost=0.0))
        kept = self._cache.get(request_hash) if self._cache is not None else None
        if kept is not None:
            self._budget.replayed(kept.paid)
            return finish(request, kept)
        task = asyncio.ensure_future(self._ask(request, request_hash))
        self._at_work[request_hash] = task
        try:
            return await task
        finally:
            del self._at_work[request_hash]

    async def _ask(self, request: Request, request_hash: str) -> Reply:
        if not self._budget.take():
            return Reply(request_hash, self._engine.model, problem="budget_spent")
        reply, mark = Reply(request_hash, self._engine.model), None
        try:
            await self._engine.ready()  # a server that starts is no request at work
            mark = self._time.begin()
            reply = await self._engine.complete(request)
        finally:
            share = 0.0 if mark is None else self._time.end(mark)
            cost = reply.usage.cost + share * self._prices.per_hour / 3600.0
            reply = replace(reply, usage=replace(reply.usage, cost=cost), paid=cost, machine_s=share)
            self._budget.settle(reply.usage)
        if self._cache is not None and reply.problem in PAID:
            await self._keep(reply)
        return reply

    async def _keep(self, reply: Reply) -> None:
        """Returns once the reply is safe. Replies that come close together are written together."""
        safe = asyncio.get_running_loop().create_future()
        self._unkept.append((reply, safe))
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_all())
        await safe

    async def _keep_all(self) -> None:
        assert self._cache is not None
        while self._unkept:
            await asyncio.sleep(GATHER_S)
            batch, self._unkept = self._unkept, []
            try:
                await asyncio.to_thread(self._cache.put, [reply for reply, _ in batch])
            except Exception as error:
                for _, safe in batch:
                    safe.set_exception(error)
            else:
                for _, safe in batch:
                    safe.set_result(None)
        self._keeper = None


def _repair(request: Request, reply: Reply) -> Request:
    said = Message("assistant", (reply.text or "",))
    asked = Message("user", (REPAIR.format(problem=reply.detail),))
    return replace(request, messages=(*request.messages, said, asked))
