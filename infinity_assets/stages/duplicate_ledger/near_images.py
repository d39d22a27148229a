"""Near pictures: pHashes within a radius, found exactly; then compared by signatures, then in close-ups.

A pHash near the complement of another one is that of a picture whose light and dark changed places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from infinity_assets.sharding.pool import spread
from infinity_assets.similarity.hamming import near_pairs, near_pairs_between
from infinity_assets.similarity.pictures import INVERTED_RADIUS, WITNESS_VERSION, Comparison, relation_of
from infinity_assets.similarity.signature import SIGNATURE_VERSION
from infinity_assets.stages.duplicate_ledger.cropped import CropPairs
from infinity_assets.stages.duplicate_ledger.keys import Keys, Rows
from infinity_assets.stages.duplicate_ledger.known import recall, remember
from infinity_assets.stages.duplicate_ledger.samples import Pictures
from infinity_assets.stages.images.closeup import confirm_pair
from infinity_assets.store.digests import key_of
from infinity_assets.store.objects import Objects

#: Raised when the same pictures give other pairs.
NEAR_IMAGE_VERSION = 3

#: Pictures of one pHash that others are compared with, the first ones. Thousands share one where a form was
#: filled in; all pairs of them would be millions of comparisons. Our choice.
CROWD = 64

#: Pairs of pictures whose signatures are held at once: some 30 MB.
PAIRS_AT_ONCE = 4096

SAME, VARIANT, DIFFERENT = 0, 1, 2
_RELATIONS = {"same": SAME, "variant": VARIANT, "different": DIFFERENT}

#: Pairs of files that are held at once for their close-ups: some 100 MB of photos.
CLOSEUPS = 128


#: What says of many pairs of pictures what they are to each other.
Looks = Callable[[Sequence[tuple[bytes, bytes]]], Sequence[Comparison]]


@dataclass(frozen=True, slots=True)
class Witness:
    """What two pictures are compared by, read when asked for."""

    signatures: Callable[[Rows], Sequence[bytes]]  #: of pictures, in their order
    pictures: Callable[[Rows], Sequence[bytes]]  #: their files, likewise
    copies: Looks | None = None  #: asked of files last, where somebody named one: see :mod:`.copies`


@dataclass(frozen=True, slots=True)
class Memory:
    """Where what the witness said of pairs of pixels is remembered; it saves time and decides nothing."""

    objects: Objects
    name: str
    others: Callable[[pl.DataFrame], pl.DataFrame] = pl.DataFrame.clear
    """Which pairs that nobody asked for this time are kept: none, unless said. Columns as remembered."""
    copies: str = ""  #: names who looks last, if anyone does


@dataclass(frozen=True, slots=True)
class HashPairs:
    """Pairs of pHashes that are near, or one near the other's complement; each once, ``(pairs,)`` each."""

    left: npt.NDArray[np.uint64]
    right: npt.NDArray[np.uint64]

    def among(self, hashes: npt.NDArray[np.uint64]) -> tuple[Rows, Rows]:
        """Places in ``hashes`` (sorted, distinct) of the pairs that are both there."""
        there = np.isin(self.left, hashes, kind="sort") & np.isin(self.right, hashes, kind="sort")
        left, right = self.left[there], self.right[there]
        return np.searchsorted(hashes, left), np.searchsorted(hashes, right)

    def and_of(self, others: pl.DataFrame) -> HashPairs:
        """These and others, of columns ``owner`` and ``whole``."""
        mine = pl.DataFrame({"left": self.left, "right": self.right})
        theirs = others.filter(pl.col("owner") != pl.col("whole"))
        theirs = theirs.select(
            left=pl.min_horizontal("owner", "whole"), right=pl.max_horizontal("owner", "whole")
        )
        ordered = mine.select(
            left=pl.min_horizontal("left", "right"), right=pl.max_horizontal("left", "right")
        )
        both = pl.concat([ordered, theirs]).unique(maintain_order=True)
        return HashPairs(both["left"].to_numpy(), both["right"].to_numpy())


@dataclass(frozen=True, slots=True)
class NearImages:
    """Pairs of picture nodes (first pictures with their pixels), ``(pairs,)`` each; ``later > earlier``."""

    later: Rows
    earlier: Rows
    distance: npt.NDArray[np.uint8]  #: bits of 64
    relation: npt.NDArray[np.uint8]  #: SAME or VARIANT
    score: npt.NDArray[np.float32]
    compared: int  #: pairs within the radius, or of a whole and a part
    new: int  #: of them, compared in this run
    crowded: int  #: pictures whose pHash more than :data:`CROWD` have

    def of(self, relation: int) -> NearImages:
        """The pairs of one relation."""
        at = np.flatnonzero(self.relation == relation)
        return NearImages(
            self.later[at],
            self.earlier[at],
            self.distance[at],
            self.relation[at],
            self.score[at],
            self.compared,
            self.new,
            self.crowded,
        )


def near_images(
    pictures: Pictures,
    pairs: HashPairs,
    crops: CropPairs,
    witness: Witness,
    memory: Memory,
    workers: int,
) -> NearImages:
    """All near pictures. Pictures of low detail take no part: their hashes say nothing.

    The result follows from the pictures alone. What earlier runs compared is not compared again.

    Args:
        pictures: all of them, or all that are connected with some, see :mod:`.affected`.
        pairs: see :func:`hash_pairs`; of these pictures at least.
        crops: see :func:`~.cropped.crop_pairs`; likewise.
        witness: asked for what no earlier run compared.
        memory: where earlier runs left what it said.
        workers: processes that look at pictures.
    """
    nodes = np.flatnonzero(pictures.comparable & (pictures.node == np.arange(len(pictures))))
    hashes, place = np.unique(pictures.phash[nodes], return_inverse=True)
    later, earlier, crowded = _node_pairs(nodes, place, *pairs.among(hashes))
    later, earlier = _and_crops(later, earlier, nodes, pictures, crops)
    bits = np.bitwise_count(pictures.phash[later] ^ pictures.phash[earlier])
    dark = bits >= 64 - INVERTED_RADIUS
    relation, score, new = compared(pictures.pixels, later, earlier, witness, memory, workers, dark)
    near = np.flatnonzero(relation != DIFFERENT)
    return NearImages(
        later[near], earlier[near], bits[near], relation[near], score[near], len(later), new, crowded
    )


def hash_pairs(hashes: npt.NDArray[np.uint64], radius: int, objects: Objects) -> HashPairs:
    """All pairs of pHashes within the radius; what earlier runs searched is not searched again.

    Args:
        hashes: sorted, distinct.
        radius: largest Hamming distance; to complements it is :data:`INVERTED_RADIUS` at most.
        objects: where earlier runs left what they found.
    """
    version = key_of("phash", NEAR_IMAGE_VERSION, radius, INVERTED_RADIUS)
    found = recall(objects, "phash_pairs", version)
    values = [np.empty(0, np.uint64), np.empty(0, np.uint64)]
    searched = np.empty(0, np.uint64)
    if found is not None:
        searched = found["searched"]["hash"].to_numpy()
        values = [found["pairs"][name].to_numpy() for name in ("left", "right")]
        there = np.isin(values[0], hashes, kind="sort") & np.isin(values[1], hashes, kind="sort")
        values = [v[there] for v in values]
    fresh = np.setdiff1d(hashes, searched, assume_unique=True)
    if len(fresh):
        known = np.intersect1d(hashes, searched, assume_unique=True)
        within = near_pairs(fresh, radius)
        across = near_pairs_between(fresh, known, radius)
        dark = near_pairs_between(fresh, ~hashes, min(radius, INVERTED_RADIUS))
        left, right = fresh[dark.left], hashes[dark.right]
        once = (left < right) | ~np.isin(right, fresh, kind="sort")
        values[0] = np.concatenate((values[0], fresh[within.left], fresh[across.left], left[once]))
        values[1] = np.concatenate((values[1], fresh[within.right], known[across.right], right[once]))
    if len(fresh) or len(hashes) != len(searched):
        pairs = pa.table({"left": values[0], "right": values[1]})
        remember(objects, "phash_pairs", version, {"searched": pa.table({"hash": hashes}), "pairs": pairs})
    return HashPairs(values[0], values[1])


def _node_pairs(nodes: Rows, place: Rows, left: Rows, right: Rows) -> tuple[Rows, Rows, int]:
    """Pairs of pictures for pairs of hashes: the first few of each with all of the other and its own."""
    order = np.argsort(place, kind="stable")
    counts = np.bincount(place)
    starts = np.cumsum(counts) - counts
    few = np.minimum(counts, CROWD)
    own = np.flatnonzero(counts > 1)
    parts = [
        _products(one, other, starts, few, counts)
        for one, other in ((own, own), (left, right), (right, left))
    ]
    a, b = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    later, earlier = _once(nodes[order[a]], nodes[order[b]])
    return later, earlier, int(counts[counts > CROWD].sum())


def _products(left: Rows, right: Rows, starts: Rows, few: Rows, counts: Rows) -> tuple[Rows, Rows]:
    """The first few of each left group with all of the right one."""
    sizes = few[left] * counts[right]
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    width = np.repeat(counts[right], sizes)
    a = np.repeat(starts[left], sizes) + within // np.maximum(width, 1)
    b = np.repeat(starts[right], sizes) + within % np.maximum(width, 1)
    return a, b


def _once(a: Rows, b: Rows) -> tuple[Rows, Rows]:
    """Each pair of two once, the later first."""
    pairs = pl.DataFrame({"later": np.maximum(a, b), "earlier": np.minimum(a, b)})
    pairs = pairs.filter(pl.col("later") != pl.col("earlier")).unique().sort("later", "earlier")
    return pairs["later"].to_numpy(), pairs["earlier"].to_numpy()


def _and_crops(
    later: Rows, earlier: Rows, nodes: Rows, pictures: Pictures, crops: CropPairs
) -> tuple[Rows, Rows]:
    """The pairs, and those of a picture with the first few that have the pHash of a part of it."""
    of_hash = pl.DataFrame({"other": nodes, "whole": pictures.phash[nodes]})
    few = of_hash.group_by("whole", maintain_order=True).head(CROWD)
    found = crops.of(nodes, pictures.parts[nodes]).join(few, on="whole")
    return _once(
        np.concatenate((later, found["owner"].to_numpy())),
        np.concatenate((earlier, found["other"].to_numpy())),
    )


_PIXELS = ("a0", "a1", "b0", "b1")


def _witness_version(memory: Memory) -> str:
    named = [memory.copies] * bool(memory.copies)
    return key_of("witness", NEAR_IMAGE_VERSION, SIGNATURE_VERSION, WITNESS_VERSION, *named)


def remembered(memory: Memory) -> pl.DataFrame:
    """What was said of pairs: their pixels (``a0``, ``a1``, ``b0``, ``b1``), ``relation`` and ``score``."""
    found = recall(memory.objects, memory.name, _witness_version(memory))
    if found is None:
        schema = dict.fromkeys(_PIXELS, pl.UInt64) | {"relation": pl.UInt8, "score": pl.Float32}
        return pl.DataFrame(schema=schema)
    return pl.DataFrame(pl.from_arrow(found["pairs"]))


def compared(
    pixels: Keys,
    later: Rows,
    earlier: Rows,
    witness: Witness,
    memory: Memory,
    workers: int,
    complementary: npt.NDArray[np.bool_] | None = None,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], int]:
    """What the second witness says of each pair, asked once for each pair of pixels.

    Args:
        pixels: hash of each picture's pixels.
        later: one picture of each pair, by its row in ``pixels``.
        earlier: the other.
        witness: asked for what is not remembered.
        memory: what was said before.
        workers: processes that look at pictures.
        complementary: pairs whose pHashes are near each other's complement; none, unless said.

    Returns:
        :data:`SAME`, :data:`VARIANT` or :data:`DIFFERENT` and the likeness of each pair; how many were new.
    """
    names = list(_PIXELS)
    # Which is the later one depends on what else there is; the verdict on two pictures does not.
    a0, a1, b0, b1 = pixels[later, 0], pixels[later, 1], pixels[earlier, 0], pixels[earlier, 1]
    swap = (a0 < b0) | ((a0 == b0) & (a1 < b1))
    one, other = np.where(swap, earlier, later), np.where(swap, later, earlier)
    values = (pixels[one, 0], pixels[one, 1], pixels[other, 0], pixels[other, 1])
    asked = pl.DataFrame(dict(zip(names, values, strict=True)))
    known = remembered(memory)
    told = asked.join(known, on=names, how="left", maintain_order="left")
    missing = np.flatnonzero(told["relation"].is_null().to_numpy())
    relation = told["relation"].fill_null(DIFFERENT).to_numpy().copy()
    score = told["score"].fill_null(0.0).to_numpy().copy()

    def note(at: Rows, said: Sequence[Comparison]) -> None:
        for i, comparison in zip(at.tolist(), said, strict=True):
            relation[i], score[i] = _RELATIONS[comparison.relation], comparison.score

    for part in _parts(missing, PAIRS_AT_ONCE):
        signatures = _read_pairs(one[part], other[part], witness.signatures)
        dark = [False] * len(part) if complementary is None else complementary[part].tolist()
        looked_at = [(*pair, inverted) for pair, inverted in zip(signatures, dark, strict=True)]
        first = spread(relation_of, looked_at, workers)
        note(part, first)
        # A changed digit cannot be seen in a signature: what looks the same there is looked at again.
        same = np.array([i for i, said in enumerate(first) if said.placement is not None], np.int64)
        same = same[_side_by_side(one[part[same]], other[part[same]])]
        for few in _parts(same, CLOSEUPS):
            files = _read_pairs(one[part[few]], other[part[few]], witness.pictures)
            seen = [(*pair, first[i].placement) for pair, i in zip(files, few.tolist(), strict=True)]
            note(part[few], spread(confirm_pair, seen, workers))
    if witness.copies is not None:
        for few in _parts(missing[relation[missing] == SAME], CLOSEUPS):
            note(few, witness.copies(_read_pairs(one[few], other[few], witness.pictures)))
    others = memory.others(known.join(asked, on=names, how="anti"))
    if len(missing) or len(known) > len(asked) + len(others):
        told = asked.with_columns(relation=relation, score=score)
        kept = pl.concat([told, others]).unique(names, keep="first", maintain_order=True)
        remember(memory.objects, memory.name, _witness_version(memory), {"pairs": kept.to_arrow()})
    return relation, score, len(missing)


def _parts(rows: Rows, count: int) -> Iterator[Rows]:
    return (rows[start : start + count] for start in range(0, len(rows), count))


def _side_by_side(a: Rows, b: Rows) -> Rows:
    """The order of pairs in which those that are connected follow each other: a picture is decoded once."""
    names, at = np.unique(np.concatenate((a, b)), return_inverse=True)
    left, right = at.reshape(2, -1)
    group, before = np.arange(len(names)), np.zeros(0, np.int64)
    while not np.array_equal(group, before):
        before = group.copy()
        least = np.minimum(group[left], group[right])
        np.minimum.at(group, left, least)
        np.minimum.at(group, right, least)
    return np.lexsort((right, left, group[left]))


def _read_pairs(
    later: Rows, earlier: Rows, read: Callable[[Rows], Sequence[bytes]]
) -> list[tuple[bytes, bytes]]:
    """Each pair's two, every picture of them read once."""
    wanted, at = np.unique(np.concatenate((later, earlier)), return_inverse=True)
    found = read(wanted)
    sides = at.reshape(2, -1).tolist()
    return [(found[a], found[b]) for a, b in zip(*sides, strict=True)]
