"""The lines of a plan with the rows that they are read from: looked up once, then shared by all workers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa

from infinity_assets.errors import StoreError
from infinity_assets.store.tables import Published

LINES: Final = pa.schema(
    [
        pa.field("key", pa.large_string(), nullable=False),  # sample id, with -1, -2, ... from the second on
        pa.field("source", pa.int32(), nullable=False),  # index into the sorted sources of the plan
        # offset in the source's unified; of row n of its synthesized: -1 - n
        pa.field("row", pa.int64(), nullable=False),
        pa.field("pictures", pa.large_list(pa.int64()), nullable=False),  # offsets in the source's images
        pa.field("bytes", pa.int64(), nullable=False),  # of the pictures
    ]
)
_BATCH_ROWS = 65_536


def build_lines(
    mixed: Published,
    unified: Mapping[str, Published],
    images: Mapping[str, Published | None],
    talks: Mapping[str, Published | None],
) -> pa.Table:
    """All lines of a plan in order, as :data:`LINES`; about 150 bytes of memory a line.

    Args:
        mixed: the plan.
        unified: of every source that gives a line.
        images: likewise; None where a source has no pictures at all.
        talks: likewise of ``synthesized``; None where nothing was written.

    Raises:
        StoreError: if a planned sample or one of its pictures is no longer there.
    """
    planned = pl.DataFrame(pl.from_arrow(mixed.read(["sample_id", "source", "positions"], where="times > 0")))
    frames = [pl.DataFrame(schema={**_COLUMNS, "position": pl.Int64})]
    for index, source in enumerate(sorted(unified)):
        samples = planned.filter(pl.col("source") == source)
        rows = _rows_of(samples.select("sample_id"), source, unified[source], images[source], talks[source])
        frames.append(
            samples.join(rows, on="sample_id", how="left", maintain_order="left")
            .with_columns(pl.int_ranges(0, pl.col("positions").list.len()).alias("reading"))
            .explode("positions", "reading")
            .select(
                pl.when(pl.col("reading") == 0)
                .then("sample_id")
                .otherwise(pl.format("{}-{}", "sample_id", "reading"))
                .alias("key"),
                pl.lit(index, dtype=pl.Int32).alias("source"),
                "row",
                "pictures",
                "bytes",
                pl.col("positions").alias("position"),
            )
        )
    lines = pl.concat(frames).sort("position")
    if lines["position"].to_list() != list(range(len(lines))):
        raise StoreError(f"{mixed.uri}: the plan's positions have holes; materialize mixed again")
    table: pa.Table = lines.select(_COLUMNS.keys()).to_arrow(compat_level=pl.CompatLevel.oldest())
    return table.cast(LINES)


_COLUMNS: dict[str, Any] = {
    "key": pl.String,
    "source": pl.Int32,
    "row": pl.Int64,
    "pictures": pl.List(pl.Int64),
    "bytes": pl.Int64,
}


def _rows_of(
    samples: pl.DataFrame,
    source: str,
    unified: Published,
    images: Published | None,
    talks: Published | None,
) -> pl.DataFrame:
    """Columns ``sample_id``, ``row``, ``pictures``, ``bytes`` of the planned samples of one source."""
    narrow = _numbered(unified, 1)
    if talks is not None:
        narrow = pl.concat([narrow, _numbered(talks, -1)])
    found = samples.join(narrow, on="sample_id", how="left", maintain_order="left")
    _refuse_lost(found.filter(pl.col("row").is_null()), "sample_id", source, "samples")
    stored = pl.DataFrame(schema={"image_id": pl.String, "byte_length": pl.Int64})
    if images is not None:
        stored = pl.DataFrame(pl.from_arrow(images.read(["image_id", "byte_length"])))
    stored = stored.with_row_index("picture")
    shown = (
        found.select("sample_id", pl.col("image_ids").alias("image_id"))
        .filter(pl.col("image_id").list.len() > 0)
        .explode("image_id")
        .join(stored, on="image_id", how="left", maintain_order="left")
    )
    _refuse_lost(shown.filter(pl.col("picture").is_null()), "image_id", source, "pictures")
    pictures = shown.group_by("sample_id", maintain_order=True).agg(
        pl.col("picture").cast(pl.Int64).alias("pictures"), pl.col("byte_length").sum().alias("bytes")
    )
    return found.join(pictures, on="sample_id", how="left", maintain_order="left").select(
        "sample_id",
        pl.col("row").cast(pl.Int64),
        pl.col("pictures").fill_null(pl.lit([], dtype=pl.List(pl.Int64))),
        pl.col("bytes").fill_null(0),
    )


def _numbered(table: Published, sign: int) -> pl.DataFrame:
    """``row``, ``sample_id``, ``image_ids``; rows of ``synthesized`` count -1, -2, ... (sign -1)."""
    frame = pl.DataFrame(pl.from_arrow(table.read(["sample_id", "image_ids"]))).with_row_index("row")
    row = pl.col("row").cast(pl.Int64)
    return frame.with_columns(row if sign > 0 else (-1 - row).alias("row"))


def _refuse_lost(lost: pl.DataFrame, column: str, source: str, what: str) -> None:
    if len(lost):
        raise StoreError(
            f"{source}: {len(lost):,} planned {what} are no longer in the store, the first is"
            f" {lost[column][0]}; materialize mixed again, so that the plan knows"
        )


def save_lines(table: pa.Table, path: Path) -> None:
    """Write the lines for :func:`open_lines`."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=_BATCH_ROWS)


def open_lines(path: Path) -> pa.Table:
    """Map the lines into memory: only the pages that are looked at are read."""
    table: pa.Table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    return table
