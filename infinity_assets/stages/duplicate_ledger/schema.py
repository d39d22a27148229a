"""The ledger: one row for each edge between a sample and one that precedes it."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from infinity_assets.store.tables import TableSpec

#: Same pictures (by their bytes) and conversation.
EXACT_PAIR: Final = "exact_pair"
#: Pictures that are the same or near, one by one, and a conversation that is the same or near; of records
#: without words, the same labels and boxes.
NEAR_PAIR: Final = "near_pair"
#: Exchanges in common about the same pictures; distance 0 where the other has all of them.
SHARED_TURNS: Final = "shared_turns"
#: Questions in common about the same pictures, answered otherwise.
SHARED_QUESTIONS: Final = "shared_questions"
#: The same pictures, whatever is said about them: the first sample names the visual cluster.
SAME_PICTURES: Final = "same_pictures"
#: One picture in several files: pixels are equal, bytes are not.
SAME_IMAGE: Final = "same_image"
#: Pictures that a second witness calls the same.
NEAR_IMAGE: Final = "near_image"
#: Pictures that it calls one content in other colours.
IMAGE_VARIANT: Final = "image_variant"
#: The same conversation about other pictures.
SAME_TEXT: Final = "same_text"
#: A near conversation, whatever the pictures.
NEAR_TEXT: Final = "near_text"

#: In the order in which edges of a sample stand, and a dropping one is named.
KINDS: Final = (
    EXACT_PAIR,
    NEAR_PAIR,
    SHARED_TURNS,
    SHARED_QUESTIONS,
    SAME_PICTURES,
    SAME_IMAGE,
    NEAR_IMAGE,
    IMAGE_VARIANT,
    SAME_TEXT,
    NEAR_TEXT,
)

DUPLICATE_LEDGER: Final = TableSpec(
    name="duplicate_ledger",
    version=2,
    key="edge_id",
    lookup=("winner_id",),  # a sample's own edges lie in the shard of its place
    schema=pa.schema(
        [
            # <kind>:<sample_id>:<winner_id>, and :<image_id>:<winner_image_id> where pictures are joined
            pa.field("edge_id", pa.string(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            # 0 is equal. Of pictures: bits of 64 (same_image: 0). Of texts: 1 - Jaccard similarity. Of boxes:
            # how far a side lies from the other's at most, as a share of the picture. Of shared turns and
            # questions: the share of the sample's own that the other lacks.
            pa.field("distance", pa.float32(), nullable=False),
            pa.field("score", pa.float32()),  # likeness that the second witness of two pictures saw, 0 to 1
            pa.field("sample_id", pa.string(), nullable=False),  # the later one in the total order
            pa.field("winner_id", pa.string(), nullable=False),  # the earlier one
            pa.field("winner_source", pa.string(), nullable=False),
            pa.field("image_id", pa.string()),  # of the sample, where pictures are joined
            pa.field("winner_image_id", pa.string()),
            pa.field("decides", pa.bool_(), nullable=False),  # whether the sample drops by this edge
            pa.field("detail", pa.string()),  # what bars the winner, where something does
        ]
    ),
)
