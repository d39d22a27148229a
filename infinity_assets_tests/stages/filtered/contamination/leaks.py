"""Items and training samples as short literals, with drawn pictures, measured as ``images`` measures them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import blake3
import cv2
import polars as pl
import pyarrow as pa

from infinity_assets.demo import scenes
from infinity_assets.demo.parts import jpeg, png
from infinity_assets.similarity.crops import crop_hashes
from infinity_assets.similarity.exchanges import Exchanges
from infinity_assets.stages.benchmark_fingerprints.items import IMAGE_COLUMNS, fingerprint_items
from infinity_assets.stages.filtered.contamination.batch import Batch
from infinity_assets.stages.filtered.contamination.benchmark import Benchmark, words_of
from infinity_assets.stages.filtered.contamination.match import find_contamination
from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.images.schema import IMAGES, measure_batch
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.objects import Objects

MISSING = b""  #: stands for a picture whose file is gone


@cache
def drawing(seed: int) -> bytes:
    """A drawn scene of its own for each seed, as PNG."""
    rng = random.Random(seed)
    return png(scenes.pixels_of_scene(scenes.plan_scene(rng, 320, 240, 3, 6)))


@cache
def encoded_again(data: bytes, scale: float = 0.8) -> bytes:
    """The same picture, smaller and as JPEG."""
    import numpy as np

    pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return jpeg(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), 85)


def image_id(data: bytes) -> str:
    return blake3.blake3(data).hexdigest(length=16)


def rows_of(said: Sequence[tuple[str, str, Sequence[bytes]]], source: str = "exam") -> pa.Table:
    """Rows of ``unified``: question, answer (no turns where both are empty) and pictures of each."""
    cut, rows = Exchanges(), []
    for i, (question, answer, pictures) in enumerate(said):
        turns = [("user", question)] * bool(question) + [("assistant", answer)] * bool(answer)
        hashes = [cut.fingerprints(e) for e in cut.of(turns)]
        there = [image_id(p) for p in pictures if p != MISSING]
        media = [
            {
                "kind": "image",
                "ref": f"{i}/{k}.png",
                "embedded": False,
                "image_id": image_id(p) if p else None,
            }
            for k, p in enumerate(pictures)
        ]
        lost = len(there) < len(pictures)
        rows.append(
            {
                "sample_id": f"{source}-{i:032x}",
                "turns": [{"role": role, "text": text} for role, text in turns],
                "media": media,
                "image_ids": there,
                "question_hashes": [q for q, _ in hashes],
                "turn_hashes": [t for _, t in hashes],
                "verdict": "quarantine" if lost else "keep",
                "reason": "missing_image" if lost else None,
            }
        )
    return pa.Table.from_pylist(rows, UNIFIED.schema)


@cache
def _measured(data: bytes) -> pl.DataFrame:
    batch = measure_batch([("", data)], Limits())
    return pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch], schema=IMAGES.schema)))


def images_of(said: Sequence[tuple[str, str, Sequence[bytes]]]) -> pl.DataFrame:
    data = list(dict.fromkeys(p for _, _, pictures in said for p in pictures if p != MISSING))
    empty = pl.DataFrame(pl.from_arrow(IMAGES.schema.empty_table()))
    return pl.concat([empty, *map(_measured, data)])


class InMemory:
    """A witness over measured pictures."""

    workers = 1

    def __init__(self, mine: pl.DataFrame, theirs: pl.DataFrame) -> None:
        self.objects = Objects("memory://")
        self._mine = mine
        self._theirs = dict(zip(theirs["image_id"], theirs["bytes"], strict=True))

    def signatures(self, places: Any) -> Sequence[bytes]:
        return self._mine["signature"].gather(places).to_list()

    def picture(self, place: int) -> bytes:
        return self._mine["bytes"][place]

    def item_picture(self, image_id: str) -> bytes:
        return self._theirs[image_id]


def benchmark_of(items: Sequence[tuple[str, str, Sequence[bytes]]]) -> Benchmark:
    return Benchmark.of("exam", fingerprint_items(rows_of(items), images_of(items).select(IMAGE_COLUMNS)))


def batch_of(samples: Sequence[tuple[str, str, Sequence[bytes]]]) -> tuple[Batch, pl.DataFrame]:
    images = images_of(samples)
    parts = [crop_hashes(signature).tolist() for signature in images["signature"]]
    looked_up = images.with_row_index("place").with_columns(
        phash=words_of("phash"), parts=pl.Series(parts, dtype=pl.List(pl.UInt64))
    )
    rows = rows_of(samples, "train")
    columns = ["place", "image_id", "pixel_hash", "phash", "parts", "low_detail"]
    return Batch(rows, looked_up.select(columns)), images


def found(
    items: Sequence[tuple[str, str, Sequence[bytes]]], samples: Sequence[tuple[str, str, Sequence[bytes]]]
) -> list[tuple[int, str, int]]:
    """(sample, kind, item) of each hit, by number."""
    batch, images = batch_of(samples)
    hits = find_contamination(batch, benchmark_of(items), InMemory(images, images_of(items)))
    number = pl.col("sample_id", "item_id").str.slice(-8).str.to_integer(base=16)
    return sorted(hits.with_columns(number).select("sample_id", "kind", "item_id").rows())
