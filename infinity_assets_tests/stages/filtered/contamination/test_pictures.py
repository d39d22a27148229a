"""Looking at pictures of a benchmark: the same by whoever looks, and never twice."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from infinity_assets.demo.parts import jpeg
from infinity_assets.similarity.pictures import PHASH_RADIUS
from infinity_assets.stages.duplicate_ledger import near_images
from infinity_assets.stages.filtered.contamination.pictures import same_pictures
from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.images.measure import measure_image
from infinity_assets_tests.stages.filtered.contamination.leaks import (
    InMemory,
    batch_of,
    benchmark_of,
    drawing,
    encoded_again,
    images_of,
)

ITEMS = [("What is it?", "A house.", [drawing(i)]) for i in range(3)]


class Counting(InMemory):
    """Counts the files that are asked for."""

    read = 0

    def picture(self, place: int) -> bytes:
        self.read += 1
        return super().picture(place)


def looked(pictures: list[bytes], items=ITEMS, before: InMemory | None = None, workers: int = 1):
    """What is found of these pictures, who looked, and how many files were read for it."""
    batch, mine = batch_of([("?", "!", [picture]) for picture in pictures])
    witness = Counting(mine, images_of(items))
    witness.workers = workers
    if before is not None:
        witness.objects = before.objects
    found = same_pictures(batch.pictures, benchmark_of(items), witness)
    return found.sort("pixel_hash", "item_pixels"), witness


def test_a_pair_that_was_looked_at_is_remembered_for_every_source() -> None:
    """Lost otherwise: all pictures near to a benchmark decoded again for one item more."""
    first, witness = looked([encoded_again(drawing(0)), drawing(1)])
    assert (len(first), witness.read) == (2, 1), "equal pixels need no look"
    other, second = looked([encoded_again(drawing(2))], before=witness)
    assert (len(other), second.read) == (1, 1)
    again, third = looked([encoded_again(drawing(0)), drawing(1)], before=witness)
    assert third.read == 0 and again.equals(first)
    more = [*ITEMS, ("What is it?", "A tree.", [drawing(3)])]
    grown, fourth = looked([encoded_again(drawing(i)) for i in (0, 2, 3)], more, before=witness)
    assert (len(grown), fourth.read) == (3, 1), "the new item alone is looked at"


def test_pairs_of_a_picture_that_left_the_benchmark_are_forgotten() -> None:
    """Lost otherwise: a memory that only grows."""
    copies = [encoded_again(drawing(i)) for i in range(3)]
    _, witness = looked(copies)
    looked(copies[:1], ITEMS[:1], before=witness)
    _, again = looked(copies, before=witness)
    assert again.read == 2


@pytest.mark.parametrize("cut", ["the sample's", "the item's"])
def test_a_picture_that_lost_a_strip_is_the_items_picture(cut: str) -> None:
    """Lost otherwise: a benchmark's picture in training because somebody cut a strip off one side."""
    whole = drawing(9)
    pixels = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    crop = jpeg(np.ascontiguousarray(pixels[:, : round(pixels.shape[1] * 0.92)]), 90)
    hashes = [int.from_bytes(measure_image(data, None, Limits()).phash or b"") for data in (whole, crop)]
    assert (hashes[0] ^ hashes[1]).bit_count() > PHASH_RADIUS, "found by its parts alone"
    sample, item = (crop, whole) if cut == "the sample's" else (whole, crop)
    seen, _ = looked([sample], [("What is it?", "A house.", [item])])
    assert len(seen) == 1


def test_workers_find_what_one_process_finds(monkeypatch) -> None:
    """Lost otherwise: hits that hang on the machine."""
    handed: list[int] = []

    def spread(function, items, workers):
        handed.append(workers)
        return [function(item) for item in items]

    monkeypatch.setattr(near_images, "spread", spread)
    copies = [encoded_again(drawing(i)) for i in range(3)]
    alone, _ = looked(copies)
    together, _ = looked(copies, workers=4)
    assert together.equals(alone) and len(alone) == 3
    assert set(handed) == {1, 4}, "looks go through the pool"
