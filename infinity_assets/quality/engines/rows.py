"""Great Expectations' engine for pandas, which finds the rows of a condition once and without pandas' parser.

``PandasExecutionEngine`` has pandas parse and compile a condition anew for each metric of its rows: half of
the time that a small table takes. The conditions, and what they mean, stay Great Expectations' own.
"""

from __future__ import annotations

from typing import Any

from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.row_conditions import (
    AndCondition,
    ComparisonCondition,
    Operator,
    deserialize_row_condition,
)


class RowsEngine(PandasExecutionEngine):  # type: ignore[misc]
    """An engine for one frame."""

    def __init__(self) -> None:
        super().__init__(caching=False)
        self.records: dict[str, Any] = {}

    def get_domain_records(self, domain_kwargs: dict[str, Any]) -> Any:
        """The rows that a metric is about."""
        if not domain_kwargs.get("row_condition"):
            return super().get_domain_records(domain_kwargs)
        asked = repr(sorted(domain_kwargs.items()))
        if asked not in self.records:
            self.records[asked] = super().get_domain_records(domain_kwargs)
        return self.records[asked]

    def _apply_row_condition_filter(
        self, data: Any, row_condition: Any, domain_kwargs: dict[str, Any]
    ) -> Any:
        if isinstance(row_condition, dict):
            row_condition = deserialize_row_condition(row_condition)
        mask = _holds(data, row_condition)
        if mask is None:
            return super()._apply_row_condition_filter(data, row_condition, domain_kwargs)
        return data[mask]


def _holds(data: Any, condition: Any) -> Any:
    """The rows for which a condition of a contract holds; None for one that no contract has.

    A null is in no set.
    """
    if isinstance(condition, AndCondition):
        parts = [_holds(data, part) for part in condition.conditions]
        if any(part is None for part in parts):
            return None
        first, *others = parts
        for part in others:
            first = first & part
        return first
    if not isinstance(condition, ComparisonCondition):
        return None
    column = data[condition.column.name]
    match condition.operator:
        case Operator.IN:
            return column.isin(condition.parameter)
        case Operator.NOT_IN:
            return ~column.isin(condition.parameter)
        case Operator.GREATER_THAN:
            return column > condition.parameter
    return None
