"""The canonical sample: one row for each raw record, readable or not."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from infinity_assets.stages.verdicts import VERDICT_FIELDS
from infinity_assets.store.tables import TableSpec

LOCATOR: Final = pa.struct(
    [
        pa.field("file", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("member", pa.string()),
        pa.field("offset", pa.int64()),
    ]
)
TURN: Final = pa.struct([pa.field("role", pa.string()), pa.field("text", pa.string())])
MEDIUM: Final = pa.struct(
    [
        pa.field("kind", pa.string()),  # image, video, audio
        pa.field("ref", pa.string()),  # path under the media root, or the name inside the container
        pa.field("embedded", pa.bool_()),
        pa.field(
            "image_id", pa.string()
        ),  # BLAKE3-128 hex of the bytes (of any kind of medium); null if missing
    ]
)
ANNOTATION: Final = pa.struct(
    [
        pa.field("kind", pa.string()),
        pa.field("label", pa.string()),
        pa.field("text", pa.string()),
        pa.field("box", pa.list_(pa.float32())),  # x0, y0, x1, y1 in pixels of the original; null if none
        pa.field("image", pa.int32()),  # index into media
        pa.field("data", pa.string()),  # canonical JSON
    ]
)

#: Columns that a draft (one slice, read and measured, media not yet looked up) already has.
DRAFT_FIELDS: Final = (
    pa.field("source", pa.string(), nullable=False),
    pa.field("native_id", pa.string()),
    pa.field("record_hash", pa.string(), nullable=False),  # BLAKE3-128 hex of the record as read
    pa.field("locator", LOCATOR, nullable=False),
    pa.field("turns", pa.list_(TURN), nullable=False),
    pa.field("media", pa.list_(MEDIUM), nullable=False),
    pa.field("annotations", pa.list_(ANNOTATION), nullable=False),
    pa.field("extras", pa.string(), nullable=False),  # canonical JSON: native fields without a column
    pa.field("upstream", pa.string(), nullable=False),  # canonical JSON: measures that upstream ships
    pa.field("licence", pa.string(), nullable=False),  # the row's own, else the source's
    pa.field("language", pa.string()),  # ISO 639-1 by py3langid; null where there is too little text
    pa.field("language_score", pa.float32()),  # probability of it
    pa.field("question_tokens", pa.int32()),  # of user turns, markers left out; null where there are no turns
    pa.field("answer_tokens", pa.int32()),  # of assistant turns
    pa.field("text_hash", pa.string()),  # BLAKE3-128 hex of the canonical turns; null where there are none
    # One entry for each exchange, in order: BLAKE3-128 of the question alone, and with its answers.
    pa.field("question_hashes", pa.list_(pa.binary(16)), nullable=False),
    pa.field("turn_hashes", pa.list_(pa.binary(16)), nullable=False),
    pa.field(
        "text_signature", pa.binary()
    ),  # MinHash of the conversation; null where there is too little text
    pa.field("marker_added", pa.bool_(), nullable=False),  # a picture without a marker got one
    *VERDICT_FIELDS,
)

UNIFIED: Final = TableSpec(
    name="unified",
    version=2,
    key="sample_id",
    lookup=("sample_id",),
    schema=pa.schema(
        [
            pa.field("sample_id", pa.string(), nullable=False),  # <source>-<BLAKE3-128 hex>
            *DRAFT_FIELDS[:-3],
            pa.field("image_ids", pa.list_(pa.string()), nullable=False),  # of the images, in order
            pa.field("content_hash", pa.string()),  # canonical turns + ordered image ids; null if quarantined
            *DRAFT_FIELDS[-3:],
        ]
    ),
)
