"""A contract's checks as Dagster's, and their results.

What a single column may hold is one check in Dagster, what is asked of a source is another, and every other
promise has its own: each result costs Dagster about 15 ms of SQLite, and ten reds for one wrong column hide
the one that matters. Its description names the promises that were broken.

Checks of partitioned assets are a preview feature of Dagster 1.13; this module is the one place that uses it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Final

import dagster as dg

from infinity_assets.orchestration.links import Links
from infinity_assets.preview.lookups import REASON
from infinity_assets.quality.audit import CheckResult
from infinity_assets.quality.contract import Check, Contract
from infinity_assets.stages.exported.parity import PARITY_CHECK, PARITY_PROMISE
from infinity_assets.stages.filtered.contamination.check import UNCONTAMINATED, UNCONTAMINATED_PROMISE
from infinity_assets.stages.raw.upstream import UPSTREAM, UPSTREAM_CHECKS, UPSTREAM_PROMISE
from infinity_assets.stages.synthesized.schema import LINES_CHECK, LINES_PROMISE
from infinity_assets.stages.tag_associations.schema import HIT_RATE_CHECK, HIT_RATE_PROMISE

DRIFT_CHECKS: Final = {
    "drop_rate_drift": "the share of rows lost to any one reason is about that of the last version",
    "language_drift": "the share of any one language is about that of the last version",
}
#: Types of a contract's checks that look at one column at a time, and the two checks that they become.
COLUMN_TYPES: Final = frozenset({"schema", "not_null", "in_set", "regex", "range"})
COLUMN_CHECKS: Final = {
    True: ("declared_columns", "every column has its declared type, and only values that it may hold"),
    False: ("expected_values", "values lie where they usually do"),
}


def check_specs(
    asset: str, contract: Contract, partitions: dg.PartitionsDefinition | None, extra: Sequence[str] = ()
) -> list[dg.AssetCheckSpec]:
    """The checks of the contract, and further ones, for each partition.

    Args:
        asset: the asset that they belong to.
        contract: its table's promises.
        partitions: of the asset.
        extra: names of further checks: of drift, which warn, or of parity, which blocks.
    """
    promises = {name: (description, blocking) for name, description, blocking in map(_shown, contract.checks)}
    known = {
        **{name: (text, False) for name, text in DRIFT_CHECKS.items()},
        UPSTREAM: (UPSTREAM_PROMISE, False),
        PARITY_CHECK: (PARITY_PROMISE, True),
        UNCONTAMINATED: (UNCONTAMINATED_PROMISE, True),
        LINES_CHECK: (LINES_PROMISE, True),
        HIT_RATE_CHECK: (HIT_RATE_PROMISE, False),
    }
    promises |= {name: known[name] for name in extra}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name, asset=asset, description=description, blocking=blocking, partitions_def=partitions
            )
            for name, (description, blocking) in promises.items()
        ]


def check_results(
    asset: str,
    partition: str,
    contract: Contract,
    results: Sequence[CheckResult],
    links: Links,
    run_id: str,
) -> list[dg.AssetCheckResult]:
    """The outcomes of one table's checks; failing rows are named by link, never shown."""
    names = {c.name: _shown(c)[0] for c in contract.checks} | dict.fromkeys(UPSTREAM_CHECKS, UPSTREAM)
    grouped: dict[str, list[CheckResult]] = {}
    for result in results:
        grouped.setdefault(names.get(result.name, result.name), []).append(result)
    return [_check_result(asset, partition, name, group, links, run_id) for name, group in grouped.items()]


def _shown(check: Check) -> tuple[str, str, bool]:
    """Name, description and blocking of the Dagster check that a contract's check is part of."""
    if check.type in COLUMN_TYPES:
        return *COLUMN_CHECKS[check.blocking], check.blocking
    return check.name, check.description, check.blocking


def _check_result(
    asset: str, partition: str, name: str, group: Sequence[CheckResult], links: Links, run_id: str
) -> dg.AssetCheckResult:
    failed = [result for result in group if not result.passed]
    blocking = any(result.blocking for result in failed or group)
    ids = tuple(dict.fromkeys(i for result in failed for i in result.failing_ids))
    metadata: dict[str, dg.MetadataValue] = {
        "failed_rows": dg.MetadataValue.int(sum(result.failed_rows for result in group))
    }
    for result in failed:
        reason = str(result.figures.get("code", ""))
        lost = links.listing(result.table, partition, reason=reason) if REASON.fullmatch(reason) else None
        if result.name == "drop_rate_drift" and lost:
            metadata["failing_samples"] = dg.MetadataValue.url(lost)
        if result.failing_ids:  # an address is one click; Markdown is shown in a dialogue of its own
            link = dg.MetadataValue.url(links.check(result.table, partition, result.name, run_id))
            metadata["failing_samples" if len(group) == 1 else f"failing_samples: {result.name}"] = link
    if ids:
        metadata["failing_rows"] = links.rows(group[0].table, partition, ids)
    for result in group:
        for figure, value in result.figures.items():
            metadata[figure if len(group) == 1 else f"{result.name}: {figure}"] = _figure(value)
    promised = {**dict(COLUMN_CHECKS.values()), UPSTREAM: UPSTREAM_PROMISE}
    told = [f"{result.name}: {result.description}" for result in failed]
    description = "; ".join(told) if told else promised.get(name, group[0].description)
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
        description=description,
        metadata=metadata,
    )


def _figure(value: int | float | str) -> dg.MetadataValue:
    if isinstance(value, str):
        return dg.MetadataValue.text(value)
    return dg.MetadataValue.float(value) if isinstance(value, float) else dg.MetadataValue.int(value)
