"""One row for each sample: the loss of its answers and FineVision's ratings, null where not measured."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from infinity_assets.store.tables import TableSpec

#: FineVision's four ratings (arXiv 2510.17269), each from 1 to 5.
TEXT_AXES: Final = ("formatting", "relevance")
PICTURE_AXES: Final = ("visual_dependency", "image_correspondence")
AXES: Final = (*TEXT_AXES, *PICTURE_AXES)

#: Kind of a sample that was written by ``synthesized``; the others have their type of question.
SYNTHETIC: Final = "synthetic"

RATING: Final = pa.struct([pa.field(axis, pa.int8()) for axis in AXES])

SCORED: Final = TableSpec(
    name="scored",
    version=1,
    key="sample_id",
    schema=pa.schema(
        [
            pa.field("sample_id", pa.string(), nullable=False),
            pa.field("kind", pa.string()),  # type of its question, or synthetic; null without a question
            pa.field("exchanges", pa.int32(), nullable=False),  # that were to be scored
            # Nats a token over all scored answers; null unless each of them was measured.
            pa.field("loss", pa.float32()),
            pa.field("losses", pa.list_(pa.float32()), nullable=False),  # of each answer
            pa.field("answer_tokens", pa.list_(pa.int32()), nullable=False),  # by the model, likewise
            # The least of its exchanges; null unless each of them was rated, and where there is no picture.
            *(pa.field(axis, pa.int8()) for axis in AXES),
            pa.field("ratings", pa.list_(RATING), nullable=False),  # of each exchange
            pa.field("loss_problem", pa.string()),  # why there is no loss
            pa.field("ratings_problem", pa.string()),  # why a rating is missing
            pa.field("model", pa.string()),  # with its revision; null where none was asked
            pa.field("prompts", pa.list_(pa.string()), nullable=False),  # name@version of each
            pa.field("requests", pa.list_(pa.string()), nullable=False),  # hashes in the kept replies
            pa.field("prompt_tokens", pa.int64(), nullable=False),
            pa.field("completion_tokens", pa.int64(), nullable=False),
            pa.field("made_from", pa.string(), nullable=False),  # hash of samples, model, policy and versions
        ]
    ),
)
