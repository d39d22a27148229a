"""The asset ``filtered``."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from infinity_assets.orchestration.groups import LEADS, SELECT, code_version
from infinity_assets.orchestration.metadata import notes_metadata
from infinity_assets.orchestration.stage_assets import StageAsset, StageOutput, StageRun, stage_asset
from infinity_assets.stages.filtered.schema import FILTERED

STAGE = StageAsset(
    name="filtered",
    table=FILTERED,
    contract=FILTERED.name,
    group=SELECT,
    description=(
        "Measure format, quality and what is held of benchmarks, and drop what the policy names."
        " One row is one kept sample of tagged."
    ),
    kinds=frozenset({"lance", "polars"}),
    owner=LEADS,
    code_version=code_version(FILTERED.version),
    deps=(
        dg.AssetDep("unified"),
        dg.AssetDep("images"),
        dg.AssetDep("tagged"),
        dg.AssetDep("synthesized"),
        dg.AssetDep("scored"),  # read where it is there
        dg.AssetDep("benchmark_fingerprints", partition_mapping=dg.AllPartitionMapping()),
    ),
    extra_checks=("drop_rate_drift",),
)


def filtered_assets(sources: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset, one partition for each source."""
    return stage_asset([STAGE], sources, _compute)


def _compute(run: StageRun) -> Sequence[StageOutput]:
    from infinity_assets.stages.filtered.stage import materialize_filtered

    result = materialize_filtered(run.platform, run.partition, run.run_id)
    return [StageOutput(STAGE.name, result, notes_metadata(result.notes))]
