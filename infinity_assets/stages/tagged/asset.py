"""The asset ``tagged``."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from infinity_assets.orchestration.groups import ENGINEERS, ENRICH, code_version
from infinity_assets.orchestration.metadata import told_with_costs
from infinity_assets.orchestration.model_steps import ModelStep
from infinity_assets.orchestration.stage_assets import StageAsset, StageOutput, StageRun, stage_asset
from infinity_assets.stages.tagged.schema import TAGGED

STAGE = StageAsset(
    name="tagged",
    table=TAGGED,
    contract=TAGGED.name,
    group=ENRICH,
    description=(
        "Tag what a sample shows and what kind of question it asks. One row is one kept sample of deduped."
    ),
    kinds=frozenset({"lance", "polars"}),
    owner=ENGINEERS,
    code_version=code_version(TAGGED.version),
    deps=(
        dg.AssetDep("unified"),
        dg.AssetDep("images"),
        dg.AssetDep("deduped"),
    ),
    extra_checks=("drop_rate_drift",),
)


def tagged_assets(sources: dg.PartitionsDefinition, step: ModelStep | None = None) -> dg.AssetsDefinition:
    """The asset, one partition for each source.

    Args:
        sources: the partitions.
        step: what it asks of a cluster, where the settings name a model.
    """
    return stage_asset([STAGE], sources, _compute, step)


def _compute(run: StageRun) -> Sequence[StageOutput]:
    from infinity_assets.stages.tagged.stage import materialize_tagged

    result = materialize_tagged(run.platform, run.partition, run.run_id, run.tell)
    return [StageOutput(STAGE.name, result, told_with_costs(result.notes, result.counts.kept, "sample"))]
