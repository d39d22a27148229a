"""A contract's checks as Dagster's, one for each promise, and their results.

Checks of partitioned assets are a preview feature of Dagster 1.13; this module is the one place that uses it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Final

import dagster as dg

from infinity_assets.orchestration.links import Links
from infinity_assets.quality.audit import CheckResult
from infinity_assets.quality.contract import Contract

DRIFT_CHECKS: Final = {
    "drop_rate_drift": "the share of rows lost to any one reason is about that of the last materialization",
    "language_drift": "the share of any one language is about that of the last materialization",
}
PARITY_CHECK: Final = "export_parity"
PARITY_PROMISE: Final = "formats of one plan hold the same lines in order, with equal text and pictures"


def check_specs(
    asset: str, contract: Contract, partitions: dg.PartitionsDefinition, extra: Sequence[str] = ()
) -> list[dg.AssetCheckSpec]:
    """One check for each promise of the contract, and the drift checks, for each partition.

    Args:
        asset: the asset that they belong to.
        contract: its table's promises.
        partitions: of the asset.
        extra: names of further checks, of this module's constants; they warn and never block.
    """
    promises = {c.name: (c.description, c.blocking) for c in contract.checks}
    known = {**DRIFT_CHECKS, PARITY_CHECK: PARITY_PROMISE}
    promises |= {name: (known[name], False) for name in extra}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name, asset=asset, description=description, blocking=blocking, partitions_def=partitions
            )
            for name, (description, blocking) in promises.items()
        ]


def check_result(asset: str, partition: str, result: CheckResult, links: Links) -> dg.AssetCheckResult:
    """One outcome; failing rows are named by link, never shown."""
    metadata: dict[str, dg.MetadataValue] = {"failed_rows": dg.MetadataValue.int(result.failed_rows)}
    if result.failing_ids:
        metadata["failing_rows"] = links.rows(result.table, partition, result.failing_ids)
    for name, value in result.figures.items():
        metadata[name] = _figure(value)
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=result.name,
        passed=result.passed,
        severity=dg.AssetCheckSeverity.ERROR if result.blocking else dg.AssetCheckSeverity.WARN,
        description=result.description,
        metadata=metadata,
    )


def _figure(value: int | float | str) -> dg.MetadataValue:
    if isinstance(value, str):
        return dg.MetadataValue.text(value)
    return dg.MetadataValue.float(value) if isinstance(value, float) else dg.MetadataValue.int(value)
