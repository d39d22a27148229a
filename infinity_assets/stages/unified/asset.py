"""The assets ``images`` and ``unified``: one function reads a source once and publishes both."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from infinity_assets.orchestration.groups import ENGINEERS, INGEST, code_version
from infinity_assets.orchestration.metadata import notes_metadata
from infinity_assets.orchestration.stage_assets import StageAsset, StageOutput, StageRun, stage_asset
from infinity_assets.stages.images.measure import MEASURE_VERSION
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.unified.versions import unified_version

IMAGES_STAGE = StageAsset(
    name="images",
    table=IMAGES,
    contract=IMAGES.name,
    group=INGEST,
    description=(
        "Decode every picture of a source once, measure it and keep its bytes once."
        " One row is one distinct picture, decodable or not."
    ),
    kinds=frozenset({"lance", "image"}),
    owner=ENGINEERS,
    code_version=code_version(IMAGES.version, MEASURE_VERSION),
    deps=(dg.AssetDep("raw"),),
    extra_checks=("drop_rate_drift",),
)
UNIFIED_STAGE = StageAsset(
    name="unified",
    table=UNIFIED,
    contract=UNIFIED.name,
    group=INGEST,
    description=(
        "Bring every native record into one shape: turns, pictures, annotations, where it came from."
        " One row is one raw record, readable or not; what cannot be used is quarantined with its reason."
    ),
    kinds=frozenset({"lance", "polars"}),
    owner=ENGINEERS,
    code_version=unified_version(),
    deps=(dg.AssetDep("raw"),),
    extra_checks=("drop_rate_drift", "language_drift"),
)


def unified_assets(sources: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Both assets; ``unified`` commits last and names the version of ``images``."""
    return stage_asset([IMAGES_STAGE, UNIFIED_STAGE], sources, _compute)


def _compute(run: StageRun) -> Sequence[StageOutput]:
    from infinity_assets.stages.unified.stage import materialize_unified

    images, unified = materialize_unified(run.platform, run.partition, run.run_id, run.tell)
    return [
        StageOutput(IMAGES_STAGE.name, images, notes_metadata(images.notes)),
        StageOutput(
            UNIFIED_STAGE.name,
            unified,
            notes_metadata({k: v for k, v in unified.notes.items() if k != "languages"}),
            languages=unified.notes["languages"],
        ),
    ]
