"""The whole platform on one page: what Dagster loads.

raw -> images, unified -> duplicate_ledger -> deduped -> tagged -> filtered -> mixed -> exported_<format>
                  unified -> benchmark_fingerprints -> filtered
every table -> quality_snapshot -> quality_marts
"""

from __future__ import annotations

import dagster as dg

from infinity_assets.automation import schedules, sensors
from infinity_assets.automation.alerts import failed_checks_alert
from infinity_assets.automation.benchmarks import benchmarks_read
from infinity_assets.automation.mornings import each_morning
from infinity_assets.automation.pools import pools_known
from infinity_assets.automation.reaper import reap_jobs
from infinity_assets.automation.retention import retention, weekly_retention
from infinity_assets.automation.tail import automated, mixes_follow
from infinity_assets.automation.upstream import upstream_changed
from infinity_assets.orchestration import jobs
from infinity_assets.orchestration.links import Links
from infinity_assets.orchestration.model_steps import scoring_step, synthesis_step, tagging_step
from infinity_assets.orchestration.progress import Listener, nobody
from infinity_assets.orchestration.quality import quality_assets
from infinity_assets.orchestration.resources import resources
from infinity_assets.partitions import benchmark_partitions, source_partitions, training_stage_partitions
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.sources.catalogue import benchmarks_in
from infinity_assets.stages.benchmark_fingerprints.asset import benchmark_fingerprints_assets
from infinity_assets.stages.deduped.asset import deduped_assets
from infinity_assets.stages.duplicate_ledger.asset import duplicate_ledger_assets
from infinity_assets.stages.exported.asset import exported_assets
from infinity_assets.stages.filtered.asset import filtered_assets
from infinity_assets.stages.mixed.asset import mixed_assets
from infinity_assets.stages.raw.asset import raw_assets
from infinity_assets.stages.scored.asset import scored_assets
from infinity_assets.stages.synthesized.asset import synthesized_assets
from infinity_assets.stages.tag_associations.asset import tag_associations_assets
from infinity_assets.stages.tagged.asset import tagged_assets
from infinity_assets.stages.unified.asset import unified_assets


def build_defs(settings: Settings) -> dg.Definitions:
    """Everything of one deployment.

    Raises:
        CatalogueError: if a source file is wrong; every problem is named, one a line.
    """
    return platform_defs(Platform(settings))


def platform_defs(platform: Platform, listener: Listener = nobody) -> dg.Definitions:
    """Like :func:`build_defs`, of a platform that is open already.

    Args:
        platform: settings, store, catalogue.
        listener: told what the assets do, in the process that runs them.
    """
    sources = source_partitions(platform.catalogue)
    benchmarks = benchmark_partitions(benchmarks_in(platform.catalogue))
    training_stages = training_stage_partitions()
    steps = (tagging_step(platform), synthesis_step(platform), scoring_step(platform))
    tagging, synthesis, scoring = steps
    pools = sorted({step.pool for step in steps if step is not None})
    links = Links(platform.settings.preview_url, platform.settings.dashboard_url)
    described = jobs.on_kubernetes(sources) if platform.settings.kubernetes else {}
    by_name = {job.name: described.get(job.name, job) for job in jobs.ALL}
    return dg.Definitions(
        assets=dg.map_asset_specs(
            lambda spec: automated(links.led(spec)),
            [
                raw_assets(sources),
                unified_assets(sources),
                duplicate_ledger_assets(sources),
                deduped_assets(sources),
                tagged_assets(sources, tagging),
                tag_associations_assets(),
                synthesized_assets(sources, synthesis),
                scored_assets(sources, scoring),
                benchmark_fingerprints_assets(benchmarks),
                filtered_assets(sources),
                mixed_assets(training_stages),
                *exported_assets(training_stages),
                quality_assets(),
            ],
        ),
        jobs=[*by_name.values(), retention],
        schedules=[
            schedules.nightly(platform, sources, by_name),
            schedules.weekly_full_check(sources, by_name),
            each_morning(),
            weekly_retention(),
        ],
        sensors=[
            sensors.converge(platform, sources, by_name),
            sensors.catalogue_changed(platform, sources),
            upstream_changed(platform, sources, by_name),
            mixes_follow(),
            failed_checks_alert(platform.settings),
            benchmarks_read(platform, benchmarks),
            *([reap_jobs()] if platform.settings.kubernetes else []),
            *([pools_known(pools)] if pools else []),
        ],
        resources=resources(platform, listener),
        # The default starts a process for each step: 1.6 s of wall and 1.5 s of CPU before any work.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Loaded by Dagster; the environment says where everything lies."""
    return build_defs(Settings())
