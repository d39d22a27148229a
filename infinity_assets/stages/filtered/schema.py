"""One row for each kept sample of tagged: its format and quality measures, and the verdict of the policy."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from infinity_assets.stages.filtered.contamination.kinds import FOUND
from infinity_assets.stages.verdicts import VERDICT_FIELDS
from infinity_assets.store.tables import TableSpec

FILTERED: Final = TableSpec(
    name="filtered",
    version=2,
    key="sample_id",
    digest_exclude=("policy",),  # another policy with the same verdicts changes nothing
    schema=pa.schema(
        [
            pa.field("sample_id", pa.string(), nullable=False),
            # One measure for each rule, so that a threshold can be moved without measuring again.
            pa.field("measures", pa.map_(pa.string(), pa.float32()), nullable=False),
            # Every rule that the sample fails, with or without dropping it.
            pa.field("findings", pa.list_(pa.string()), nullable=False),
            # What it holds of benchmarks, by benchmark and kind; empty where it was compared and is clean.
            pa.field("contamination", pa.list_(FOUND), nullable=False),
            pa.field("policy", pa.string(), nullable=False),  # hash of the policy file
            *VERDICT_FIELDS,
        ]
    ),
)
