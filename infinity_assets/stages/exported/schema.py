"""One row for each shard of an export: which lines of the plan it holds, and the hash of its bytes."""

from __future__ import annotations

import pyarrow as pa

from infinity_assets.store.tables import TableSpec

_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),  # POSIX path in the export's folder
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("samples", pa.int32(), nullable=False),
        pa.field("first", pa.int64(), nullable=False),  # line of the plan
        pa.field("last", pa.int64(), nullable=False),  # included
        pa.field("content_hash", pa.string(), nullable=False),  # BLAKE3-128 hex of the file
        pa.field("pictures", pa.int32(), nullable=False),  # of these lines, inside the file or beside it
        pa.field("picture_bytes", pa.int64(), nullable=False),
    ]
)


def exported_spec(format_name: str) -> TableSpec:
    """The table of one format's exports, one partition for each training stage."""
    return TableSpec(name=f"exported_{format_name}", version=1, schema=_SCHEMA, key="file")
