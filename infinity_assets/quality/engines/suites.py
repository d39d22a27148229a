"""Checks of a contract as expectations, and the narrow columns that these look at."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pyarrow as pa

from infinity_assets.quality import contract as c
from infinity_assets.quality.engines.frames import ROWS, Kind, Narrow, Suite
from infinity_assets.readers.base import MARKERS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own dependencies, about each other
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column


class SuiteMaker:
    """Grows suites check by check; checks of the same values share a column."""

    def __init__(self, schema: pa.Schema) -> None:
        self.suites: dict[str, Suite] = {}
        self._none = Narrow(pa.RecordBatch.from_pylist([], schema=schema))

    def add(self, at: int, check: c.RowCheck) -> None:
        """The expectations of one check.

        Args:
            at: its place among the checks.
            check: what it promises.
        """
        match check:
            case c.NotNull():
                for path in check.columns:
                    frame, column = self._there(path)
                    self._expect(at, check, frame, gxe.ExpectColumnValuesToNotBeNull, column=column)
            case c.InSet():
                frame, column = self._column("text", check.column)
                kwargs = {"column": column, "value_set": list(check.values)}
                self._expect(at, check, frame, gxe.ExpectColumnValuesToBeInSet, **kwargs)
            case c.Regex():
                frame, column = self._column("text", check.column)
                # To Python a $ matches before a last line feed too; with \Z pandas uses RE2, as Arrow does.
                kwargs = {"column": column, "regex": re.sub(r"(?<!\\)\$$", r"\\Z", check.pattern)}
                self._expect(at, check, frame, gxe.ExpectColumnValuesToMatchRegex, **kwargs)
            case c.Range():
                self._range(at, check)
            case c.RequiredWhen():
                _, condition = self._column("text", check.when.column)
                frame, column = self._there(check.column)
                there, elsewhere = _conditions(condition, check.when)
                kwargs = {"column": column, "row_condition": there}
                self._expect(at, check, frame, gxe.ExpectColumnValuesToNotBeNull, **kwargs)
                if check.otherwise == "null":
                    kwargs["row_condition"] = elsewhere
                    self._expect(at, check, frame, gxe.ExpectColumnValuesToBeNull, **kwargs)
            case c.EqualLength():
                (frame, one), (_, two) = (self._column("length", path) for path in check.columns)
                pair = {"column_A": one, "column_B": two}
                self._expect(at, check, frame, gxe.ExpectColumnPairValuesToBeEqual, **pair)
            case c.MediaMarkers():
                self._markers(at, check)

    def _range(self, at: int, check: c.Range) -> None:
        if check.min is None and check.max is None:
            frame, column = self._column("not_nan", check.column)
            self._expect(at, check, frame, gxe.ExpectColumnValuesToNotBeNull, column=column)
            return
        frame, column = self._column("at_most" if check.min is None else "at_least", check.column)
        bounds = {"min_value": check.min, "max_value": check.max}
        self._expect(at, check, frame, gxe.ExpectColumnValuesToBeBetween, column=column, **bounds)

    def _markers(self, at: int, check: c.MediaMarkers) -> None:
        _, condition = self._column("text", check.when.column)
        of = f"{check.turns} {check.media}"
        _, turns = self._column("turns", of)
        about = _conditions(condition, check.when)[0] & (Column(turns) > 0)
        for kind, marker in MARKERS.items():
            (frame, marked), (_, media) = self._column(marker, of), self._column(kind, of)
            pair = {"column_A": marked, "column_B": media}
            self._expect(at, check, frame, gxe.ExpectColumnPairValuesToBeEqual, **pair, row_condition=about)

    def _there(self, path: str) -> tuple[str, str]:
        """A column that is null where there is no value."""
        rows = self.suites.get(ROWS)
        shared = rows and next((n for n, what in rows.columns.items() if what == ("text", path)), None)
        return (ROWS, shared) if shared else self._column("there", path)

    def _column(self, kind: Kind, path: str) -> tuple[str, str]:
        """Frame and name of a column, made where it is new."""
        _, rows = self._none.read(kind, path)
        frame = ROWS if rows is None else f"{path} ({kind})"
        columns = self.suites.setdefault(frame, Suite()).columns
        for name, what in columns.items():
            if what == (kind, path):
                return frame, name
        name = path if path not in columns else f"{path} ({kind})"
        columns[name] = (kind, path)
        return frame, name

    def _expect(self, at: int, check: c.RowCheck, frame: str, expectation: Any, **kwargs: Any) -> None:
        suite = self.suites[frame]
        suite.checks.append(at)
        suite.expectations.append(
            expectation(
                severity="critical" if check.blocking else "warning",
                description=check.description,
                meta={"check": check.name},
                **kwargs,
            )
        )


def _conditions(column: str, when: c.Condition) -> tuple[Any, Any]:
    """Where the condition holds, and where it does not. A null is in no set, so it is not in any."""
    values = list(when.is_in or when.not_in)
    found = Column(column).is_in(values), Column(column).is_not_in(values)
    return found if when.is_in else found[::-1]
