"""The asset ``raw``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from infinity_assets.orchestration.groups import ENGINEERS, INGEST, code_version
from infinity_assets.orchestration.metadata import Metadata, markdown_table
from infinity_assets.orchestration.stage_assets import StageAsset, StageOutput, StageRun, stage_asset
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.raw.upstream import UPSTREAM

STAGE = StageAsset(
    name="raw",
    table=RAW,
    contract=RAW.name,
    group=INGEST,
    description="List and hash the upstream files of a source, and tell what changed. One row is one file.",
    kinds=frozenset({"file", "lance"}),
    owner=ENGINEERS,
    code_version=code_version(RAW.version),
    extra_checks=(UPSTREAM,),
    tags={"reads": "upstream"},
)


def raw_assets(sources: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The first asset of each source."""
    return stage_asset([STAGE], sources, _compute)


def _compute(run: StageRun) -> Sequence[StageOutput]:
    from infinity_assets.stages.raw.stage import materialize_raw

    result = materialize_raw(run.platform, run.partition, run.run_id)
    spec = run.platform.catalogue[run.partition].spec
    about = {
        "category": spec.category,
        "licence": spec.licence.id,
        "format": spec.format,
        "priority": spec.priority,
        "upstream_revision": spec.revision or "not given",
    }
    return [StageOutput(STAGE.name, result, about | _changes(result.notes))]


def _changes(notes: Any) -> Metadata:
    """Files added, removed and changed since the last version, the first paths of each by name."""
    kinds = ("added", "removed", "changed")
    metadata: Metadata = {f"files_{kind}": int(notes[kind]) for kind in kinds}
    metadata["bytes"] = int(notes["bytes"])
    metadata["unreadable_files"] = int(notes["unreadable_files"])
    rows = [(kind, path) for kind in kinds for path in notes["paths"][kind]]
    if rows:
        metadata["upstream_diff"] = markdown_table(("change", "path"), rows[:20])
    return metadata
