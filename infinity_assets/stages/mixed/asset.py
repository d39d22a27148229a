"""The asset ``mixed``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from infinity_assets.orchestration.groups import LEADS, MIX, code_version
from infinity_assets.orchestration.metadata import Metadata, markdown_table, notes_metadata
from infinity_assets.orchestration.stage_assets import StageAsset, StageOutput, StageRun, stage_asset
from infinity_assets.stages.filtered.contamination.check import UNCONTAMINATED
from infinity_assets.stages.mixed.plan import PLANNER_VERSION
from infinity_assets.stages.mixed.schema import MIXED

_ALL_SOURCES = dg.AllPartitionMapping()

STAGE = StageAsset(
    name="mixed",
    table=MIXED,
    contract=MIXED.name,
    group=MIX,
    description=(
        "Plan what a training stage reads: which samples, how often, in which order."
        " One row is one eligible sample, with the lines of the plan that have it, or why none has."
    ),
    kinds=frozenset({"lance", "polars"}),
    owner=LEADS,
    code_version=code_version(MIXED.version, PLANNER_VERSION),
    deps=(
        dg.AssetDep("unified", partition_mapping=_ALL_SOURCES),
        dg.AssetDep("synthesized", partition_mapping=_ALL_SOURCES),
        dg.AssetDep("scored", partition_mapping=_ALL_SOURCES),  # read where a mix asks for scores
        dg.AssetDep("filtered", partition_mapping=_ALL_SOURCES),
    ),
    extra_checks=("drop_rate_drift", UNCONTAMINATED),
)


def mixed_assets(training_stages: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset, one plan for each training stage."""
    return stage_asset([STAGE], training_stages, _compute)


def _compute(run: StageRun) -> Sequence[StageOutput]:
    from infinity_assets.stages.mixed.stage import materialize_mixed

    result = materialize_mixed(run.platform, run.partition, run.run_id)
    return [StageOutput(STAGE.name, result, _metadata(result.notes))]


def _metadata(notes: Mapping[str, Any]) -> Metadata:
    """The plan's size, and what was asked for beside what it got, by category and source."""
    rest = {k: v for k, v in notes.items() if k not in {"summary", "not_published"}}
    summary = notes.get("summary", [])
    metadata = notes_metadata(rest)
    if summary:
        head = list(summary[0])
        metadata["asked_and_realised"] = markdown_table(head, [[row[h] for h in head] for row in summary])
        metadata["lines_short"] = sum(row["short"] or 0 for row in summary)
    if notes.get("not_published"):
        rows = [[name] for name in notes["not_published"]]
        metadata["not_published_yet"] = markdown_table(["source"], rows)
    return metadata
