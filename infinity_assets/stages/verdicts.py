"""What is decided about a row: keep, drop or quarantine, with a reason code and what lies behind it."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

KEEP: Final = "keep"
DROP: Final = "drop"
QUARANTINE: Final = "quarantine"

#: Every stage's table ends with these columns. ``reason`` is null exactly where the verdict is keep.
VERDICT_FIELDS: Final = (
    pa.field("verdict", pa.string(), nullable=False),
    pa.field("reason", pa.string()),
    pa.field("detail", pa.string()),
)
