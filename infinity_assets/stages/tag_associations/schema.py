"""One row for each image tag that occurs with a kind of instruction: how often, and what that says."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from infinity_assets.store.tables import TableSpec

#: The one partition of an asset that has none.
WHOLE: Final = "all"

HIT_RATE_CHECK: Final = "tells_more_than_popularity"
HIT_RATE_PROMISE: Final = (
    "on samples that were not counted, tags suggest the right instruction more often than popularity does"
)

TAG_ASSOCIATIONS: Final = TableSpec(
    name="tag_associations",
    version=1,
    key="pair",
    schema=pa.schema(
        [
            pa.field("pair", pa.string(), nullable=False),  # <level>/<instruction>/<image tag>
            pa.field("level", pa.string(), nullable=False),  # l3, or l2 where rare leaves lean on their group
            pa.field("instruction", pa.string(), nullable=False),  # leaf or group of the tree
            pa.field("image_tag", pa.string(), nullable=False),
            pa.field("count", pa.int64(), nullable=False),  # samples that have both
            pa.field("instruction_support", pa.int64(), nullable=False),  # samples that have the instruction
            pa.field(
                "tag_support", pa.int64(), nullable=False
            ),  # pairs of samples and instructions of the tag
            # L2-normalised by instruction; null where the support is too small or the tag says nothing.
            pa.field("tfidf", pa.float32()),
            pa.field("pmi", pa.float32(), nullable=False),  # nats, shrunk towards 0 where counts are small
        ]
    ),
)
