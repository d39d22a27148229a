"""Narrow columns of a chunk of rows, gathered batch by batch, as pandas frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.quality.engines.validation import Validation
from infinity_assets.quality.engines.values import Rows, lengths, markers, resolve

#: What of a path stands in a column: ``text`` (as it is), ``there`` (1 or null), ``length``, ``at_least`` and
#: ``at_most`` (numbers, NaN as the infinity that the bound refuses), ``not_nan`` (null where NaN, and there
#: alone); or a count of :func:`~infinity_assets.quality.engines.values.markers`.
Kind = str
Part = tuple[Kind, str]  #: kind and path
_ONE, _NONE = pa.scalar(1, pa.float32()), pa.scalar(None, pa.float32())


@dataclass
class Suite:
    """What is expected of one frame, which has the columns that this takes and no others."""

    #: By name the parts of a column, one below the other; equally many in each.
    columns: dict[str, tuple[Part, ...]]
    #: Whether its rows are the values of a list, in one part; else each part has the table's rows.
    flat: bool = False
    expectations: list[Any] = field(default_factory=list)
    checks: list[int] = field(default_factory=list)  #: the check that each expectation is part of

    @cached_property
    def held(self) -> Validation:
        """Tells of each expectation whether it holds."""
        return Validation(self.expectations, "BOOLEAN_ONLY")


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
                return pc.if_else(pc.is_valid(values), _ONE, _NONE), rows
            case "length":
                return pa.array(lengths(self._batch, path), pa.int32()), None
            case "at_least" | "at_most" | "not_nan":
                values, rows = resolve(self._batch, path)
                numbers = pc.cast(values, pa.float64())
                nan = pc.fill_null(pc.is_nan(numbers), False)
                if kind == "not_nan":
                    return pc.if_else(nan, _NONE, _ONE), rows
                return pc.if_else(nan, -np.inf if kind == "at_least" else np.inf, numbers), rows
        if path not in self._markers:
            self._markers[path] = markers(self._batch, *path.split(" "))
        return pa.array(self._markers[path][kind], pa.int32()), None


class Frames:
    """One chunk under way."""

    def __init__(self, suites: Sequence[Suite], key: str) -> None:
        self.suites = suites
        self._key = key
        self._keys: list[pa.Array] = []
        self._parts: dict[tuple[int, str, int], list[pa.Array]] = defaultdict(list)
        self._rows: dict[int, list[Rows]] = defaultdict(list)
        self.count = 0  #: rows of the table
        self._values: dict[int, int] = defaultdict(int)

    @property
    def values(self) -> int:
        """Values of its longest list."""
        return max(self._values.values(), default=0)

    @property
    def keys(self) -> pa.Array:
        """Keys of the table's rows."""
        return pa.concat_arrays(self._keys)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take what the suites look at from a batch."""
        narrow = Narrow(batch)
        for at, suite in enumerate(self.suites):
            for column, parts in suite.columns.items():
                for place, (kind, path) in enumerate(parts):
                    values, rows = narrow.read(kind, path)
                    self._parts[at, column, place].append(values)
                    if rows is not None:
                        self._rows[at].append(rows + self.count)
                        self._values[at] += len(rows)
        self._keys.append(batch.column(self._key))
        self.count += batch.num_rows

    def frame(self, at: int) -> Any:
        """The frame of a suite, as pandas' DataFrame. It can be had once: columns are given up."""
        columns = {
            column: pa.chunked_array([a for i in range(len(parts)) for a in self._parts.pop((at, column, i))])
            for column, parts in self.suites[at].columns.items()
        }
        return pa.table(columns).to_pandas(split_blocks=True, self_destruct=True)

    def rows(self, at: int, positions: Rows) -> Rows:
        """The table's rows of some rows of a suite's frame."""
        if self.suites[at].flat:
            found: Rows = np.concatenate(self._rows[at])[positions]
            return found
        return positions % self.count
