"""How far shares moved between two versions: a warning that something changed, never a block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infinity_assets.quality.audit import CheckResult
from infinity_assets.quality.contract import Contract


def drift(
    contract: Contract, previous: Mapping[str, Any] | None, current: Mapping[str, Any]
) -> list[CheckResult]:
    """Warn, never block, where shares moved since the last version.

    Args:
        contract: for its thresholds; one without gives no results.
        previous: ``{"rows": int, "reasons": {code: rows}, "languages": {code: rows}}`` of the last published
            version, the last as far as the table has it; None where there was none.
        current: the same of the new one.

    Returns:
        ``drop_rate_drift`` and, where ``current`` has languages, ``language_drift``: the move of the share
        that moved most, in fractions of 1. Passed, with a note, where there is nothing to compare with.
    """
    limits = contract.drift
    if limits is None:
        return []
    kinds = [("drop_rate_drift", "reasons", limits.drop_rate)]
    if "languages" in current:
        kinds.append(("language_drift", "languages", limits.language_share))
    return [
        _drift(contract.table, limits.min_rows, name, part, limit, previous, current)
        for name, part, limit in kinds
    ]


def _drift(
    table: str,
    min_rows: int,
    name: str,
    part: str,
    limit: float,
    previous: Mapping[str, Any] | None,
    current: Mapping[str, Any],
) -> CheckResult:
    promise = f"no share of {part} moves by more than {limit:.0%} since the last version"
    before = previous if previous is not None and previous["rows"] and part in previous else None
    if before is None or not current["rows"]:
        text = f"{promise} (nothing to compare with)"
        return CheckResult(name, table, True, False, text, 0)
    moves = {
        code: current[part].get(code, 0) / current["rows"] - before[part].get(code, 0) / before["rows"]
        for code in sorted({*current[part], *before[part]})
    }
    moves = moves or {"nothing": 0.0}
    most = max(moves, key=lambda code: abs(moves[code]))
    few = min(before["rows"], current["rows"]) < min_rows
    passed = few or abs(moves[most]) <= limit
    found = f" ({most} moved by {moves[most]:+.1%}{', too few rows to judge' if few else ''})"
    figures = {"code": most, "largest_move": round(moves[most], 6), "limit": limit}
    return CheckResult(name, table, passed, False, promise + found, 0, (), figures)
