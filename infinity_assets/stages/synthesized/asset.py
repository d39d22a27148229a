"""The assets ``synthesis_plan``, ``synthesis_qa`` and ``synthesized``: one function publishes all three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from infinity_assets.orchestration.groups import ENGINEERS, ENRICH, code_version
from infinity_assets.orchestration.metadata import Metadata, cost_metadata, markdown_table, notes_metadata
from infinity_assets.orchestration.model_steps import ModelStep
from infinity_assets.orchestration.stage_assets import StageAsset, StageOutput, StageRun, stage_asset
from infinity_assets.stages.synthesized.asking import ASKING_VERSION
from infinity_assets.stages.synthesized.lines import LINES_VERSION
from infinity_assets.stages.synthesized.merge import MERGE_VERSION
from infinity_assets.stages.synthesized.plan import PLAN_VERSION
from infinity_assets.stages.synthesized.rules import RULES_VERSION
from infinity_assets.stages.synthesized.schema import SYNTHESIS_PLAN, SYNTHESIS_QA, SYNTHESIZED

_KINDS = frozenset({"lance", "polars"})

PLAN = StageAsset(
    name=SYNTHESIS_PLAN.name,
    table=SYNTHESIS_PLAN,
    contract=SYNTHESIS_PLAN.name,
    group=ENRICH,
    description=(
        "Choose what to ask of which picture: suggested by its tags, drawn by a seed, between quotas and"
        " floors. One row is one question to be asked."
    ),
    kinds=_KINDS,
    owner=ENGINEERS,
    code_version=code_version(SYNTHESIS_PLAN.version, PLAN_VERSION),
    deps=(
        dg.AssetDep("unified"),
        dg.AssetDep("images"),
        dg.AssetDep("tagged"),
        dg.AssetDep("tag_associations"),
    ),
)
QA = StageAsset(
    name=SYNTHESIS_QA.name,
    table=SYNTHESIS_QA,
    contract=SYNTHESIS_QA.name,
    group=ENRICH,
    description=(
        "Write, check and judge each planned question and its answer. One row is one planned question, with"
        " every intermediate result and why it is not kept."
    ),
    kinds=_KINDS,
    owner=ENGINEERS,
    code_version=code_version(SYNTHESIS_QA.version, RULES_VERSION, ASKING_VERSION, LINES_VERSION),
    deps=(dg.AssetDep(SYNTHESIS_PLAN.name),),
)
TALKS = StageAsset(
    name=SYNTHESIZED.name,
    table=SYNTHESIZED,
    contract=SYNTHESIZED.name,
    group=ENRICH,
    description=(
        "Merge the kept questions about a picture into conversations, easy to hard. One row is one"
        " conversation: a sample that later stages read beside those of unified."
    ),
    kinds=_KINDS,
    owner=ENGINEERS,
    code_version=code_version(SYNTHESIZED.version, MERGE_VERSION),
    deps=(dg.AssetDep(SYNTHESIS_QA.name),),
    extra_checks=("lines_conserved",),
)


def synthesized_assets(
    sources: dg.PartitionsDefinition, step: ModelStep | None = None
) -> dg.AssetsDefinition:
    """The assets, one partition for each source.

    Args:
        sources: the partitions.
        step: what they ask of a cluster, where a model writes.
    """
    return stage_asset([PLAN, QA, TALKS], sources, _compute, step)


def _compute(run: StageRun) -> Sequence[StageOutput]:
    from infinity_assets.stages.synthesized.stage import materialize_synthesized

    result = materialize_synthesized(run.platform, run.partition, run.run_id)
    told = notes_metadata(result.qa.notes)
    if result.currency is not None:
        told |= cost_metadata(result.costs, result.currency, result.qa.counts.kept, "line")
    return [
        StageOutput(PLAN.name, result.plan, _metadata(result.plan.notes)),
        StageOutput(QA.name, result.qa, told),
        StageOutput(TALKS.name, result.synthesized, notes_metadata(result.synthesized.notes)),
    ]


def _metadata(notes: Mapping[str, Any]) -> Metadata:
    """Which kinds of instruction the source has, and gets, by leaf."""
    metadata = notes_metadata({name: value for name, value in notes.items() if name != "coverage"})
    rows = [[row[name] for name in ("leaf", "before", "planned", "kept")] for row in notes["coverage"]]
    if rows:
        metadata["coverage"] = markdown_table(["leaf", "pictures before", "planned", "kept"], rows)
    return metadata
