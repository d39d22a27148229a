"""Jobs: the same assets, cut as people run them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

Job = UnresolvedAssetJobDefinition  #: what :func:`dagster.define_asset_job` gives; not exported by Dagster

INGEST: Final = ("raw", "images", "unified")
LEDGER: Final = ("duplicate_ledger",)
VERDICTS: Final = ("deduped", "tagged", "filtered")
MIX: Final = ("mixed",)


def source_pipeline(sources: dg.PartitionsDefinition) -> Job:
    """Everything of one source."""
    return dg.define_asset_job(
        "source_pipeline",
        selection=[*INGEST, *LEDGER, *VERDICTS],
        partitions_def=sources,
        description=(
            "One source from its files to its filters. Provisional until the ledger has seen every source:"
            " the sensor `converge` then brings the others up to date."
        ),
    )


def ingest(sources: dg.PartitionsDefinition) -> Job:
    """A source's files, pictures and samples."""
    return dg.define_asset_job(
        "ingest",
        selection=list(INGEST),
        partitions_def=sources,
        description="Read one source: its files, its pictures, its samples. No other source is looked at.",
    )


def compare(sources: dg.PartitionsDefinition) -> Job:
    """The ledger alone."""
    return dg.define_asset_job(
        "compare",
        selection=list(LEDGER),
        partitions_def=sources,
        description="Compare a source with all published ones again; nothing is decided.",
    )


def converge(sources: dg.PartitionsDefinition) -> Job:
    """The ledger and what follows from it."""
    return dg.define_asset_job(
        "converge",
        selection=[*LEDGER, *VERDICTS],
        partitions_def=sources,
        description="Compare a source with all published ones again, and decide its samples anew.",
    )


def decide(sources: dg.PartitionsDefinition) -> Job:
    """What follows from the ledger, for a source whose slice changed under another source's run."""
    return dg.define_asset_job(
        "decide",
        selection=list(VERDICTS),
        partitions_def=sources,
        description="Bring a source up to date with the published ledger. The sensor `converge` asks for it.",
    )


def mix(training_stages: dg.PartitionsDefinition, exports: Sequence[str]) -> Job:
    """The plan of a training stage and its files."""
    return dg.define_asset_job(
        "mix",
        selection=[*MIX, *exports],
        partitions_def=training_stages,
        description="Plan one training stage from all published sources, and write it in every format.",
    )
