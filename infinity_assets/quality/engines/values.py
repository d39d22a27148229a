"""What checks read out of a batch, whichever engine judges it: values under a path, lengths, markers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.quality import contract as c
from infinity_assets.readers.base import MARKERS

Rows = npt.NDArray[np.int64]


def resolve(batch: pa.RecordBatch, path: str, flatten_leaf: bool = True) -> tuple[pa.Array, Rows | None]:
    """Values under a dotted path, and the row of each where lists were flattened on the way.

    Args:
        flatten_leaf: whether a list at the end of the path is flattened too, or is a value itself.
    """
    top, *inner = path.split(".")
    values = batch.column(top)
    rows: Rows | None = None
    for name in (*inner, None):
        if _is_list(values.type) and (name is not None or flatten_leaf):
            parents = np.asarray(pc.list_parent_indices(values), dtype=np.int64)
            rows = parents if rows is None else rows[parents]
            values = pc.list_flatten(values)
        if name is not None:
            values = pc.struct_field(values, name)
    return values, rows


def lengths(batch: pa.RecordBatch, column: str) -> npt.NDArray[np.int64]:
    """Values in each row of a list column; -1 where the list is null."""
    return np.asarray(pc.fill_null(pc.list_value_length(batch.column(column)), -1), dtype=np.int64)


def where(batch: pa.RecordBatch, when: c.Condition) -> npt.NDArray[np.bool_]:
    """Rows that a condition is about."""
    listed = as_mask(pc.is_in(batch.column(when.column), value_set=pa.array(when.is_in or when.not_in)))
    return listed if when.is_in else ~listed


def markers(batch: pa.RecordBatch, turns: str, media: str) -> dict[str, npt.NDArray[np.int64]]:
    """Counts for each row: ``turns``, and for each kind of medium its markers (``<image>``) and its media."""
    rows = batch.num_rows
    texts, text_rows = resolve(batch, f"{turns}.text")
    kinds, kind_rows = resolve(batch, f"{media}.kind")
    assert text_rows is not None and kind_rows is not None
    found = {"turns": np.bincount(text_rows, minlength=rows)}
    for kind, marker in MARKERS.items():
        counted = np.asarray(pc.fill_null(pc.count_substring(texts, marker), 0))
        found[marker] = np.bincount(text_rows, weights=counted, minlength=rows).astype(np.int64)
        found[kind] = np.bincount(kind_rows[as_mask(pc.equal(kinds, kind))], minlength=rows)
    return found


def repeats(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Values that occur more than once in a sorted array, each once."""
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def as_mask(values: Any) -> npt.NDArray[np.bool_]:
    """Arrow's booleans as NumPy's; null is False."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))
