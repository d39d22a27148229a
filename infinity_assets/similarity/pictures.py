"""Whether two pictures are the same, by their signatures: the second witness of a near-image edge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from infinity_assets.similarity.signature import unpack

#: Largest Hamming distance of two pHashes at which their pictures are compared.
PHASH_RADIUS = 10

Relation = Literal["same", "variant", "different"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two pictures are to each other.

    ``same``: one is the other resized, encoded again, brighter or darker, lightly watermarked or cropped by
    up to a tenth. ``variant``: one content in other colours (themes). ``different``: everything else.
    """

    relation: Relation
    score: float  #: likeness from 0 to 1; what decides is ``relation``


def relation(a: bytes, b: bytes) -> Comparison:
    """Compare two pictures by their signatures; symmetric.

    Raises:
        StoreError: if either is no signature.
    """
    first, second = unpack(min(a, b)).luma, unpack(max(a, b)).luma
    size = min(first.shape[1], second.shape[1]), min(first.shape[0], second.shape[0])
    x, y = (cv2.resize(plane, size, interpolation=cv2.INTER_AREA).ravel() for plane in (first, second))
    if x.std() == 0 or y.std() == 0:
        return Comparison("different", 0.0)
    correlation = float(np.corrcoef(x, y)[0, 1])
    return Comparison("same" if correlation > 0.98 else "different", max(0.0, correlation))


def relations(pairs: Iterable[tuple[bytes, bytes]]) -> list[Comparison]:
    """:func:`relation` of each pair, in order."""
    return [relation(a, b) for a, b in pairs]
