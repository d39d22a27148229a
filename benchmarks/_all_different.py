"""Real sets of small pictures no two of which are one: every pair that is joined there is joined wrongly.

easy_vqa's drawings show one shape each, and nearly all of a picture is its ground; MNIST's are digits.
pHashes say little of either.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks._pair_bases import Pair
from infinity_assets.similarity.crops import crop_hashes, crop_radius
from infinity_assets.similarity.pictures import PHASH_RADIUS
from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.images.measure import measure_image

#: Where the digits are.
DIGITS = Path("native_tars") / "sample.tgz"

Picture = tuple[str, bytes]


def all_different(data: Path) -> dict[str, list[Pair]]:
    """The candidates of each set, as pairs labelled different; a pair's origin is the first name."""
    drawings = sorted((data / "easy_vqa").rglob("*.png"))
    with tarfile.open(data / DIGITS) as archive:
        digits = [
            (member.name, file.read())
            for member in archive
            if member.name.endswith(".png") and (file := archive.extractfile(member)) is not None
        ]
    named = {
        "easy_vqa": [(str(path.relative_to(data)), path.read_bytes()) for path in drawings],
        "mnist": sorted(digits),
    }
    return {name: list(_candidates(name, pictures)) for name, pictures in named.items()}


def _candidates(name: str, pictures: Sequence[Picture]) -> Iterator[Pair]:
    """Pairs within the radius, or of a whole and a part within that of crops."""
    rows = [measure_image(data, None, Limits()) for _, data in pictures]
    hashes = np.array([int.from_bytes(row.phash or b"") for row in rows], np.uint64)
    parts = np.stack([crop_hashes(row.signature or b"") for row in rows])
    wholes = np.bitwise_count(hashes[:, None] ^ hashes) <= PHASH_RADIUS
    cropped = np.zeros_like(wholes)
    for part in parts.T:
        cropped |= np.bitwise_count(part[:, None] ^ hashes) <= crop_radius(PHASH_RADIUS)
    for i, j in np.argwhere(np.triu(wholes | cropped | cropped.T, 1)).tolist():
        (origin, left), (_, right) = pictures[i], pictures[j]
        yield Pair(left, right, "different", "of one set", name, origin)
