"""One row for each kept sample of unified: does it stay, and if not, which edge drops it."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from infinity_assets.stages.verdicts import VERDICT_FIELDS
from infinity_assets.store.tables import TableSpec

DEDUPED: Final = TableSpec(
    name="deduped",
    version=2,
    key="sample_id",
    schema=pa.schema(
        [
            pa.field("sample_id", pa.string(), nullable=False),
            pa.field("duplicate_of", pa.string()),  # the earlier sample of the dropping edge
            pa.field("distance", pa.float32()),  # of that edge, see ``duplicate_ledger``
            *VERDICT_FIELDS,
        ]
    ),
)
