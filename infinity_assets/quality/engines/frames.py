"""Narrow columns of a chunk of rows, gathered batch by batch, as pandas frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.quality.engines.values import Rows, lengths, markers, resolve

ROWS = "rows"  #: name of the frame whose rows are the table's

#: What of a path stands in a column: ``text`` (as it is), ``there`` (1 or null), ``length``, ``at_least`` and
#: ``at_most`` (numbers, NaN as the infinity that the bound refuses), ``not_nan`` (null where NaN, and there
#: alone); or a count of :func:`~infinity_assets.quality.engines.values.markers`.
Kind = str
_NULL = pa.scalar(None, pa.float64())


@dataclass(slots=True)
class Suite:
    """What is expected of one frame."""

    columns: dict[str, tuple[Kind, str]] = field(default_factory=dict)  #: name -> kind and path
    expectations: list[Any] = field(default_factory=list)
    checks: list[int] = field(default_factory=list)  #: the check that each expectation is part of


class Narrow:
    """The narrow columns of one batch."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._markers: dict[str, dict[str, Any]] = {}

    def read(self, kind: Kind, path: str) -> tuple[pa.Array, Rows | None]:
        """The values of a column, and the row of each where lists were flattened on the way.

        Args:
            kind: what of the path.
            path: dotted; of turns and media, with a space between, for a count of markers.
        """
        match kind:
            case "text":
                return resolve(self._batch, path)
            case "there":
                values, rows = resolve(self._batch, path, flatten_leaf=False)
                return pc.if_else(pc.is_valid(values), 1.0, _NULL), rows
            case "length":
                return pa.array(lengths(self._batch, path)), None
            case "at_least" | "at_most" | "not_nan":
                values, rows = resolve(self._batch, path)
                numbers = pc.cast(values, pa.float64())
                nan = pc.fill_null(pc.is_nan(numbers), False)
                if kind == "not_nan":
                    return pc.if_else(nan, _NULL, pc.fill_null(numbers, 0.0)), rows
                return pc.if_else(nan, -np.inf if kind == "at_least" else np.inf, numbers), rows
        if path not in self._markers:
            self._markers[path] = markers(self._batch, *path.split(" "))
        return pa.array(self._markers[path][kind]), None


class Frames:
    """One chunk under way."""

    def __init__(self, suites: Mapping[str, Suite], key: str) -> None:
        self.suites = suites
        self._key = key
        self._keys: list[pa.Array] = []
        self._columns: dict[tuple[str, str], list[pa.Array]] = {}
        self._rows: dict[str, list[Rows]] = {}
        self.count = 0  #: rows of the table
        self._values: dict[str, int] = dict.fromkeys(suites, 0)

    @property
    def values(self) -> int:
        """Rows of its longest frame."""
        return max(self._values.values(), default=0)

    @property
    def keys(self) -> pa.Array:
        """Keys of the table's rows."""
        return pa.concat_arrays(self._keys)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take what the suites look at from a batch."""
        narrow = Narrow(batch)
        for name, suite in self.suites.items():
            for column, (kind, path) in suite.columns.items():
                values, rows = narrow.read(kind, path)
                self._columns.setdefault((name, column), []).append(values)
                if rows is not None:  # such a frame has one column
                    self._rows.setdefault(name, []).append(rows + self.count)
            self._values[name] += len(values)
        self._keys.append(batch.column(self._key))
        self.count += batch.num_rows

    def frame(self, name: str) -> Any:
        """One frame, as pandas' DataFrame. It can be had once: its columns are given up while it is made."""
        columns = {c: pa.chunked_array(self._columns.pop((name, c))) for c in self.suites[name].columns}
        return pa.table(columns).to_pandas(split_blocks=True, self_destruct=True)

    def rows(self, name: str) -> Rows:
        """The table's row of each value of a flattened frame."""
        return np.concatenate(self._rows[name])
