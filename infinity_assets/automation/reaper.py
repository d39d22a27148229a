"""The sensor that takes away what runs left on a cluster: Jobs of shards whose run is over.

A run deletes its Jobs itself when it fails or is stopped; one whose pod was lost with its node cannot.
No ``from __future__ import annotations`` here: Dagster looks at the annotation of ``context`` itself.
"""

import dagster as dg

from infinity_assets.orchestration.shard_jobs import cluster_of

MINUTE = 60


def reap_jobs() -> dg.SensorDefinition:
    """Deletes Jobs of shards that work for a run that Dagster knows to be over.

    Finished Jobs are left to their own time to live; Jobs of runs that this Dagster does not know may be
    another one's, and are left alone.
    """

    @dg.sensor(
        name="reap_jobs",
        minimum_interval_seconds=MINUTE,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Deletes Kubernetes Jobs of shards whose run is over: no GPU works for nobody.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from infinity_assets.kubernetes.job import RUN
        from infinity_assets.kubernetes.watch import finished

        cluster = cluster_of(context.instance)
        if cluster is None:
            return dg.SkipReason("runs of this instance are no Jobs of a cluster")
        reaped = []
        for job in cluster.jobs(RUN):
            metadata = job["metadata"]
            run = context.instance.get_run_by_id(metadata["labels"][RUN])
            if run is not None and run.is_finished and not finished(job):
                cluster.delete_job(metadata["name"])
                reaped.append(f"{metadata['name']} of run {run.run_id}")
        return dg.SkipReason(f"deleted: {', '.join(reaped)}" if reaped else "every Job works for a run")

    return evaluate
