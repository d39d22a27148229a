"""The manifest of a source: one row for each upstream file, with the hash of its content."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from infinity_assets.store.tables import TableSpec

RAW: Final = TableSpec(
    name="raw",
    version=1,
    key="file_id",
    digest_exclude=("modified",),
    schema=pa.schema(
        [
            pa.field("file_id", pa.string(), nullable=False),  # <root>/<path>
            pa.field("root", pa.string(), nullable=False),  # records or media
            pa.field("path", pa.string(), nullable=False),  # POSIX, relative to that root
            pa.field("bytes", pa.int64(), nullable=False),
            pa.field("content_hash", pa.string()),  # BLAKE3-128 hex; null if the file cannot be read
            pa.field("revision", pa.string()),  # upstream revision, as the catalogue says
            pa.field("error", pa.string()),  # why it cannot be read
            pa.field("modified", pa.int64()),  # ns, as the file system says; not part of the data version
        ]
    ),
)
