"""The asset ``tag_associations``."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from infinity_assets.orchestration.groups import ENRICH, LEADS, code_version
from infinity_assets.orchestration.metadata import markdown_table, notes_metadata
from infinity_assets.orchestration.stage_assets import StageAsset, StageOutput, StageRun, stage_asset
from infinity_assets.stages.tag_associations.associate import ASSOCIATION_VERSION
from infinity_assets.stages.tag_associations.schema import TAG_ASSOCIATIONS

STAGE = StageAsset(
    name="tag_associations",
    table=TAG_ASSOCIATIONS,
    contract=TAG_ASSOCIATIONS.name,
    group=ENRICH,
    description=(
        "Count which pictures suit which kind of instruction, on the seed set that associations.yaml pins."
        " One row is one image tag that occurs with one kind of instruction."
    ),
    kinds=frozenset({"lance", "numpy"}),
    owner=LEADS,
    code_version=code_version(TAG_ASSOCIATIONS.version, ASSOCIATION_VERSION),
    # No dependency: it reads pinned versions of `tagged`, and newer ones must not make it look stale. What it
    # really read, by source and data version, is in its manifest.
    deps=(),
    extra_checks=("tells_more_than_popularity",),
)


def tag_associations_assets() -> dg.AssetsDefinition:
    """The asset, without partitions."""
    return stage_asset([STAGE], None, _compute)


def _compute(run: StageRun) -> Sequence[StageOutput]:
    from infinity_assets.stages.tag_associations.stage import materialize_tag_associations

    result = materialize_tag_associations(run.platform, run.run_id)
    notes = {k: v for k, v in result.notes.items() if k not in {"pins", "seed_key"}}
    metadata = notes_metadata(notes)
    pins = [[name, version, number] for name, (version, number) in result.notes["pins"].items()]
    metadata["pinned"] = markdown_table(["source", "data version of tagged", "lance version"], pins)
    return [StageOutput(STAGE.name, result, metadata)]
