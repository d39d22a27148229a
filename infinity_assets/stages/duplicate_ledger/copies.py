"""A third look at pictures that two looks call the same: what a copy-detection network says of them."""

from __future__ import annotations

from collections.abc import Sequence

from infinity_assets.models.copies import SIDE, SIMILARITY, CopyDetector
from infinity_assets.similarity.pictures import Comparison
from infinity_assets.stages.images.closeup import squared
from infinity_assets.stages.images.limits import Limits


def look_for_copies(detector: CopyDetector, pairs: Sequence[tuple[bytes, bytes]]) -> list[Comparison]:
    """``same`` where the embeddings of two files agree, else ``different``; each picture is seen once.

    Raises:
        CopyDetectorError: if the network cannot be used.
        ImageProblem: if a picture cannot be decoded; one that was measured can.
    """
    if not pairs:
        return []
    files = list(dict.fromkeys(data for pair in pairs for data in pair))
    vectors = detector.embed([squared(data, SIDE, Limits()) for data in files])
    at = {data: i for i, data in enumerate(files)}
    cosines = [float(vectors[at[a]] @ vectors[at[b]]) for a, b in pairs]
    return [
        Comparison("same" if cosine >= SIMILARITY else "different", max(0.0, min(1.0, cosine)))
        for cosine in cosines
    ]
