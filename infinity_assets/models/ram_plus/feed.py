"""Pictures decoded by threads, in order, while the network works on what came before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from infinity_assets.models.ram_plus.preprocess import squared
from infinity_assets.models.ram_plus.runners import AHEAD, Pixels, Runner
from infinity_assets.models.taggers.protocol import Decode, Picture

#: A batch whose memory is being filled: the memory, the ids, and what fills it.
_Filling = tuple[Pixels, list[str], list[Future[None]]]


def batches(
    pictures: Iterable[Picture], runner: Runner, decode: Decode, *, size: int, threads: int
) -> Iterator[tuple[list[str], Pixels]]:
    """Ids and pixels of batches of ``size`` pictures (the last may be smaller), in order.

    Threads serve: decoders and Pillow's resizing work outside of the interpreter's lock. At most
    ``AHEAD + 1`` batches are in memory beside those that the runner holds.

    Raises:
        Exception: whatever ``decode`` raised, for the first picture in order.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        filling: deque[_Filling] = deque()
        try:
            for picture in pictures:
                if not filling or len(filling[-1][1]) == size:
                    if len(filling) > AHEAD:
                        yield _filled(filling.popleft())
                    filling.append((runner.buffer(size), [], []))
                memory, ids, work = filling[-1]
                work.append(pool.submit(_write, memory, len(ids), picture, decode, runner.side))
                ids.append(picture.image_id)
            while filling:
                yield _filled(filling.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _write(memory: Pixels, place: int, picture: Picture, decode: Decode, side: int) -> None:
    memory[place] = squared(decode(picture.data), side)


def _filled(batch: _Filling) -> tuple[list[str], Pixels]:
    memory, ids, work = batch
    for each in work:
        each.result()
    return ids, memory[: len(ids)]
