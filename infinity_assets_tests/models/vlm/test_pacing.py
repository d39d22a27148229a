"""Limits, waits and the concurrency that adapts, on a clock of the test's own."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.models.vlm import pacing
from infinity_assets.models.vlm.budget import SharedTime
from infinity_assets.models.vlm.client import LONGEST_RETRY_AFTER_S, _seconds


@given(st.lists(st.integers(1, 500), min_size=1, max_size=200), st.integers(60, 100_000))
def test_no_minute_sees_more_than_its_limit(sizes: list[int], per_minute: int) -> None:
    now = 0.0
    rate = pacing.Rate(per_minute, clock=lambda: now)
    used: list[tuple[float, int]] = []
    for size in sizes:
        now += rate.delay(size)
        used.append((now, size))
    for start, _ in used:
        window = [size for at, size in used if start <= at < start + 60.0]
        # The last one may begin within the minute and reach beyond it; a second's worth may be in hand.
        assert sum(window[:-1]) <= per_minute * 61 / 60 + 1


@given(st.integers(1, 30), st.integers(), st.none() | st.floats(0, 300))
def test_a_wait_is_never_shorter_than_asked_for_nor_endless(
    attempt: int, seed: int, retry_after: float | None
) -> None:
    wait = pacing.wait_before(attempt, random.Random(seed), retry_after)
    assert (retry_after or 0) <= wait <= (retry_after or 0) + pacing.LONGEST_WAIT_S
    assert wait == pacing.wait_before(attempt, random.Random(seed), retry_after)


@given(st.text() | st.sampled_from(["inf", "nan", "-5", "1e999", "Wed, 21 Oct 2065 07:28:00 GMT"]))
def test_a_retry_after_of_any_kind_gives_a_wait_with_an_end(header: str) -> None:
    seconds = _seconds(header)
    assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER_S


def test_overload_halves_once_a_round_and_success_grows_by_one_a_round() -> None:
    async def run() -> None:
        places = pacing.Concurrency(64, slow_s=1e9, start=16)
        entered = [await places.enter() for _ in range(16)]
        for at in entered:
            places.leave(at, overloaded=True)
        assert places.limit == 8, "sixteen losses of one round are one overload"
        for _ in range(3):
            entered = [await places.enter() for _ in range(places.limit)]
            for at in entered:
                places.leave(at, overloaded=False)
        assert places.limit in {10, 11}

    asyncio.run(run())


def test_no_more_are_at_work_than_there_are_places_and_all_get_their_turn() -> None:
    async def run() -> None:
        places, at_work, most, done = pacing.Concurrency(4, slow_s=1e9, start=4), 0, 0, 0

        async def one(number: int) -> None:
            nonlocal at_work, most, done
            entered = await places.enter()
            at_work += 1
            most = max(most, at_work)
            try:
                await asyncio.sleep(0)
                done += 1
            finally:
                at_work -= 1
                places.leave(entered, overloaded=number % 7 == 0)

        waiting = [asyncio.create_task(one(number)) for number in range(100)]
        await asyncio.sleep(0)
        for number in range(0, 100, 9):
            waiting[number].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert most <= 4
        assert done >= 88

    asyncio.run(run())


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=60))
def test_shares_of_a_machine_add_up_to_the_time_that_it_worked(steps: list[tuple[float, bool]]) -> None:
    now = busy = total = 0.0
    time = SharedTime(clock=lambda: now)
    open_marks: list[float] = []
    for seconds, begin in [*steps, *[(1.0, False)] * 60]:
        if open_marks:
            busy += seconds
        now += seconds
        if begin:
            open_marks.append(time.begin())
        elif open_marks:
            total += time.end(open_marks.pop(0))
    assert abs(total - busy) < 1e-6
