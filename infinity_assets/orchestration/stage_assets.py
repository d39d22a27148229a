"""The one way in which a stage becomes an asset: run it, report what was published, record every check.

No ``from __future__ import annotations`` here: Dagster looks at the annotation of ``context`` itself.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg

from infinity_assets.errors import CommitConflict, InfinityError
from infinity_assets.orchestration.checks import check_results, check_specs
from infinity_assets.orchestration.links import Links
from infinity_assets.orchestration.metadata import Metadata, column_schema, materialization_metadata
from infinity_assets.orchestration.model_steps import ModelStep
from infinity_assets.orchestration.progress import Listener, StageEvent
from infinity_assets.orchestration.resources import PLATFORM, PROGRESS
from infinity_assets.orchestration.shard_jobs import job_metadata, shard_jobs
from infinity_assets.platform import Platform
from infinity_assets.quality.contract import load_contract
from infinity_assets.sharding.pool import run_elsewhere
from infinity_assets.stages.publish import CriticalCheckFailed, StageResult
from infinity_assets.store.tables import TableSpec
from infinity_assets.store.trouble import trouble

DATA_VERSION_TAG = "dagster/data_version"

#: What the one partition of an asset without partitions is called where a name is needed.
WHOLE = "all"


@dataclass(frozen=True, slots=True)
class StageAsset:
    """What the asset graph says about a stage, before anything is materialized."""

    name: str  #: of the asset
    table: TableSpec
    contract: str  #: name of the contract that its checks come from
    group: str
    description: str  #: what to do with it first, then what a row is
    kinds: frozenset[str]
    owner: str
    code_version: str  #: raised by whatever changes what the same input gives
    deps: Sequence[dg.AssetDep] = ()
    extra_checks: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    spans_partitions: bool = False  #: one run serves all partitions of a backfill: the first does the work

    def spec(self, partitions: dg.PartitionsDefinition | None) -> dg.AssetSpec:
        """The asset as Dagster knows it."""
        return dg.AssetSpec(
            self.name,
            deps=list(self.deps),
            description=self.description,
            group_name=self.group,
            kinds=set(self.kinds),
            owners=[self.owner],
            code_version=self.code_version,
            partitions_def=partitions,
            tags=dict(self.tags),
            metadata={"dagster/column_schema": column_schema(self.table)},
        )


@dataclass(frozen=True, slots=True)
class StageRun:
    """What a stage is run with."""

    platform: Platform
    partition: str
    run_id: str
    tell: Callable[[str, int, int], None]  #: phase, pieces done, pieces in all


@dataclass(frozen=True, slots=True)
class StageOutput:
    """One asset's part of what a stage published."""

    asset: str
    result: StageResult
    metadata: Metadata = field(default_factory=dict)  #: what only this stage has
    languages: Mapping[str, int] | None = None  #: rows by language, where the table has them
    others: Mapping[str, StageResult] = field(default_factory=dict)  #: partitions that changed as well


Compute = Callable[[StageRun], Sequence[StageOutput]]


def stage_asset(
    stages: Sequence[StageAsset],
    partitions: dg.PartitionsDefinition | None,
    compute: Compute,
    step: ModelStep | None = None,
) -> dg.AssetsDefinition:
    """One asset, or several that one function publishes together.

    A failed blocking check is recorded, then the step fails: nothing was committed and no materialization is
    recorded, so the partition keeps the colour of what is published.

    Args:
        stages: the assets, in the order in which they are published.
        partitions: theirs; None for an asset without.
        compute: publishes one partition of all of them.
        step: what it asks of a cluster, where it runs a model.
    """
    specs = [stage.spec(partitions) for stage in stages]
    checks = [
        check
        for stage in stages
        for check in check_specs(stage.name, load_contract(stage.contract), partitions, stage.extra_checks)
    ]

    @dg.multi_asset(
        name="_and_".join(stage.name for stage in stages),
        specs=specs,
        check_specs=checks,
        required_resource_keys={PLATFORM, PROGRESS},
        can_subset=False,
        op_tags=dict(step.op_tags) if step else None,
        pool=step.pool if step else None,
        backfill_policy=dg.BackfillPolicy.single_run() if stages[0].spans_partitions else None,
    )
    def materialize(context: dg.AssetExecutionContext) -> Iterator[Any]:
        platform: Platform = getattr(context.resources, PLATFORM)
        listener: Listener = getattr(context.resources, PROGRESS)
        names = [stage.name for stage in stages]
        partition, *further = _partitions(context)

        def tell(phase: str, done: int, total: int) -> None:
            listener(StageEvent(names[-1], partition, "advanced", phase=phase, done=done, total=total))

        run = StageRun(platform, partition, context.run.run_id, tell)
        links = Links(platform.settings.preview_url)
        began = time.perf_counter()
        for name in names:
            listener(StageEvent(name, partition, "started"))
        jobs = None
        try:
            jobs = shard_jobs(context, platform.settings, step, names[-1], partition)
            with run_elsewhere(jobs):
                outputs = compute(run)
                for another in further:
                    more = compute(replace(run, partition=another))
                    outputs = [_with(output, another, one) for output, one in zip(outputs, more, strict=True)]
        except Exception as raised:
            error = raised if isinstance(raised, InfinityError) else trouble(raised) or raised
            seconds = time.perf_counter() - began
            line = str(error) if isinstance(error, InfinityError) else f"{type(error).__name__}: {error}"
            for name in names:
                listener(StageEvent(name, partition, "failed", seconds, error=line))
            if isinstance(error, CriticalCheckFailed):
                yield from _failed_checks(stages, partition, error, links, run.run_id)
            if isinstance(error, InfinityError):
                conflict = isinstance(error, CommitConflict)
                raise dg.Failure(str(error), metadata=job_metadata(jobs), allow_retries=conflict) from raised
            raise
        seconds = time.perf_counter() - began
        by_name = {stage.name: stage for stage in stages}
        for output in outputs:
            told = replace(output, metadata={**output.metadata, **job_metadata(jobs)})
            yield _materialized(context, by_name[output.asset], told, partition, seconds, links)
            _report_others(context, output, links)
            listener(StageEvent(output.asset, partition, "finished", seconds, output.result))

    return materialize


def _partitions(context: dg.AssetExecutionContext) -> list[str]:
    """Those of a run; of several, which one run of a backfill is to serve, in their order."""
    if context.has_partition_key:
        return [context.partition_key]
    return list(context.partition_keys) if context.has_partition_key_range else [WHOLE]


def _with(output: StageOutput, partition: str, another: StageOutput) -> StageOutput:
    """An output that reports another partition's result, and what that changed, beside its own."""
    return replace(output, others={**output.others, **another.others, partition: another.result})


def _materialized(
    context: dg.AssetExecutionContext,
    stage: StageAsset,
    output: StageOutput,
    partition: str,
    seconds: float,
    links: Links,
) -> "dg.MaterializeResult[Any]":
    result = output.result
    metadata = materialization_metadata(result, seconds, links) | output.metadata
    if output.languages is not None:
        metadata["languages"] = dg.MetadataValue.json(dict(output.languages))
    return dg.MaterializeResult(
        asset_key=stage.name,
        metadata=metadata,
        data_version=dg.DataVersion(result.published.data_version),
        check_results=check_results(
            stage.name, partition, load_contract(stage.contract), result.checks, links, context.run.run_id
        ),
    )


def _report_others(context: dg.AssetExecutionContext, output: StageOutput, links: Links) -> None:
    """Record partitions that this run changed beside its own, one by one.

    A run stamps one data version on all that it materializes, so each of these is an event of its own, after
    that of the run.
    """
    for partition, result in output.others.items():
        event = dg.AssetMaterialization(
            output.asset,
            partition=partition,
            metadata=materialization_metadata(result, 0.0, links),
            tags={DATA_VERSION_TAG: result.published.data_version},
        )
        context.log_event(event)


def _failed_checks(
    stages: Sequence[StageAsset], partition: str, error: CriticalCheckFailed, links: Links, run_id: str
) -> Iterator[dg.AssetCheckResult]:
    for stage in stages:
        own = [check for check in error.checks if check.table == stage.contract]
        yield from check_results(stage.name, partition, load_contract(stage.contract), own, links, run_id)
