"""Checks of a contract as expectations, and the narrow columns that these look at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import great_expectations.expectations as gxe
import pyarrow as pa
from great_expectations.expectations.row_conditions import Column

from infinity_assets.quality import contract as c
from infinity_assets.quality.engines.frames import Kind, Narrow, Part, Suite
from infinity_assets.readers.base import MARKERS


def make_suites(checks: Sequence[c.RowCheck], schema: pa.Schema) -> tuple[Suite, ...]:
    """See :func:`~infinity_assets.quality.engines.expectations.suites`."""
    maker = _SuiteMaker(schema)
    for at, check in enumerate(checks):
        maker.add(at, check)
    return tuple(maker.suites.values())


class _SuiteMaker:
    """Grows suites check by check; checks of the same values share a frame."""

    def __init__(self, schema: pa.Schema) -> None:
        self.suites: dict[tuple[tuple[str, tuple[Part, ...]], ...], Suite] = {}
        self._none = Narrow(pa.RecordBatch.from_pylist([], schema=schema))

    def add(self, at: int, check: c.RowCheck) -> None:
        """The expectations of one check.

        Args:
            at: its place among the checks.
            check: what it promises.
        """
        match check:
            case c.NotNull():
                lists = [path for path in check.columns if self._flat("there", path)]
                rows = [path for path in check.columns if path not in lists]
                for paths in ([rows] if rows else []) + [[path] for path in lists]:
                    column = ", ".join(paths)
                    suite = self._suite(**{column: [("there", path) for path in paths]})
                    _expect(suite, at, check, gxe.ExpectColumnValuesToNotBeNull, column=column)
            case c.InSet():
                kwargs = {"column": check.column, "value_set": list(check.values)}
                suite = self._suite(**{check.column: [("text", check.column)]})
                _expect(suite, at, check, gxe.ExpectColumnValuesToBeInSet, **kwargs)
            case c.Regex():
                # To Python a $ matches before a last line feed too; with \Z pandas uses RE2, as Arrow does.
                regex = re.sub(r"(?<!\\)\$$", r"\\Z", check.pattern)
                suite = self._suite(**{check.column: [("text", check.column)]})
                _expect(
                    suite, at, check, gxe.ExpectColumnValuesToMatchRegex, column=check.column, regex=regex
                )
            case c.Range():
                self._range(at, check)
            case c.RequiredWhen():
                there, elsewhere = _conditions(check.when)
                value, condition = ("there", check.column), ("text", check.when.column)
                suite = self._suite(value=[value], condition=[condition])
                kwargs = {"column": "value", "row_condition": there}
                _expect(suite, at, check, gxe.ExpectColumnValuesToNotBeNull, **kwargs)
                if check.otherwise == "null":
                    kwargs["row_condition"] = elsewhere
                    _expect(suite, at, check, gxe.ExpectColumnValuesToBeNull, **kwargs)
            case c.EqualLength():
                one, two = check.columns
                suite = self._suite(**{one: [("length", one)], two: [("length", two)]})
                _expect(suite, at, check, gxe.ExpectColumnPairValuesToBeEqual, column_A=one, column_B=two)
            case c.MediaMarkers():
                self._markers(at, check)

    def _range(self, at: int, check: c.Range) -> None:
        column = check.column
        if check.min is None and check.max is None:
            suite = self._suite(**{column: [("not_nan", column)]})
            _expect(suite, at, check, gxe.ExpectColumnValuesToNotBeNull, column=column)
            return
        suite = self._suite(**{column: [("at_most" if check.min is None else "at_least", column)]})
        bounds = {"min_value": check.min, "max_value": check.max}
        _expect(suite, at, check, gxe.ExpectColumnValuesToBeBetween, column=column, **bounds)

    def _markers(self, at: int, check: c.MediaMarkers) -> None:
        of, kinds = f"{check.turns} {check.media}", len(MARKERS)
        suite = self._suite(
            markers=[(marker, of) for marker in MARKERS.values()],
            media=[(kind, of) for kind in MARKERS],
            turns=[("turns", of)] * kinds,
            condition=[("text", check.when.column)] * kinds,
        )
        about = _conditions(check.when)[0] & (Column("turns") > 0)
        pair = {"column_A": "markers", "column_B": "media", "row_condition": about}
        _expect(suite, at, check, gxe.ExpectColumnPairValuesToBeEqual, **pair)

    def _flat(self, kind: Kind, path: str) -> bool:
        return self._none.read(kind, path)[1] is not None

    def _suite(self, **columns: Sequence[Part]) -> Suite:
        """The suite of a frame with these columns, made where it is new."""
        parts = {name: tuple(column) for name, column in columns.items()}
        flat = self._flat(*next(iter(parts.values()))[0])
        return self.suites.setdefault(tuple(parts.items()), Suite(parts, flat))


def _expect(suite: Suite, at: int, check: c.RowCheck, expectation: Any, **kwargs: Any) -> None:
    suite.checks.append(at)
    suite.expectations.append(
        expectation(
            severity="critical" if check.blocking else "warning",
            description=check.description,
            meta={"check": check.name},
            **kwargs,
        )
    )


def _conditions(when: c.Condition) -> tuple[Any, Any]:
    """Where the condition holds, and where it does not. A null is in no set, so it is not in any."""
    values = list(when.is_in or when.not_in)
    column = Column("condition")
    found = column.is_in(values), column.is_not_in(values)
    return found if when.is_in else found[::-1]
