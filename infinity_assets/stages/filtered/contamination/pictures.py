"""Which pictures of samples are pictures of a benchmark: equal pixels, or near to two looks of a witness."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.errors import StoreError
from infinity_assets.similarity.hamming import near_pairs_between
from infinity_assets.similarity.pictures import PHASH_RADIUS, closer, relations
from infinity_assets.stages.filtered.contamination.benchmark import Benchmark
from infinity_assets.stages.images.closeup import closeup
from infinity_assets.stages.images.limits import Limits
from infinity_assets.store.tables import Published

Rows = npt.NDArray[np.int64]

#: Pairs of pictures whose signatures are held at once: some 30 MB.
PAIRS_AT_ONCE = 4096

#: Close-ups of the benchmark that are kept: some 2 MB each.
CLOSEUPS = 64

SAME = {"pixel_hash": pl.String, "item_pixels": pl.String, "likeness": pl.Float32, "low_detail": pl.Boolean}


class Witness(Protocol):
    """Gives what two looks need to see."""

    def signatures(self, places: Rows) -> Sequence[bytes]:
        """Signatures of the source's pictures, by their places in ``images``."""
        ...

    def picture(self, place: int) -> bytes:
        """The file of one of the source's pictures."""
        ...

    def item_picture(self, image_id: str) -> bytes:
        """The file of one of the benchmark's pictures."""
        ...


class StoredPictures:
    """A witness that reads the tables of a source and of a benchmark."""

    def __init__(self, source: Published, benchmark: Published) -> None:
        self._source = source
        self._benchmark = benchmark

    def signatures(self, places: Rows) -> Sequence[bytes]:
        """See :class:`Witness`."""
        return self._taken(places.tolist(), "signature") if len(places) else []

    def picture(self, place: int) -> bytes:
        """See :class:`Witness`."""
        return self._taken([place], "bytes")[0]

    def item_picture(self, image_id: str) -> bytes:
        """See :class:`Witness`.

        Raises:
            StoreError: if it is there no more.
        """
        found = self._benchmark.read(["bytes"], f"image_id = '{image_id}'").column("bytes").to_pylist()
        if not found:
            raise StoreError(
                f"{self._benchmark.uri}: picture {image_id} of the benchmark is gone; materialize"
                f" benchmark_fingerprints of {self._benchmark.partition} again"
            )
        return bytes(found[0])

    def _taken(self, places: list[int], column: str) -> list[bytes]:
        values: list[bytes] = self._source.dataset().take(places, columns=[column])[column].to_pylist()
        return values


def same_pictures(pictures: pl.DataFrame, benchmark: Benchmark, witness: Witness) -> pl.DataFrame:
    """Pairs of a picture and a picture of the benchmark that are the same.

    Args:
        pictures: ``pixel_hash``, ``phash`` (uint64), ``low_detail`` and ``place`` (in ``images``).
        benchmark: fingerprints.
        witness: gives pictures to look at.

    Returns:
        ``pixel_hash``, ``item_pixels``, ``likeness`` (1 where pixels are equal) and ``low_detail`` (whether
        they show too little to say that it is this picture: such pictures are compared for equality alone).
    """
    mine = pictures.unique("pixel_hash", keep="first", maintain_order=True)
    theirs = benchmark.pictures.unique("pixel_hash", keep="first", maintain_order=True)
    equal = mine.join(theirs.select("pixel_hash"), on="pixel_hash", how="semi").select(
        "pixel_hash", "low_detail", item_pixels="pixel_hash", likeness=pl.lit(1.0, pl.Float32)
    )
    mine, theirs = mine.filter(~pl.col("low_detail")), theirs.filter(~pl.col("low_detail"))
    near = _within(mine, theirs).filter(pl.col("pixel_hash") != pl.col("item_pixels"))
    confirmed = _confirmed(_likely(near, witness), witness)
    return pl.concat([equal.select(SAME.keys()), confirmed])


def _within(mine: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """Pairs within the radius: ``pixel_hash``, ``place``; ``item_pixels``, ``image_id``, ``signature``."""
    left = mine["phash"].unique().sort()
    right = theirs["phash"].unique().sort()
    pairs = near_pairs_between(left.to_numpy(), right.to_numpy(), PHASH_RADIUS)
    hashes = pl.DataFrame({"phash": left.gather(pairs.left), "other": right.gather(pairs.right)})
    theirs = theirs.select("signature", "image_id", other="phash", item_pixels="pixel_hash")
    return (
        hashes.join(mine.select("phash", "pixel_hash", "place"), on="phash")
        .join(theirs, on="other")
        .sort("item_pixels", "pixel_hash")
    )


def _likely(pairs: pl.DataFrame, witness: Witness) -> pl.DataFrame:
    """Pairs that may be the same as far as their signatures show."""
    kept = [pairs.clear()]
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        part = pairs.slice(start, PAIRS_AT_ONCE)
        places, at = np.unique(part["place"].to_numpy().astype(np.int64), return_inverse=True)
        read = witness.signatures(places)
        told = relations((read[i], other) for i, other in zip(at.tolist(), part["signature"], strict=True))
        kept.append(part.filter(pl.Series([t.relation == "same" for t in told], dtype=pl.Boolean)))
    return pl.concat(kept)


def _confirmed(pairs: pl.DataFrame, witness: Witness) -> pl.DataFrame:
    """Those of the pairs that are the same in a close-up; each picture of the benchmark is decoded once."""
    item = lru_cache(CLOSEUPS)(lambda image_id: closeup(witness.item_picture(image_id), Limits()))
    found: list[tuple[str, str, float, bool]] = []
    for row in pairs.iter_rows(named=True):
        told = closer(closeup(witness.picture(row["place"]), Limits()), item(row["image_id"]))
        if told.relation == "same":
            found.append((row["pixel_hash"], row["item_pixels"], told.score, False))
    return pl.DataFrame(found, schema=SAME, orient="row")
