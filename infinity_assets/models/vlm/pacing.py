"""How fast to ask: limits of a provider, a concurrency that adapts, and waits between attempts."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0


def wait_before(attempt: int, rng: random.Random, retry_after: float | None = None) -> float:
    """Seconds to wait after failed attempt number ``attempt`` (from 1): exponential with full jitter.

    As in "Exponential Backoff And Jitter" (M. Brooker, AWS, 2015). What the server asks for is waited out,
    with jitter on top: all who were turned away at once must not come back at once.
    """
    jitter = rng.uniform(0.0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**attempt))
    return jitter + (retry_after or 0.0)


class Rate:
    """At most ``per_minute`` units in any minute begun, spread evenly; None is no limit.

    The bucket holds a second's worth, so a provider that counts by the second sees no bursts either.
    """

    def __init__(self, per_minute: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = (per_minute or 0.0) / 60.0, clock
        self._level, self._at = 0.0, clock()  # units that are owed

    def delay(self, units: float) -> float:
        """Take units; gives the seconds to wait before they may be used."""
        if self._rate == 0.0:
            return 0.0
        now = self._clock()
        self._level = max(0.0, self._level - (now - self._at) * self._rate)
        self._at = now
        wait = max(0.0, self._level / self._rate - 1.0)
        self._level += units
        return wait

    def correct(self, units: float) -> None:
        """Take more, or give back, once the true number is known."""
        self._level = max(0.0, self._level + units)


class Concurrency:
    """How many requests may be at work: grows by one a round, halves when the server is overloaded (AIMD).

    Until the first overload it grows by one a reply, as TCP's slow start does.

    Overload is a 429, a 503, a time-out, or a reply slower than ``slow_s``. One overload halves once:
    requests that were sent before the last cut say nothing new (as TCP counts one loss per window).
    """

    def __init__(self, most: int, slow_s: float, start: int = 8) -> None:
        self._most, self._slow_s = most, slow_s
        self._limit, self._busy, self._cut_at = float(min(start, most)), 0, 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Requests that may be at work now."""
        return int(self._limit)

    async def enter(self) -> float:
        """Wait for a place; gives the time, for ``leave``."""
        while self._busy >= int(self._limit):
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                self._wake()
                raise
        self._busy += 1
        return time.monotonic()

    def leave(self, entered: float, overloaded: bool) -> None:
        """Give the place back and tell how it went."""
        now = time.monotonic()
        self._busy -= 1
        if overloaded or now - entered > self._slow_s:
            if entered >= self._cut_at:
                self._limit, self._cut_at = max(1.0, self._limit / 2.0), now
        else:
            step = 1.0 / self._limit if self._cut_at else 1.0
            self._limit = min(float(self._most), self._limit + step)
        self._wake()

    def _wake(self) -> None:
        free = int(self._limit) - self._busy
        while self._waiting and free > 0:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1
