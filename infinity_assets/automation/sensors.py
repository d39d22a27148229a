"""Sensors: a ledger that moved on without a source, and a catalogue that is not the one loaded.

No ``from __future__ import annotations`` here: Dagster looks at the annotation of ``context`` itself.
"""

from collections.abc import Sequence

import dagster as dg

from infinity_assets.orchestration.jobs import DECIDE
from infinity_assets.platform import Platform
from infinity_assets.sources.catalogue import read_catalogue
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER

MINUTE = 60
PARTITION_TAG = "dagster/partition"
UNDER_WAY = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def converge(platform: Platform, sources: dg.PartitionsDefinition) -> dg.SensorDefinition:
    """Asks for a run of each source whose verdicts were made with another ledger than the published one.

    A source is asked for once per published ledger slice and version of its verdicts: a run that fails is not
    asked for again until either moves. While any run of the source is under way, nothing is asked for.
    """

    @dg.sensor(
        name="converge",
        job=DECIDE,
        minimum_interval_seconds=MINUTE,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Decides a source's samples anew where the duplicate ledger changed under them.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        running = context.instance.get_runs(dg.RunsFilter(statuses=list(UNDER_WAY)))
        busy = {run.tags.get(PARTITION_TAG) for run in running}
        requests = []
        for name in sources.get_partition_keys():
            key = None if name in busy else behind(platform, name)
            if key is not None:
                requests.append(dg.RunRequest(run_key=key, partition_key=name))
        if not requests:
            waiting = len(busy & set(sources.get_partition_keys()))
            return dg.SkipReason(
                f"every source's verdicts follow from the published ledger; {waiting} in progress"
            )
        return dg.SensorResult(run_requests=requests)

    return evaluate


def behind(platform: Platform, source: str) -> str | None:
    """What to call the run that a source needs, or None where its verdicts fit the published ledger.

    A source that was never deduplicated needs none: its first run is a person's decision.
    """
    ledger = platform.store.published(DUPLICATE_LEDGER, source)
    deduped = platform.store.published(DEDUPED, source)
    if ledger is None or deduped is None:
        return None
    if deduped.inputs.get(DUPLICATE_LEDGER.name) == ledger.data_version:
        return None
    return f"{source}/{ledger.data_version}/{deduped.version}"


def catalogue_changed(platform: Platform, sources: dg.PartitionsDefinition) -> dg.SensorDefinition:
    """Says where the catalogue folder has other sources than this code location; it starts nothing."""

    @dg.sensor(
        name="catalogue_changed",
        minimum_interval_seconds=MINUTE,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Says where the catalogue folder has other sources than the loaded ones.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        said = difference(platform, sources.get_partition_keys())
        if said is not None:
            context.log.warning(said)
        return dg.SkipReason(said or "the catalogue folder has the sources that are loaded")

    return evaluate


def difference(platform: Platform, loaded: Sequence[str]) -> str | None:
    """What differs between the catalogue folder and the loaded sources, in one line; None if nothing does."""
    catalogue, problems = read_catalogue(platform.settings.catalogue)
    known, found = set(loaded), set(catalogue)
    parts = []
    if found - known:
        parts.append(f"new: {', '.join(sorted(found - known))}")
    if known - found:
        parts.append(f"gone: {', '.join(sorted(known - found))}")
    if problems:
        parts.append(f"wrong: {'; '.join(map(str, problems))}")
    if not parts:
        return None
    return f"the catalogue folder changed ({'. '.join(parts)}); reload the code location to see it"
