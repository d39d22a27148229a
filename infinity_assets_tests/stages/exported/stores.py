"""Small published stores, built directly: what ``unified``, ``images`` and ``filtered`` would have left."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import blake3
import pyarrow as pa

from infinity_assets.settings import Settings
from infinity_assets.sources.model import SourceSpec
from infinity_assets.stages.filtered.policy import Policy, load_policy
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.images.schema import IMAGES, measure_batch
from infinity_assets.stages.mixed.spec import MixSpec
from infinity_assets.stages.publish import verdict_stats
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.tables import Store


@dataclass
class Row:
    """One sample of a test store."""

    texts: Sequence[tuple[str, str]]
    images: Sequence[bytes] = ()
    upstream: str = "{}"
    tokens: int | None = 10
    verdict: str = "keep"
    video: bool = False
    sample_id: str = ""


@dataclass
class Deployment:
    """As much of a platform as ``mixed`` and ``exported`` look at."""

    folder: Path
    mixes: dict[str, MixSpec] = field(default_factory=dict)
    catalogue: dict[str, Any] = field(default_factory=dict)
    workers: int = 1

    @property
    def store(self) -> Store:
        return Store(self.folder / "store")

    @property
    def settings(self) -> Settings:
        return Settings(home=self.folder, workers=self.workers)

    @property
    def policy(self) -> Policy:
        return load_policy(None)

    def source(self, name: str, rows: Sequence[Row], **spec: Any) -> list[str]:
        """Publish a source; gives its sample ids."""
        fields = {
            "category": "general",
            "licence": {"id": "CC0-1.0"},
            "language": "en",
            "location": ".",
            "reader": {"format": "llava"},
            "stages": ["3"],
            **spec,
        }
        self.catalogue[name] = SimpleNamespace(spec=SourceSpec(name=name, **fields))
        return publish_source(self.store, name, rows)


def publish_source(store: Store, name: str, rows: Sequence[Row]) -> list[str]:
    """Publish ``images``, ``unified`` and ``filtered`` of one source."""
    distinct = {image_id(data): data for row in rows for data in row.images}
    images = measure_batch([("", data) for data in distinct.values()], Limits())
    put(store, IMAGES, name, pa.Table.from_batches([images], schema=IMAGES.schema))
    samples = [unified_row(name, i, row) for i, row in enumerate(rows)]
    put(store, UNIFIED, name, pa.Table.from_pylist(samples, schema=UNIFIED.schema))
    filtered = [
        {
            "sample_id": sample["sample_id"],
            "measures": [],
            "findings": [],
            "contamination": [],
            "policy": "p",
            "verdict": row.verdict,
            "reason": None if row.verdict == "keep" else "some_rule",
            "detail": None,
        }
        for sample, row in zip(samples, rows, strict=True)
    ]
    put(store, FILTERED, name, pa.Table.from_pylist(filtered, schema=FILTERED.schema))
    return [s["sample_id"] for s in samples]


def put(store: Store, spec: Any, partition: str, table: pa.Table) -> None:
    transaction = store.begin(spec, partition)
    key = blake3.blake3(repr(table.num_rows).encode() + str(table).encode()).hexdigest(length=8)
    shard = transaction.stage(key, table, verdict_stats(table, spec.key))
    transaction.commit([shard], run_id="test", inputs={})


def image_id(data: bytes) -> str:
    return blake3.blake3(data).hexdigest(length=16)


def unified_row(source: str, i: int, row: Row) -> Mapping[str, Any]:
    media = [{"kind": "image", "ref": "x", "embedded": True, "image_id": image_id(d)} for d in row.images]
    if row.video:
        media.append({"kind": "video", "ref": "v.mp4", "embedded": False, "image_id": None})
    return {
        "sample_id": row.sample_id or f"{source}-{i:032x}",
        "source": source,
        "native_id": None,
        "record_hash": f"{i:032x}",
        "locator": {"file": "f", "row": i, "member": None, "offset": None},
        "turns": [{"role": role, "text": text} for role, text in row.texts],
        "media": media,
        "annotations": [],
        "extras": "{}",
        "upstream": row.upstream,
        "licence": "CC0-1.0",
        "language": "en",
        "language_score": 1.0,
        "question_tokens": row.tokens if row.texts else None,
        "answer_tokens": 0 if row.texts else None,
        "text_hash": None,
        "question_hashes": [],
        "turn_hashes": [],
        "text_signature": None,
        "marker_added": False,
        "image_ids": [image_id(d) for d in row.images],
        "content_hash": "c",
        "verdict": "keep",
        "reason": None,
        "detail": None,
    }


def picture(seed: int, kind: str = "JPEG", size: tuple[int, int] = (24, 16), **save: Any) -> bytes:
    """A small picture that differs from seed to seed."""
    from PIL import Image

    image = Image.new("RGB", size, ((seed * 37) % 256, (seed * 91) % 256, (seed * 13) % 256))
    image.putpixel((0, 0), (seed % 256, seed // 256 % 256, 7))
    out = io.BytesIO()
    image.save(out, kind, **save)
    return out.getvalue()


def qa(question: str, answer: str = "Yes.") -> list[tuple[str, str]]:
    return [("user", question), ("assistant", answer)]
