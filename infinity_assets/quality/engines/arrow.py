"""The engine without dependencies: each check is a few of Arrow's vectorised functions over a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.quality import contract as c
from infinity_assets.quality.engines import Judged, Mask
from infinity_assets.quality.engines.values import as_mask, lengths, markers, repeats, resolve, where
from infinity_assets.readers.base import MARKERS


class Arrow:
    """See :class:`~infinity_assets.quality.engines.Engine`. A chunk is a batch."""

    def judge(
        self, checks: Sequence[c.RowCheck], key: str, batches: Iterable[pa.RecordBatch]
    ) -> Iterator[Judged]:
        """All rows of the batches, in their order."""
        for batch in batches:
            yield Judged(batch.column(key), [_bad_rows(batch, check) for check in checks])

    def repeated(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Values that occur more than once in a sorted array, each once."""
        return repeats(hashes)


def _bad_rows(batch: pa.RecordBatch, check: c.RowCheck) -> Mask:
    match check:
        case c.NotNull():
            bad: Mask = np.logical_or.reduce([_any(batch, p, pc.is_null, False) for p in check.columns])
            return bad
        case c.InSet():
            allowed = pa.array(check.values)
            return _any(batch, check.column, lambda v: _outside(v, allowed))
        case c.Regex():
            return _any(batch, check.column, lambda v: _unlike(v, check.pattern))
        case c.Range():
            return _any(batch, check.column, lambda v: _out_of_range(v, check))
        case c.RequiredWhen():
            return _required_when(batch, check)
        case c.EqualLength():
            return np.not_equal(lengths(batch, check.columns[0]), lengths(batch, check.columns[1]))
        case c.MediaMarkers():
            return _markers_differ(batch, check)


def _any(
    batch: pa.RecordBatch, path: str, judge: Callable[[pa.Array], pa.Array], flatten_leaf: bool = True
) -> Mask:
    """Rows where any value under ``path`` is judged bad."""
    values, rows = resolve(batch, path, flatten_leaf)
    verdicts = as_mask(judge(values))
    if rows is None:
        return verdicts
    bad: Mask = np.zeros(batch.num_rows, dtype=np.bool_)
    bad[rows[verdicts]] = True
    return bad


def _outside(values: pa.Array, allowed: pa.Array) -> pa.Array:
    return pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, value_set=allowed)))


def _unlike(values: pa.Array, pattern: str) -> pa.Array:
    return pc.fill_null(pc.invert(pc.match_substring_regex(values, pattern)), False)


def _out_of_range(values: pa.Array, check: c.Range) -> pa.Array:
    numbers = pc.cast(values, pa.float64())
    bad = pc.is_nan(numbers)
    if check.min is not None:
        bad = pc.or_(bad, pc.less(numbers, check.min))
    if check.max is not None:
        bad = pc.or_(bad, pc.greater(numbers, check.max))
    return pc.fill_null(bad, False)


def _required_when(batch: pa.RecordBatch, check: c.RequiredWhen) -> Mask:
    null = as_mask(pc.is_null(batch.column(check.column)))
    required = where(batch, check.when)
    bad = required & null
    return bad | (~required & ~null) if check.otherwise == "null" else bad


def _markers_differ(batch: pa.RecordBatch, check: c.MediaMarkers) -> Mask:
    found = markers(batch, check.turns, check.media)
    differ = [found[marker] != found[kind] for kind, marker in MARKERS.items()]
    bad: Mask = np.logical_or.reduce(differ)
    return bad & (found["turns"] > 0) & where(batch, check.when)
