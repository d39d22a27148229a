"""Which pictures of samples are pictures of a benchmark: equal pixels, or near to two looks of a witness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.errors import StoreError
from infinity_assets.similarity.crops import crop_radius
from infinity_assets.similarity.hamming import near_pairs_between
from infinity_assets.similarity.pictures import PHASH_RADIUS
from infinity_assets.stages.duplicate_ledger import near_images
from infinity_assets.stages.duplicate_ledger.keys import keys_of_hex
from infinity_assets.stages.filtered.contamination.benchmark import Benchmark
from infinity_assets.store.objects import Objects
from infinity_assets.store.tables import Published

Rows = npt.NDArray[np.int64]

SAME = {"pixel_hash": pl.String, "item_pixels": pl.String, "likeness": pl.Float32, "low_detail": pl.Boolean}


class Witness(Protocol):
    """Gives what two looks need to see, and says who looks and where it is remembered."""

    objects: Objects
    workers: int  #: processes

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

    def __init__(self, source: Published, benchmark: Published, objects: Objects, workers: int) -> None:
        self.objects = objects
        self.workers = workers
        self._source = source
        self._benchmark = benchmark

    def signatures(self, places: Rows) -> Sequence[bytes]:
        """See :class:`Witness`."""
        return _taken(self._source, places.tolist(), "signature") if len(places) else []

    def picture(self, place: int) -> bytes:
        """See :class:`Witness`."""
        return _taken(self._source, [place], "bytes")[0]

    def item_picture(self, image_id: str) -> bytes:
        """See :class:`Witness`.

        Raises:
            StoreError: if it is there no more.
        """
        place = self._items.get(image_id)
        if place is None:
            raise StoreError(
                f"{self._benchmark.uri}: picture {image_id} of the benchmark is gone; materialize"
                f" benchmark_fingerprints of {self._benchmark.partition} again"
            )
        return _taken(self._benchmark, [place], "bytes")[0]

    @cached_property
    def _items(self) -> dict[str, int]:
        """Where each picture of the benchmark lies."""
        ids = self._benchmark.read(["image_id"]).column("image_id").to_pylist()
        return {image_id: place for place, image_id in enumerate(ids)}


def _taken(table: Published, places: list[int], column: str) -> list[bytes]:
    values: list[bytes] = table.dataset().take(places, columns=[column])[column].to_pylist()
    return values


def same_pictures(pictures: pl.DataFrame, benchmark: Benchmark, witness: Witness) -> pl.DataFrame:
    """Pairs of a picture and a picture of the benchmark that are the same.

    Args:
        pictures: ``pixel_hash``, ``phash`` (uint64), ``parts`` (pHashes of parts of it), ``low_detail`` and
            ``place`` (in ``images``).
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
    return pl.concat([equal.select(SAME.keys()), _confirmed(near, benchmark, witness)])


def _within(mine: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """Pairs within the radius, or of a whole and a part: ``pixel_hash``, ``place``; ``item_pixels``,
    ``image_id``, ``signature``."""
    theirs = theirs.rename({"pixel_hash": "item_pixels"})
    whole, cropped = pl.col("phash"), crop_radius(PHASH_RADIUS)
    pairs = pl.concat(
        [
            _close(mine, whole, theirs, whole, PHASH_RADIUS),
            _close(mine, whole, theirs.explode("parts"), pl.col("parts"), cropped),
            _close(mine.explode("parts"), pl.col("parts"), theirs, whole, cropped),
        ]
    ).unique()
    return (
        pairs.join(mine.select("pixel_hash", "place"), on="pixel_hash")
        .join(theirs.select("item_pixels", "image_id", "signature"), on="item_pixels")
        .sort("item_pixels", "pixel_hash")
    )


def _close(
    mine: pl.DataFrame, hash_: pl.Expr, theirs: pl.DataFrame, item_hash: pl.Expr, radius: int
) -> pl.DataFrame:
    """``pixel_hash`` and ``item_pixels`` of pictures whose hashes lie within ``radius``."""
    left = mine.select("pixel_hash", hash=hash_).drop_nulls()
    right = theirs.select("item_pixels", other=item_hash).drop_nulls()
    some, others = left["hash"].unique().sort(), right["other"].unique().sort()
    near = near_pairs_between(some.to_numpy(), others.to_numpy(), radius)
    hashes = pl.DataFrame({"hash": some.gather(near.left), "other": others.gather(near.right)})
    return hashes.join(left, on="hash").join(right, on="other").select("pixel_hash", "item_pixels")


def _confirmed(pairs: pl.DataFrame, benchmark: Benchmark, witness: Witness) -> pl.DataFrame:
    """Those of the pairs that are the same, by the ledger's two looks; none is looked at twice."""
    if pairs.is_empty():
        return pl.DataFrame(schema=SAME)
    mine = pairs.select("pixel_hash", "place").unique("pixel_hash", keep="first").sort("place")
    theirs = pairs.select("item_pixels", "image_id", "signature").unique("item_pixels", keep="first")
    theirs = theirs.sort("item_pixels")
    count, places = len(mine), mine["place"].to_numpy().astype(np.int64)

    def signatures(wanted: Rows) -> Sequence[bytes]:
        read = iter(witness.signatures(places[wanted[wanted < count]]))
        return [next(read) if row < count else signed[row - count] for row in wanted.tolist()]

    def files(wanted: Rows) -> Sequence[bytes]:
        return [
            witness.picture(int(places[row])) if row < count else witness.item_picture(ids[row - count])
            for row in wanted.tolist()
        ]

    ids, signed = theirs["image_id"].to_list(), theirs["signature"].to_list()
    pixels = keys_of_hex(pl.concat([mine["pixel_hash"], theirs["item_pixels"]]).to_arrow())
    at = [
        pairs.select(column).join(side.with_row_index("at"), on=column, maintain_order="left")["at"]
        for column, side in (("pixel_hash", mine), ("item_pixels", theirs))
    ]
    relation, score, _ = near_images.compared(
        pixels,
        at[0].to_numpy().astype(np.int64),
        at[1].to_numpy().astype(np.int64) + count,
        near_images.Witness(signatures, files),
        near_images.Memory(witness.objects, f"benchmark_pictures/{benchmark.name}", _showing(benchmark)),
        witness.workers,
    )
    found = pairs.select("pixel_hash", "item_pixels", likeness=pl.Series(score), low_detail=pl.lit(False))
    return found.filter(pl.Series(relation == near_images.SAME))


def _showing(benchmark: Benchmark) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Of remembered pairs those with a picture that the benchmark still has: other sources may ask again."""
    keys = keys_of_hex(benchmark.pictures["pixel_hash"].to_arrow())
    shown = pl.DataFrame({"0": keys[:, 0], "1": keys[:, 1]}).unique()

    def kept(known: pl.DataFrame) -> pl.DataFrame:
        sides = [known.join(shown, left_on=[f"{s}0", f"{s}1"], right_on=["0", "1"], how="semi") for s in "ab"]
        return pl.concat(sides).unique(maintain_order=True)

    return kept
