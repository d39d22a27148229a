"""What may be spent, and the ledger of what was."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pyarrow as pa

from infinity_assets.models.vlm.replies import Reply, Usage
from infinity_assets.models.vlm.requests import Request

#: One row for each request that was asked, in order: what it cost, and what for.
LEDGER = pa.schema(
    [
        pa.field("request_hash", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("tag", pa.string(), nullable=False),
        pa.field("problem", pa.string()),
        pa.field("cached", pa.bool_(), nullable=False),
        pa.field("prompt_tokens", pa.int64(), nullable=False),
        pa.field("completion_tokens", pa.int64(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("cost", pa.float64(), nullable=False),
        pa.field("currency", pa.string(), nullable=False),
    ]
)


class Budget:
    """Stops asking when the money is spent; None spends without a limit.

    A request is sent only if what was spent, and what those at work will cost at the mean so far, leaves room
    for one more. So a budget is passed by no more than the deviation of those at work from the mean. The
    first ones, as many as may be at work at once, are sent before there is a mean.

    With ``counts_kept`` a kept reply counts with what it cost when it was asked. The limit then holds for all
    runs together, and a rerun stops where the first run stopped.
    """

    def __init__(self, limit: float | None = None, *, counts_kept: bool = False) -> None:
        self.limit, self._counts_kept = limit, counts_kept
        self.spent = 0.0
        self._replies, self._at_work = 0, 0

    def take(self) -> bool:
        """Whether one more request may be sent; if so it counts as at work."""
        if self.limit is not None:
            mean = self.spent / self._replies if self._replies else 0.0
            if self.spent >= self.limit or self.spent + (self._at_work + 1) * mean > self.limit:
                return False
        self._at_work += 1
        return True

    def settle(self, usage: Usage) -> None:
        """A request came back."""
        self._at_work -= 1
        self._replies += 1
        self.spent += usage.cost

    def replayed(self, paid: float) -> None:
        """A kept reply was used."""
        if self._counts_kept:
            self._replies += 1
            self.spent += paid


class SharedTime:
    """Wall time of a machine, shared out among the requests that are at work: the shares add up to the whole.

    Processor sharing: while n requests are at work, each one's share grows by 1/n of a second in a second.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._at_work = clock, 0
        self._share, self._at = 0.0, clock()

    def _advance(self, change: int) -> float:
        now = self._clock()
        if self._at_work:
            self._share += (now - self._at) / self._at_work
        self._at, self._at_work = now, self._at_work + change
        return self._share

    def begin(self) -> float:
        """A request begins; gives a mark for ``end``."""
        return self._advance(1)

    def end(self, mark: float) -> float:
        """It ends; gives its share in seconds."""
        return self._advance(-1) - mark


def cost_ledger(requests: Sequence[Request], replies: Sequence[Reply], currency: str) -> pa.Table:
    """The ledger of requests and their replies, in order; a cached reply stands there with a cost of 0."""
    rows = [
        {
            "request_hash": reply.request_hash,
            "model": reply.model,
            "prompt": request.prompt,
            "tag": request.tag,
            "problem": reply.problem,
            "cached": reply.cached,
            "prompt_tokens": reply.usage.prompt_tokens,
            "completion_tokens": reply.usage.completion_tokens,
            "seconds": reply.usage.seconds,
            "cost": reply.usage.cost,
            "currency": currency,
        }
        for request, reply in zip(requests, replies, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=LEDGER)
