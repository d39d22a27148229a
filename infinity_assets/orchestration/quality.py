"""The assets ``quality_snapshot`` and ``quality_marts``: one step, since readers see both or neither.

Each test of the dbt project is a check: one of a table as it lies there belongs to the snapshot, one across
tables or over time to the marts. None blocks: tables are committed by then.

No ``from __future__ import annotations`` here: Dagster looks at the annotation of ``context`` itself.
"""

import time
from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from infinity_assets.errors import InfinityError
from infinity_assets.marts.dbt import promises
from infinity_assets.marts.narrow import NARROW_VERSION
from infinity_assets.orchestration.groups import LEADS, QUALITY, code_version
from infinity_assets.orchestration.links import Links
from infinity_assets.orchestration.metadata import Metadata, markdown_table
from infinity_assets.orchestration.resources import PLATFORM
from infinity_assets.platform import Platform

SNAPSHOT: Final = "quality_snapshot"
MARTS: Final = "quality_marts"

#: All tables are read; every other asset leads to these, and an edge from each would hide the graph.
_LAST: Final = ("filtered", "mixed")


def quality_assets() -> dg.AssetsDefinition:
    """Both assets, without partitions."""
    every = dg.AllPartitionMapping()
    deps = [dg.AssetDep(name, partition_mapping=every) for name in _LAST]
    common: dict[str, Any] = {
        "group_name": QUALITY,
        "owners": [LEADS],
        "code_version": code_version(NARROW_VERSION),
    }
    specs = [
        dg.AssetSpec(
            SNAPSHOT,
            deps=deps,
            description=(
                "Copy ids, verdicts and measures of every published table into Parquet that never changes."
                " One row is one row of its table."
            ),
            kinds={"parquet"},
            **common,
        ),
        dg.AssetSpec(
            MARTS,
            deps=[SNAPSHOT],
            description=(
                "Count, compare and test all sources together, and write the page that shows it."
                " One row is one figure of a mart: of the funnel, of a mix, of a licence."
            ),
            kinds={"dbt", "duckdb", "parquet"},
            **common,
        ),
    ]
    checks = [
        dg.AssetCheckSpec(one.name, asset=SNAPSHOT if one.of_source else MARTS, description=one.description)
        for one in promises()
    ]

    @dg.multi_asset(
        name="snapshot_and_marts",
        specs=specs,
        check_specs=checks,
        required_resource_keys={PLATFORM},
    )
    def materialize(context: dg.AssetExecutionContext) -> Iterator[Any]:
        from infinity_assets.marts.publish import publish_quality

        platform: Platform = getattr(context.resources, PLATFORM)
        links = Links(platform.settings.preview_url)
        began = time.perf_counter()
        try:
            found = publish_quality(platform)
        except InfinityError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        snapshot = found.snapshot
        version = dg.DataVersion(snapshot.id)
        about: Metadata = {
            "snapshot": snapshot.number,
            "folder": dg.MetadataValue.path(str(snapshot.folder)),
            "new": snapshot.made,
            "seconds": round(time.perf_counter() - began, 3),
        }
        rows = [[name, count] for name, count in snapshot.rows.items()]
        told: Metadata = {
            "dagster/row_count": sum(snapshot.rows.values()),
            "rows": markdown_table(["table", "rows"], rows),
        }
        yield dg.MaterializeResult(asset_key=SNAPSHOT, metadata=about | told, data_version=version)
        failed: Metadata = {
            "failed_tests": len(found.failed),
            "page": dg.MetadataValue.path(str(snapshot.page)),
        }
        yield dg.MaterializeResult(asset_key=MARTS, metadata=about | failed, data_version=version)
        of_source = {one.name for one in promises() if one.of_source}
        for test in found.tests:
            yield _result(test, SNAPSHOT if test["name"] in of_source else MARTS, links)

    return materialize


def _result(test: dict[str, Any], asset: str, links: Links) -> dg.AssetCheckResult:
    metadata: Metadata = {"failed_rows": test["failed_rows"], "stage": test["stage"]}
    partition, ids = test["partition"], test["failing_ids"]
    if ids:
        metadata["failing_rows"] = links.rows(test["stage"], partition or "", ids)
    address = links.listing(test["stage"], partition) if partition else None
    if not test["passed"] and address is not None:
        metadata["where"] = dg.MetadataValue.url(address)
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=test["name"],
        passed=test["passed"],
        severity=dg.AssetCheckSeverity.ERROR if test["blocking"] else dg.AssetCheckSeverity.WARN,
        description=test["told"],
        metadata=metadata,
    )
