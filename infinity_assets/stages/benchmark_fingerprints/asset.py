"""The asset ``benchmark_fingerprints``."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from infinity_assets.orchestration.groups import ENGINEERS, SELECT, code_version
from infinity_assets.orchestration.metadata import notes_metadata
from infinity_assets.orchestration.stage_assets import StageAsset, StageOutput, StageRun, stage_asset
from infinity_assets.stages.benchmark_fingerprints.items import FINGERPRINT_VERSION
from infinity_assets.stages.benchmark_fingerprints.schema import BENCHMARK_FINGERPRINTS

STAGE = StageAsset(
    name="benchmark_fingerprints",
    table=BENCHMARK_FINGERPRINTS,
    contract=BENCHMARK_FINGERPRINTS.name,
    group=SELECT,
    description=(
        "Learn what a benchmark's items are recognised by, to keep them out of training data."
        " One row is one evaluation item."
    ),
    kinds=frozenset({"lance", "polars"}),
    owner=ENGINEERS,
    code_version=code_version(BENCHMARK_FINGERPRINTS.version, *FINGERPRINT_VERSION),
    # A benchmark is a source of the same name.
    deps=(
        dg.AssetDep("unified", partition_mapping=dg.IdentityPartitionMapping()),
        dg.AssetDep("images", partition_mapping=dg.IdentityPartitionMapping()),
    ),
)


def benchmark_fingerprints_assets(benchmarks: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset, one partition for each benchmark; none where the catalogue has no source for evaluation."""
    return stage_asset([STAGE], benchmarks, _compute)


def _compute(run: StageRun) -> Sequence[StageOutput]:
    from infinity_assets.stages.benchmark_fingerprints.stage import materialize_benchmark_fingerprints

    result = materialize_benchmark_fingerprints(run.platform, run.partition, run.run_id)
    return [StageOutput(STAGE.name, result, notes_metadata(result.notes))]
