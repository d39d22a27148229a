"""Jobs: the same assets, cut as people run them. All but the last are partitioned by source."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Final

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from infinity_assets.orchestration import groups
from infinity_assets.orchestration.model_steps import K8S_CONFIG, run_config

Job = UnresolvedAssetJobDefinition

# The ledger's runs may serve several sources, those of a job that reads one serve that one: as we want it.
warnings.filterwarnings("ignore", "Asset job .* varying BackfillPolicies", UserWarning)

_READ: Final = ("raw", "images", "unified")
_COMPARED: Final = ("duplicate_ledger",)
_DECIDED: Final = ("deduped", "tagged", "filtered")
_SYNTHESIZED: Final = ("synthesis_plan", "synthesis_qa", "synthesized")

SOURCE_PIPELINE: Final = dg.define_asset_job(
    "source_pipeline",
    selection=[*_READ, *_COMPARED, *_SYNTHESIZED, *_DECIDED],
    description=(
        "One source from its files to its filters. Provisional until the ledger has seen every source: the"
        " sensor `converge` then brings the others up to date."
    ),
)
INGEST: Final = dg.define_asset_job(
    "ingest",
    selection=list(_READ),
    description="Read one source: its files, its pictures, its samples. No other source is looked at.",
)
DECIDE: Final = dg.define_asset_job(
    "decide",
    selection=list(_DECIDED),
    description="Bring a source up to date with the published ledger. The sensor `converge` asks for it.",
)
CONVERGE: Final = dg.define_asset_job(
    "converge",
    selection=[*_COMPARED, *_DECIDED],
    description="Compare a source with all published ones again, and decide its samples anew.",
)
SYNTHESIZE: Final = dg.define_asset_job(
    "synthesize",
    selection=[*_SYNTHESIZED, "filtered"],
    description="Write new conversations about the pictures of a source, and filter them with its samples.",
)
SCORE: Final = dg.define_asset_job(
    "score",
    selection=["scored", "filtered"],
    description="Score the samples of a source with the model that scoring.yaml names, and filter them anew.",
)
ASSOCIATE: Final = dg.define_asset_job(
    "associate",
    selection=["tag_associations"],
    description="Count which pictures suit which instructions, on the seed set that associations.yaml pins.",
)
BENCHMARK: Final = dg.define_asset_job(
    "benchmark",
    selection=["benchmark_fingerprints"],
    description=(
        "Learn what the items of a benchmark are recognised by. The sensor `converge` then asks for the"
        " sources that were not compared with it."
    ),
)
MIX: Final = dg.define_asset_job(
    "mix",
    selection=dg.AssetSelection.groups(groups.MIX, groups.EXPORT),
    description="Plan one training stage from all published sources, and write it in every format.",
)
QUALITY: Final = dg.define_asset_job(
    "quality",
    selection=dg.AssetSelection.groups(groups.QUALITY),
    description="Snapshot every table, count and test all sources together, write the page. Needs dbt.",
)
ALL: Final = (
    SOURCE_PIPELINE,
    INGEST,
    DECIDE,
    CONVERGE,
    ASSOCIATE,
    SYNTHESIZE,
    SCORE,
    BENCHMARK,
    MIX,
    QUALITY,
)


def on_kubernetes(sources: dg.PartitionsDefinition) -> Mapping[str, Job]:
    """The jobs partitioned by source, by name: each run says whose it is."""
    by_source = (SOURCE_PIPELINE, INGEST, DECIDE, CONVERGE, SYNTHESIZE, SCORE)
    return {job.name: _described(job, sources) for job in by_source}


def _described(job: Job, sources: dg.PartitionsDefinition) -> Job:
    def tags(source: str) -> Mapping[str, str]:
        return {K8S_CONFIG: json.dumps(run_config(source), sort_keys=True)}

    config = dg.PartitionedConfig(
        partitions_def=sources,
        run_config_for_partition_key_fn=lambda _: {},
        tags_for_partition_key_fn=tags,
    )
    return dg.define_asset_job(job.name, selection=job.selection, description=job.description, config=config)
