"""Copies that were cropped are met, though their own hashes lie far apart."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from infinity_assets.similarity.crops import CROPS_VERSION, PARTS, crop_hashes, crop_radius
from infinity_assets.similarity.pictures import PHASH_RADIUS
from infinity_assets.similarity.signature import Signature, pack
from infinity_assets.stages.duplicate_ledger.cropped import crop_pairs
from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.images.measure import ImageMeasures, measure_image
from infinity_assets.store.objects import Objects
from infinity_assets_tests.stages.images import pictures as p

PHOTO = p.photo(480, 360)


def measured(image: Image.Image) -> ImageMeasures:
    return measure_image(p.encode(image, "PNG"), None, Limits())


@pytest.mark.parametrize("part", PARTS)
def test_a_crop_is_met_by_the_hash_of_its_part(part: tuple[float, float, float, float]) -> None:
    """Cropped copies would be trained on as other pictures."""
    left, top, right, bottom = part
    box = round(480 * left), round(360 * top), round(480 * right), round(360 * bottom)
    whole, crop = measured(PHOTO), measured(PHOTO.crop(box))
    assert whole.signature is not None and crop.phash is not None
    hashes = crop_hashes(whole.signature)
    distance = np.bitwise_count(hashes ^ np.uint64(int.from_bytes(crop.phash)))
    assert distance[PARTS.index(part)] <= crop_radius(PHASH_RADIUS)


def test_the_search_is_exact_whatever_was_searched_before(tmp_path) -> None:
    """A source that comes later would miss the crops of pictures that were there, or keep those that went."""
    random = np.random.default_rng(3)
    wholes = np.unique(random.integers(0, 1 << 63, 300, np.uint64))
    flips = np.uint64(1) << random.integers(0, 63, (5, len(wholes))).astype(np.uint64)
    parts = np.unique(np.concatenate([wholes ^ np.bitwise_xor.reduce(flips[:n]) for n in (1, 3, 5)]))
    objects = Objects(str(tmp_path))
    for some, others in (
        (parts[::3], wholes[::2]),
        (parts, wholes[::3]),
        (parts[::2], wholes),
        (parts, wholes),
    ):
        found = crop_pairs(some, others, PHASH_RADIUS, objects)
        a, b = np.nonzero(np.bitwise_count(some[:, None] ^ others) <= crop_radius(PHASH_RADIUS))
        met = set(zip(found.part.tolist(), found.whole.tolist(), strict=True))
        assert len(met) == len(found.part)
        assert met == set(zip(some[a].tolist(), others[b].tolist(), strict=True))


def test_hashes_change_only_with_their_version() -> None:
    """What is kept of a shard would mix hashes of two meanings."""
    luma = (np.add.outer(np.arange(45) ** 2, np.arange(60) * 7) % 256).astype(np.uint8)
    found = crop_hashes(pack(Signature(600, 450, luma, None)))
    assert (CROPS_VERSION, [f"{h:016x}" for h in found.tolist()]) == (4, GOLDEN)


GOLDEN = [
    "cc4d4c4d4d4b5d59",
    "8c0dad0d4d0f5d5b",
    "89094d0b595b5bf3",
    "8d0d0d0d4d5b59f3",
    "cccc4c4d4c4f5d59",
    "a4acad8d4d0e0d5f",
    "8949490b5b5b1bf3",
    "8d0d0d0d4d5b59f3",
    "ecec4c4c4c4d5d59",
    "a4aee58ecd0e0c4f",
    "894b0b0b5b1b1bf3",
    "8d0d0d0d4b595bf3",
    "890d0d095b5b5bf3",
    "8d4d4d0d4d4b595b",
    "8d4d0d4d495959f9",
    "e4ed0c4d4c0f5d59",
    "8909090b5b1bfbf3",
    "8d4d4d0d4d4f195b",
    "ec4c4c4c4c5d59f9",
    "e4e6e4e6c44e4c4e",
    "89490b0b5b1bf3b3",
    "e84ded4d4d4d0959",
    "ecec4c4c4c1d59b9",
    "e4e6e4e6e44a0e4e",
    "8d0d0d0d4d5b59db",
    "cd4d4d4d494d5959",
    "cdcd4d4d494d1959",
    "ec4d4d4c4c4f5d19",
]
