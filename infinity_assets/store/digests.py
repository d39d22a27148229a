"""Content digests of tables: equal rows give an equal digest, whatever their order or cut.

A row's digest is the BLAKE3 of its canonical JSON. A table's digest is the sum of its rows' digests modulo
2**32 in eight lanes (an additive multiset hash): independent of row order and of sharding, and composable, so
that a shard that is kept is never read again. It guards against accident, not against a forger.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import blake3
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Lanes = npt.NDArray[np.uint32]
ZERO: Lanes = np.zeros(8, dtype=np.uint32)


def row_digests(table: pa.Table) -> npt.NDArray[np.uint32]:
    """Digest of each row, shape (rows, 8), dtype uint32. Binary enters as hex, in lists too."""
    import polars as pl  # who reads text, and asks for keys alone, does without

    if table.num_rows == 0:
        return np.zeros((0, 8), dtype=np.uint32)
    frame = pl.DataFrame(pl.from_arrow(table))
    frame = frame.with_columns(
        pl.col(pl.Binary).bin.encode("hex"),
        pl.col(pl.List(pl.Binary)).list.eval(pl.element().bin.encode("hex")),
    )
    buffer = io.BytesIO()
    frame.write_ndjson(buffer)
    lines = buffer.getvalue().split(b"\n")[:-1]
    for row, unfit in _unfit_for_json(table):
        lines[row] += unfit
    joined = b"".join(blake3.blake3(line).digest() for line in lines)
    return np.frombuffer(joined, dtype="<u4").reshape(-1, 8)


def _unfit_for_json(table: pa.Table) -> Iterator[tuple[int, bytes]]:
    """Rows with NaN or infinities, which JSON would write as null, and what tells them apart."""
    for name in table.schema.names:
        column = table.column(name)
        if all(_finite(chunk) for chunk in column.chunks):
            continue
        for row, value in enumerate(column.to_pylist()):
            found = "".join(_non_finite(value, name))
            if found:
                yield row, found.encode()


def _finite(array: pa.Array) -> bool:
    if pa.types.is_floating(array.type):
        return pc.all(pc.is_finite(array)).as_py() is not False
    if pa.types.is_struct(array.type):
        return all(_finite(part) for part in array.flatten())
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return _finite(array.flatten())
    return True


def _non_finite(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield f" {path}={value}"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _non_finite(item, f"{path}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _non_finite(item, f"{path}[{i}]")


def table_digest(table: pa.Table) -> str:
    """Hex digest of a table's rows as a multiset, 64 characters."""
    return to_hex(row_digests(table).sum(axis=0, dtype=np.uint32))


def to_hex(lanes: Lanes) -> str:
    """Lanes as 64 hex characters."""
    return lanes.astype("<u4").tobytes().hex()


def add(digests: list[str]) -> str:
    """Digest of the union of disjoint multisets."""
    total = ZERO
    for digest in digests:
        total = total + np.frombuffer(bytes.fromhex(digest), dtype="<u4")
    return to_hex(total)


def data_version(table: str, schema_version: int, rows: int, digest: str) -> str:
    """The version of a table's content: 32 hex characters, equal for equal content alone."""
    return key_of("data", table, schema_version, rows, digest)


def key_of(*parts: object) -> str:
    """A BLAKE3-128 hex key of plain values; their order and types matter, their length does not confuse."""
    hasher = blake3.blake3()
    for part in parts:
        encoded = repr(part).encode()
        hasher.update(len(encoded).to_bytes(8, "little"))
        hasher.update(encoded)
    return hasher.hexdigest(length=16)
