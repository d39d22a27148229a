"""The ledger: one row for each edge between a sample and the one that precedes it."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from infinity_assets.store.tables import TableSpec

DUPLICATE_LEDGER: Final = TableSpec(
    name="duplicate_ledger",
    version=1,
    key="edge_id",
    schema=pa.schema(
        [
            pa.field("edge_id", pa.string(), nullable=False),  # <kind>:<sample_id>:<winner_id>
            pa.field("kind", pa.string(), nullable=False),  # exact_pair
            pa.field("distance", pa.int32(), nullable=False),  # 0 for equal fingerprints
            pa.field("sample_id", pa.string(), nullable=False),  # the later one in the total order
            pa.field("winner_id", pa.string(), nullable=False),  # the first one in the total order
            pa.field("winner_source", pa.string(), nullable=False),
            pa.field("fingerprint", pa.string(), nullable=False),  # the equal content_hash
        ]
    ),
)
