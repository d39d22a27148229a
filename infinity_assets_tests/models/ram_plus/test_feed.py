"""Without these, pictures get each other's tags, or memory grows with the source."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from infinity_assets.models.ram_plus.checkpoint import WeightsError
from infinity_assets.models.ram_plus.runners import AHEAD
from infinity_assets.models.ram_plus.tagger import FLOOR, RamPlusTagger
from infinity_assets.models.taggers.protocol import Picture

TAGS = tuple(f"tag{i}" for i in range(4))


class Echo:
    """A runner whose logits are each picture's own grey level."""

    side, tags = 8, len(TAGS)

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def buffer(self, size):
        return np.zeros((size, self.side, self.side, 3), np.uint8)

    def run(self, batches):
        for pixels in batches:
            self.sizes.append(len(pixels))
            level = pixels.mean((1, 2, 3), dtype=np.float64).astype(np.float32)
            yield np.stack([level, -level, np.full_like(level, FLOOR), np.full_like(level, -50)], 1)


def grey(data: bytes):
    time.sleep(0.002 * (data[0] % 3))  # the first is not always done first
    return np.full((5, 9, 3), data[0], np.uint8)


def pictures(count):
    return [Picture(f"id{i}", bytes([i % 200 + 2])) for i in range(count)]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 50])
def test_each_picture_has_its_own_logits_in_order(count):
    runner = Echo()
    found = list(RamPlusTagger(runner, TAGS, grey, batch=8).tag(pictures(count)))
    assert [row.image_id for row in found] == [f"id{i}" for i in range(count)]
    assert [row.logits for row in found] == [(float(i % 200 + 2), FLOOR) for i in range(count)]
    assert all(row.tags == ("tag0", "tag2") for row in found)
    assert runner.sizes == [8] * (count // 8) + ([count % 8] if count % 8 else [])


def test_pictures_are_read_only_a_little_ahead():
    """A source of millions must not be decoded into memory while the network is busy."""
    read = 0

    def endless():
        nonlocal read
        for picture in pictures(10_000):
            read += 1
            yield picture

    tagged = RamPlusTagger(Echo(), TAGS, grey, batch=8).tag(endless())
    next(tagged)
    assert read <= 8 * (AHEAD + 3)
    tagged.close()


def test_picture_that_cannot_be_decoded_is_not_passed_over():
    """Its place in the batch would hold whatever lay there, and be tagged."""

    def broken(data):
        if data[0] == 5:
            raise ValueError("picture 5")
        return grey(data)

    with pytest.raises(ValueError, match="picture 5"):
        list(RamPlusTagger(Echo(), TAGS, broken, batch=4).tag(pictures(40)))
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_list_of_another_length_and_logits_that_are_no_numbers_are_refused():
    """Both would give wrong tags in silence."""
    with pytest.raises(WeightsError, match="4 logits for a list of 3"):
        RamPlusTagger(Echo(), TAGS[:3], grey, batch=4)

    class Broken(Echo):
        def run(self, batches):
            yield from (np.full((len(b), 4), np.nan, np.float32) for b in batches)

    with pytest.raises(WeightsError, match="no number"):
        list(RamPlusTagger(Broken(), TAGS, grey, batch=4).tag(pictures(3)))
