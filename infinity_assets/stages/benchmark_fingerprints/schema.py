"""One row for each evaluation item: what its pictures and its text are recognised by."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from infinity_assets.stages.verdicts import VERDICT_FIELDS
from infinity_assets.store.tables import TableSpec

#: A text of 13 words or more: its runs of 13 words that tell it from the benchmark's other items.
PASSAGE: Final = pa.struct(
    [
        pa.field("ngrams", pa.list_(pa.uint64())),  # hashes, in the order of the text
        pa.field("starts", pa.list_(pa.int32())),  # the word at which each run begins
        pa.field("asked", pa.bool_()),  # whether the item asks it, or answers it
        pa.field("generic", pa.bool_()),  # whether the benchmark says it about several pictures
    ]
)

BENCHMARK_FINGERPRINTS: Final = TableSpec(
    name="benchmark_fingerprints",
    version=2,
    key="item_id",
    schema=pa.schema(
        [
            pa.field("item_id", pa.string(), nullable=False),  # sample id of the item in unified
            # Parallel lists, one entry for each picture that was decoded.
            pa.field("decoded_ids", pa.list_(pa.string()), nullable=False),  # image ids
            pa.field("pixel_hashes", pa.list_(pa.string()), nullable=False),
            pa.field("phashes", pa.list_(pa.binary()), nullable=False),
            pa.field("low_detail", pa.list_(pa.bool_()), nullable=False),
            pa.field("signatures", pa.list_(pa.binary()), nullable=False),
            pa.field("media", pa.int32(), nullable=False),  # pictures, clips and sounds that it refers to
            # Parallel lists, one entry for each exchange: BLAKE3-128 of the question in normal form, the same
            # of question and answers, the question itself (to compare it once the picture is the same), and
            # what an answer of fewer than 13 words is known by behind it.
            pa.field("question_hashes", pa.list_(pa.binary(16)), nullable=False),
            pa.field("turn_hashes", pa.list_(pa.binary(16)), nullable=False),
            pa.field("questions", pa.list_(pa.string()), nullable=False),
            pa.field("question_words", pa.list_(pa.int32()), nullable=False),
            pa.field("answered", pa.list_(pa.bool_()), nullable=False),
            pa.field("answer_words", pa.list_(pa.list_(pa.uint64())), nullable=False),
            pa.field("passages", pa.list_(PASSAGE), nullable=False),
            *VERDICT_FIELDS,
        ]
    ),
)
