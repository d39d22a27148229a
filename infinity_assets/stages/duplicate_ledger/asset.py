"""The asset ``duplicate_ledger``."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from infinity_assets.orchestration.groups import DEDUPLICATE, ENGINEERS, code_version
from infinity_assets.orchestration.metadata import notes_metadata
from infinity_assets.orchestration.stage_assets import StageAsset, StageOutput, StageRun, stage_asset
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.duplicate_ledger.versions import MADE_BY

STAGE = StageAsset(
    name="duplicate_ledger",
    table=DUPLICATE_LEDGER,
    contract=DUPLICATE_LEDGER.name,
    group=DEDUPLICATE,
    description=(
        "Compare a source with every published source, name the edges between equal and near samples, and"
        " decide which of them drops a sample. One row is one edge from a sample to one that precedes it."
        " Slices of other sources that change are recorded too."
    ),
    kinds=frozenset({"lance", "polars"}),
    owner=ENGINEERS,
    code_version=code_version(DUPLICATE_LEDGER.version, *MADE_BY),
    # By identity on purpose: with an all-partitions mapping, one failing source would leave the ledger
    # unmaterialized for everyone. What it really read, by source and data version, is in its manifest.
    deps=(dg.AssetDep("unified"),),
    # A backfill compares once for all partitions that are ready: the first one's work is that of the others.
    spans_partitions=True,
)


def duplicate_ledger_assets(sources: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset, one slice for each source."""
    return stage_asset([STAGE], sources, _compute)


def _compute(run: StageRun) -> Sequence[StageOutput]:
    from infinity_assets.stages.duplicate_ledger.stage import materialize_duplicate_ledger

    own, others = materialize_duplicate_ledger(run.platform, run.partition, run.run_id)
    return [StageOutput(STAGE.name, own, notes_metadata(own.notes), others=others)]
