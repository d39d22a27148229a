"""FineVision's Parquet (arXiv 2510.17269): pictures and (user, assistant) pairs in nested columns.

``<image>`` markers stay in the text, because a pair does not say otherwise where its pictures belong.
System and tool turns are joined to the question that they stand before. The rating columns are there and
null: nothing rated these turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from infinity_assets.stages.exported.base import ReadBack, Sample, fold_pairs
from infinity_assets.stages.exported.files import HashedFile

GROUP_ROWS = 100  #: rows of a row group, as the Hub's viewer likes it where rows carry pictures

_AXES = ("relevance", "visual_dependency", "image_correspondence", "formatting")
_RATINGS = tuple(
    field
    for axis in _AXES
    for field in (pa.field(f"{axis}_ratings", pa.list_(pa.int64())), pa.field(f"{axis}_min", pa.int64()))
)
_IMAGE: Final = pa.struct([pa.field("bytes", pa.large_binary()), pa.field("path", pa.string())])
_TEXT: Final = pa.struct([pa.field("user", pa.string()), pa.field("assistant", pa.string())])
SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("images", pa.list_(_IMAGE), nullable=False),
        pa.field("texts", pa.list_(_TEXT), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        *_RATINGS,
    ]
)
_BYTES = "images.list.element.bytes"


class FineVision:
    """``id``, ``images``, ``texts``, ``source`` and null ratings."""

    format = "finevision"
    version = 1
    suffix = "parquet"

    def open(self, file: HashedFile, folder: Path) -> _Parquet:
        """See :class:`~infinity_assets.stages.exported.base.Exporter`."""
        return _Parquet(file)

    def finish(self, folder: Path, shards: Sequence[str]) -> None:
        """Nothing to write."""

    def read(self, folder: Path, shards: Sequence[str]) -> Iterator[ReadBack]:
        """See :class:`~infinity_assets.stages.exported.base.Exporter`; picture bytes are not read."""
        columns = ["id", "texts", "images.list.element.path"]
        for shard in shards:
            with pq.ParquetFile(folder / shard) as parquet:
                for batch in parquet.iter_batches(batch_size=1000, columns=columns):
                    for row in batch.to_pylist():
                        pairs = tuple((t["user"], t["assistant"]) for t in row["texts"])
                        yield ReadBack(row["id"], pairs, tuple(i["path"] for i in row["images"]))


class _Parquet:
    def __init__(self, file: HashedFile) -> None:
        leaves = [column.path for column in _leaves()]
        self._writer = pq.ParquetWriter(
            pa.PythonFile(file, mode="w"),
            SCHEMA,
            # Pictures are compressed already; a dictionary of them would be a second copy.
            compression={path: "none" if path == _BYTES else "zstd" for path in leaves},
            use_dictionary=["source"],
            write_statistics=["id", "source"],
        )
        self._rows: list[dict[str, Any]] = []

    def add(self, sample: Sample) -> None:
        pairs = fold_pairs([(t["role"], t["text"]) for t in sample.turns])
        self._rows.append(
            {
                "id": sample.key,
                "images": [{"bytes": bytes(p.data), "path": p.name} for p in sample.pictures],
                "texts": [{"user": user, "assistant": assistant} for user, assistant in pairs],
                "source": sample.source,
            }
        )
        if len(self._rows) == GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA), row_group_size=GROUP_ROWS)
        self._rows.clear()


def _leaves() -> list[Any]:
    """Leaf columns of the Parquet schema, as Parquet names them."""
    sink = pa.BufferOutputStream()
    pq.write_table(SCHEMA.empty_table(), sink)
    schema = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [schema.column(i) for i in range(len(schema))]
