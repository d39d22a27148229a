"""Pictures of which one may be a crop of the other: pHashes of parts near to pHashes of whole pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from infinity_assets.similarity.crops import CROPS_VERSION, crop_radius
from infinity_assets.similarity.hamming import near_pairs_between
from infinity_assets.stages.duplicate_ledger.known import recall, remember
from infinity_assets.store.digests import key_of
from infinity_assets.store.objects import Objects

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class CropPairs:
    """Pairs of a part's pHash and a whole picture's within a radius, each once, ``(pairs,)`` each."""

    part: Hashes
    whole: Hashes

    def of(self, owner: npt.NDArray[np.generic], parts: Hashes) -> pl.DataFrame:
        """Columns ``owner`` and ``whole``, each pair once: which whole pictures may be crops of which owners.

        Args:
            owner: names of pictures, ``(pictures,)``.
            parts: pHashes of their parts, ``(pictures, parts)``.
        """
        owned = pl.DataFrame({"owner": np.repeat(owner, parts.shape[1]), "part": parts.reshape(-1)})
        near = pl.DataFrame({"part": self.part, "whole": self.whole})
        return owned.join(near, on="part").select("owner", "whole").unique()


def crop_pairs(parts: Hashes, wholes: Hashes, radius: int, objects: Objects) -> CropPairs:
    """All pairs within the radius of crops; what earlier runs searched is not searched again.

    Args:
        parts: pHashes of parts: sorted, distinct.
        wholes: pHashes of whole pictures, likewise.
        radius: that of whole pictures, see :func:`~infinity_assets.similarity.crops.crop_radius`.
        objects: where earlier runs left what they found.
    """
    radius = crop_radius(radius)
    version = key_of("crops", CROPS_VERSION, radius)
    found = recall(objects, "crop_pairs", version)
    known = {"part": np.empty(0, np.uint64), "whole": np.empty(0, np.uint64)}
    pairs = dict(known)
    if found is not None:
        known = {name: found[name]["hash"].to_numpy() for name in known}
        pairs = {name: found["pairs"][name].to_numpy() for name in known}
        there = np.isin(pairs["part"], parts, kind="sort") & np.isin(pairs["whole"], wholes, kind="sort")
        pairs = {name: values[there] for name, values in pairs.items()}
    new_parts = np.setdiff1d(parts, known["part"], assume_unique=True)
    new_wholes = np.setdiff1d(wholes, known["whole"], assume_unique=True)
    old_parts = np.intersect1d(parts, known["part"], assume_unique=True)
    for some, others in ((new_parts, wholes), (old_parts, new_wholes)):
        if len(some) and len(others):
            near = near_pairs_between(some, others, radius)
            pairs["part"] = np.concatenate((pairs["part"], some[near.left]))
            pairs["whole"] = np.concatenate((pairs["whole"], others[near.right]))
    if len(new_parts) or len(new_wholes) or (len(parts), len(wholes)) != tuple(map(len, known.values())):
        kept = {name: pa.table({"hash": hashes}) for name, hashes in (("part", parts), ("whole", wholes))}
        remember(objects, "crop_pairs", version, kept | {"pairs": pa.table(pairs)})
    return CropPairs(pairs["part"], pairs["whole"])
