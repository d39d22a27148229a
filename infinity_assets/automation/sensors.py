"""Sensors: a ledger that moved on without a source, and a catalogue that is not the one loaded.

Stages are imported where they are asked: the code location loads without the libraries that they need.
No ``from __future__ import annotations`` here: Dagster looks at the annotation of ``context`` itself.
"""

from collections.abc import Mapping, Sequence

import dagster as dg

from infinity_assets.automation.busy import backfills_under_way, busy_partitions
from infinity_assets.orchestration.jobs import CONVERGE, DECIDE, SCORE, SYNTHESIZE, Job
from infinity_assets.platform import Platform
from infinity_assets.sources.catalogue import read_catalogue
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER

MINUTE = 60


def converge(
    platform: Platform, sources: dg.PartitionsDefinition, jobs: Mapping[str, Job]
) -> dg.SensorDefinition:
    """Asks for a run of each source whose verdicts were made with another ledger than the published one.

    A source is asked for once per published ledger slice and version of its verdicts: a run that fails is not
    asked for again until either moves. While any run of the source is under way, nothing is asked for.

    A source whose verdicts are in line, and whose conversations were made from other tags or associations, is
    asked to write them anew: what a model said before is kept, so only new lines are paid for, within the
    policy's budget. Another policy, prompt or model is not enough: that is a person's decision.

    A source that was scored before is likewise asked to score its new samples with the same scorer.

    Where a sample was dropped later for a cause of its own, or the policy or catalogue moved, the ledger is
    asked for first, once no run is under way: it decides which duplicate takes the sample's place.
    """

    @dg.sensor(
        name="converge",
        jobs=[jobs[job.name] for job in (DECIDE, CONVERGE, SYNTHESIZE, SCORE)],
        minimum_interval_seconds=MINUTE,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Decides a source's samples anew where the duplicate ledger changed under them, and writes its"
            " conversations anew where its tags did; scores what is new where it was scored before."
        ),
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        from infinity_assets.stages.filtered.inputs import behind
        from infinity_assets.stages.scored.inputs import moved as scores_moved
        from infinity_assets.stages.synthesized.inputs import moved as synthesis_moved

        if backfills_under_way(context.instance):
            return dg.SkipReason("a backfill is under way, and decides itself what it compared")
        busy = busy_partitions(context.instance)
        requests = []
        for name in sources.get_partition_keys():
            if name in busy:
                continue
            if (key := behind(platform, name)) is not None:
                requests.append(dg.RunRequest(run_key=key, partition_key=name, job_name=DECIDE.name))
            elif (key := synthesis_moved(platform, name)) is not None:
                requests.append(dg.RunRequest(run_key=key, partition_key=name, job_name=SYNTHESIZE.name))
            elif (key := scores_moved(platform, name)) is not None:
                requests.append(dg.RunRequest(run_key=key, partition_key=name, job_name=SCORE.name))
        if not requests and not busy and (asked := _ledger_request(platform, sources)) is not None:
            requests.append(asked)
        if not requests:
            waiting = len(busy & set(sources.get_partition_keys()))
            return dg.SkipReason(
                f"every source's verdicts follow from the published ledger; {waiting} in progress"
            )
        return dg.SensorResult(run_requests=requests)

    return evaluate


def _ledger_request(platform: Platform, sources: dg.PartitionsDefinition) -> dg.RunRequest | None:
    """A run of the ledger, of whichever source was compared before: it brings all slices into line."""
    from infinity_assets.stages.duplicate_ledger.stage import moved

    what = moved(platform)
    for name in sources.get_partition_keys() if what is not None else ():
        ledger = platform.store.published(DUPLICATE_LEDGER, name)
        if ledger is not None and platform.store.published(DEDUPED, name) is not None:
            return dg.RunRequest(run_key=f"ledger/{what}", partition_key=name, job_name=CONVERGE.name)
    return None


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
