"""The sensor that makes pools known before a run waits in them.

Dagster learns of a pool, and so of its limit, when the first run that needs it is in the queue; it lets
through whatever else is queued at that moment, however small the limit is.
No ``from __future__ import annotations`` here: Dagster looks at the annotation of ``context`` itself.
"""

from collections.abc import Sequence

import dagster as dg

HOUR = 3_600


def pools_known(pools: Sequence[str]) -> dg.SensorDefinition:
    """Gives each pool the instance's default limit, unless it has one: what a person set stays.

    Args:
        pools: names.
    """

    @dg.sensor(
        name="pools_known",
        minimum_interval_seconds=HOUR,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes pools of GPUs and APIs known with their limit, before the first run needs them.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        log = context.instance.event_log_storage
        new = [name for name in pools if name not in log.get_concurrency_keys()]
        for name in new:
            log.initialize_concurrency_limit_to_default(name)
        return dg.SkipReason(f"now known: {', '.join(new)}" if new else "every pool is known")

    return evaluate
