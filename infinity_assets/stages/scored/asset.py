"""The asset ``scored``."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from infinity_assets.orchestration.groups import ENGINEERS, ENRICH, code_version
from infinity_assets.orchestration.metadata import told_with_costs
from infinity_assets.orchestration.model_steps import ModelStep
from infinity_assets.orchestration.stage_assets import StageAsset, StageOutput, StageRun, stage_asset
from infinity_assets.stages.scored.asking import SCORE_VERSION
from infinity_assets.stages.scored.schema import SCORED

STAGE = StageAsset(
    name=SCORED.name,
    table=SCORED,
    contract=SCORED.name,
    group=ENRICH,
    description=(
        "Ask a model for the loss of each answer, and for FineVision's four ratings. One row is one kept"
        " sample of tagged, or one conversation of synthesized. Without an engine in scoring.yaml every score"
        " is null, and later stages do without this table."
    ),
    kinds=frozenset({"lance", "polars"}),
    owner=ENGINEERS,
    code_version=code_version(SCORED.version, SCORE_VERSION),
    deps=(
        dg.AssetDep("unified"),
        dg.AssetDep("images"),
        dg.AssetDep("tagged"),
        dg.AssetDep("synthesized"),
    ),
)


def scored_assets(sources: dg.PartitionsDefinition, step: ModelStep | None = None) -> dg.AssetsDefinition:
    """The asset, one partition for each source.

    Args:
        sources: the partitions.
        step: what it asks of a cluster, where the engine is a server of its own.
    """
    return stage_asset([STAGE], sources, _compute, step)


def _compute(run: StageRun) -> Sequence[StageOutput]:
    from infinity_assets.stages.scored.stage import materialize_scored

    result = materialize_scored(run.platform, run.partition, run.run_id)
    return [StageOutput(STAGE.name, result, told_with_costs(result.notes, result.counts.kept, "sample"))]
