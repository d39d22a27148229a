"""The sensor that reads sources anew whose files or source file changed, and no other.

No ``from __future__ import annotations`` here: Dagster looks at the annotation of ``context`` itself.
"""

import json
from collections.abc import Mapping

import dagster as dg

from infinity_assets.automation.busy import busy_partitions
from infinity_assets.errors import SourceError
from infinity_assets.orchestration.jobs import SOURCE_PIPELINE, Job
from infinity_assets.platform import Platform
from infinity_assets.sources.catalogue import read_catalogue
from infinity_assets.store.digests import key_of

HOUR = 3600


def upstream_changed(
    platform: Platform, sources: dg.PartitionsDefinition, jobs: Mapping[str, Job]
) -> dg.SensorDefinition:
    """Asks for a run of each source that is new, whose files differ, or whose source file was edited.

    The run goes through all stages in their order; a stage whose inputs did not change commits nothing.
    Sources that share samples with it follow by ``converge``. What upstream has is asked for once: a run that
    fails is not repeated until upstream changes again. It is off at first, since reading a source for the
    first time is a person's decision.
    """

    @dg.sensor(
        name="upstream_changed",
        job=jobs[SOURCE_PIPELINE.name],
        minimum_interval_seconds=HOUR,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Reads sources that are new, or whose files or source file changed, and no other.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        from infinity_assets.stages.raw.drift import drifted

        catalogue, _ = read_catalogue(platform.settings.catalogue)  # as it is now, not as it was loaded
        known: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
        busy = busy_partitions(context.instance)
        requests, unlisted = [], []
        for name in sources.get_partition_keys():
            if name in busy or name not in catalogue:
                continue
            spec = key_of("spec", catalogue[name].spec.model_dump_json())
            try:
                what = drifted(platform.store, catalogue[name])
            except SourceError as error:
                context.log.warning(str(error))
                unlisted.append(name)
                continue
            if what is None and known.get(name, spec) != spec:
                what = spec
            if what is not None:
                requests.append(dg.RunRequest(run_key=f"{name}/{what}", partition_key=name))
            known[name] = spec
        told = f"no source changed; cannot be listed: {', '.join(unlisted) or 'none'}"
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason(told),
            cursor=json.dumps(known, sort_keys=True),
        )

    return evaluate
