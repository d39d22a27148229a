"""The asset ``deduped``."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from infinity_assets.orchestration.groups import DEDUPLICATE, ENGINEERS, code_version
from infinity_assets.orchestration.metadata import notes_metadata
from infinity_assets.orchestration.stage_assets import StageAsset, StageOutput, StageRun, stage_asset
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.deduped.verdict import DEDUPED_VERSION

STAGE = StageAsset(
    name="deduped",
    table=DEDUPED,
    contract=DEDUPED.name,
    group=DEDUPLICATE,
    description="Drop what the ledger knows to be a duplicate. One row is one kept sample of unified.",
    kinds=frozenset({"lance", "polars"}),
    owner=ENGINEERS,
    code_version=code_version(DEDUPED.version, DEDUPED_VERSION),
    deps=(
        dg.AssetDep("unified"),
        dg.AssetDep("duplicate_ledger"),
    ),
    extra_checks=("drop_rate_drift",),
)


def deduped_assets(sources: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset, one partition for each source."""
    return stage_asset([STAGE], sources, _compute)


def _compute(run: StageRun) -> Sequence[StageOutput]:
    from infinity_assets.stages.deduped.stage import materialize_deduped

    result = materialize_deduped(run.platform, run.partition, run.run_id)
    return [StageOutput(STAGE.name, result, notes_metadata(result.notes))]
