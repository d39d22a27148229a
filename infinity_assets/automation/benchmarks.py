"""The sensor that learns a benchmark anew when its items changed.

No ``from __future__ import annotations`` here: Dagster looks at the annotation of ``context`` itself.
"""

import dagster as dg

from infinity_assets.orchestration.jobs import BENCHMARK
from infinity_assets.platform import Platform
from infinity_assets.stages.benchmark_fingerprints.schema import BENCHMARK_FINGERPRINTS
from infinity_assets.stages.unified.schema import UNIFIED


def benchmarks_read(platform: Platform, benchmarks: dg.PartitionsDefinition) -> dg.SensorDefinition:
    """Asks for the fingerprints of each benchmark whose items were read since, or for the first time.

    Each is asked for once per version of its items; ``converge`` then compares the sources with it.
    """

    @dg.sensor(
        name="benchmarks_read",
        job=BENCHMARK,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fingerprints a benchmark whose items were read since it was fingerprinted.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        requests = []
        for name in benchmarks.get_partition_keys():
            items = platform.store.published(UNIFIED, name)
            known = platform.store.published(BENCHMARK_FINGERPRINTS, name)
            if items is not None and (known is None or known.inputs.get("unified") != items.data_version):
                requests.append(dg.RunRequest(run_key=f"{name}/{items.data_version}", partition_key=name))
        if not requests:
            return dg.SkipReason("every benchmark's fingerprints are of its published items")
        return dg.SensorResult(run_requests=requests)

    return evaluate
