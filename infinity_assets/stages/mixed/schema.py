"""One row for each eligible sample of a training stage: how often it is planned, and why not more."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from infinity_assets.stages.verdicts import VERDICT_FIELDS
from infinity_assets.store.tables import TableSpec

MIXED: Final = TableSpec(
    name="mixed",
    version=1,
    key="sample_id",
    lookup=("sample_id",),
    schema=pa.schema(
        [
            pa.field("sample_id", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("category", pa.string(), nullable=False),
            pa.field("tokens", pa.int32()),  # question + answer, of one pass
            pa.field("times", pa.int32(), nullable=False),  # how often the plan has it; 0 where it is dropped
            pa.field("positions", pa.list_(pa.int64()), nullable=False),  # line numbers in the plan
            *VERDICT_FIELDS,
        ]
    ),
)
