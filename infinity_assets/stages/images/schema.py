"""The table ``images``: its columns, and rows of it from bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Final

import pyarrow as pa

from infinity_assets.stages.images.limits import Limits
from infinity_assets.store.tables import TableSpec

#: Raised when a column is added, removed or changes its type or meaning.
IMAGES_SCHEMA_VERSION = 2

#: One row is one picture. What the columns mean: :class:`ImageMeasures`.
IMAGES_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("bytes", pa.large_binary()),  # null where the file is over the byte limit
        pa.field("byte_length", pa.int64(), nullable=False),
        ("format", pa.string()),
        ("mode", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("stored_width", pa.int32()),
        ("stored_height", pa.int32()),
        ("exif_orientation", pa.int8()),
        ("animated", pa.bool_()),
        ("frames", pa.int32()),
        ("has_alpha", pa.bool_()),
        ("phash", pa.binary(8)),
        ("dhash", pa.binary(32)),
        ("pixel_hash", pa.string()),
        ("blur", pa.float32()),
        ("entropy", pa.float32()),
        ("luminance", pa.float32()),
        ("contrast", pa.float32()),
        ("low_detail", pa.bool_()),
        ("signature", pa.binary()),
        ("extension_ok", pa.bool_()),
        pa.field("verdict", pa.string(), nullable=False),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)


IMAGES: Final = TableSpec(
    name="images",
    version=IMAGES_SCHEMA_VERSION,
    schema=IMAGES_SCHEMA,
    key="image_id",
    lookup=("image_id",),
    # image_id is the hash of the bytes; extension_ok tells of the name under which they were met first.
    digest_exclude=("bytes", "extension_ok"),
)


def unmeasured(
    image_id: str, byte_length: int, data: bytes | None, reason: str, detail: str
) -> pa.RecordBatch:
    """One row for a picture that was not decoded at all, and why: every measure is null."""
    columns: dict[str, list[object]] = {name: [None] for name in IMAGES_SCHEMA.names}
    columns |= {"image_id": [image_id], "byte_length": [byte_length], "bytes": [data]}
    columns |= {"verdict": ["quarantine"], "reason": [reason], "detail": [detail]}
    return pa.RecordBatch.from_pydict(columns, schema=IMAGES_SCHEMA)


def measure_batch(items: Sequence[tuple[str, bytes]], limits: Limits) -> pa.RecordBatch:
    """Measure ``(name, bytes)`` pairs: one row each, in their order, as :data:`IMAGES_SCHEMA`.

    The caller bounds a batch's bytes: they are copied once into the batch.
    """
    from infinity_assets.stages.images.measure import ImageMeasures, measure_images  # decoders, for workers

    rows = measure_images(items, limits)
    columns = {field.name: [getattr(row, field.name) for row in rows] for field in fields(ImageMeasures)}
    columns["bytes"] = [data if len(data) <= limits.max_bytes else None for _, data in items]
    return pa.RecordBatch.from_pydict(columns, schema=IMAGES_SCHEMA)
