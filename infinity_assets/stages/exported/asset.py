"""The assets ``exported_<format>``, one for each format."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import dagster as dg

from infinity_assets.orchestration.groups import EXPORT, LEADS, code_version
from infinity_assets.orchestration.metadata import notes_metadata
from infinity_assets.orchestration.stage_assets import StageAsset, StageOutput, StageRun, stage_asset
from infinity_assets.stages.exported.formats import EXPORTERS
from infinity_assets.stages.exported.parity import PARITY_CHECK
from infinity_assets.stages.exported.schema import exported_spec
from infinity_assets.stages.filtered.contamination.check import UNCONTAMINATED


def exported_assets(training_stages: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """One asset for each format: the files of a training stage."""
    return [
        stage_asset([_stage(name)], training_stages, partial(_compute, format_name=name))
        for name in sorted(EXPORTERS)
    ]


def _stage(format_name: str) -> StageAsset:
    table = exported_spec(format_name)
    return StageAsset(
        name=table.name,
        table=table,
        contract=table.name,
        group=EXPORT,
        description=(
            f"Write the plan of a training stage as {format_name} files, byte for byte the same each time."
            " One row is one file."
        ),
        kinds=frozenset({"file", "lance"}),
        owner=LEADS,
        code_version=code_version(table.version, EXPORTERS[format_name].version),
        deps=(dg.AssetDep("mixed"),),
        extra_checks=(PARITY_CHECK, UNCONTAMINATED),
    )


def _compute(run: StageRun, format_name: str) -> Sequence[StageOutput]:
    from infinity_assets.stages.exported.stage import materialize_exported

    result = materialize_exported(run.platform, format_name, run.partition, run.run_id)
    notes = dict(result.notes)
    folder = Path(notes.pop("folder"))
    metadata = {"folder": dg.MetadataValue.path(str(folder))} | notes_metadata(notes)
    return [StageOutput(exported_spec(format_name).name, result, metadata)]
