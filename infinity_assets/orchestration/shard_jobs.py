"""Where the shards of a step run when runs are Jobs of a cluster: in pods like the run's own.

dagster-k8s renders them, and is imported when a step of such a run begins: the code location does without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from infinity_assets.orchestration.model_steps import K8S_CONFIG, SOURCE_LABEL, STAGE_LABEL, ModelStep, label
from infinity_assets.settings import Settings, WorkerJobs

if TYPE_CHECKING:
    from infinity_assets.kubernetes.api import Cluster
    from infinity_assets.kubernetes.pods import PodEnd
    from infinity_assets.kubernetes.runner import IndexedJobs

#: Pods in a step's metadata at most: those that failed last.
SHOWN = 20


def shard_jobs(
    context: dg.AssetExecutionContext, settings: Settings, step: ModelStep | None, stage: str, partition: str
) -> IndexedJobs | None:
    """Pods for the shards of a step; None where this run is no Job of a cluster.

    Args:
        context: of the step.
        settings: of the deployment.
        step: what it asks of the cluster, where it runs a model.
        stage: name of its asset.
        partition: its partition.
    """
    cluster = cluster_of(context.instance) if settings.kubernetes else None
    if cluster is None:
        return None
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import get_job_name_from_run_id

    from infinity_assets.kubernetes.job import Owner
    from infinity_assets.kubernetes.runner import IndexedJobs

    launcher: Any = context.instance.run_launcher
    run = context.run
    like_the_run = K8sContainerContext.create_for_run(run, launcher, include_run_tags=False)
    resumed = context.instance.count_resume_run_attempts(run.run_id) or None
    name = get_job_name_from_run_id(run.run_id, resumed)  # type: ignore[no-untyped-call]
    own = cluster.job(name)
    asked = _asked(step, settings.worker_jobs)
    pods = step.pods if step is not None else 0
    return IndexedJobs(
        cluster=cluster,
        template=_template(like_the_run, launcher.job_image, run, asked, stage, partition),
        owner=Owner(run.run_id, name, None if own is None else own["metadata"]["uid"]),
        options=settings.worker_jobs,
        parallelism=pods or settings.worker_jobs.parallelism,
        always=pods > 0,
        tell=context.log.info,
        warn=context.log.warning,
    )


def cluster_of(instance: dg.DagsterInstance) -> Cluster | None:
    """The namespace that an instance launches runs in; None where it launches them elsewhere."""
    if type(instance.run_launcher).__module__ != "dagster_k8s.launcher":
        return None  # looked at by name: dagster-k8s takes a second to load
    from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION

    from infinity_assets.kubernetes.api import Cluster

    launcher: Any = instance.run_launcher
    file = launcher.kubeconfig_file or KUBE_CONFIG_DEFAULT_LOCATION
    return Cluster(launcher.job_namespace, None if launcher.load_incluster_config else file)


def _asked(step: ModelStep | None, options: WorkerJobs) -> Mapping[str, Any]:
    """What a pod of a shard gets beside what the run's pod has, as dagster-k8s reads it."""
    if step is not None and step.pods:
        return dict(step.op_tags[K8S_CONFIG])
    amounts = {"cpu": options.cpu, "memory": options.memory}
    return {"container_config": {"resources": {"requests": dict(amounts), "limits": amounts}}}


def _template(
    like_the_run: Any,
    image: str | None,
    run: dg.DagsterRun,
    asked: Mapping[str, Any],
    stage: str,
    partition: str,
) -> dict[str, Any]:
    """A Job with the run's image, volumes and environment, without what is Dagster's own and any token."""
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job
    from kubernetes.client import ApiClient

    described = UserDefinedDagsterK8sConfig.from_dict(dict(asked))  # type: ignore[no-untyped-call]
    merged = like_the_run.merge(K8sContainerContext(run_k8s_config=described)).run_k8s_config
    origin = run.job_code_origin
    own = origin.repository_origin.container_image if origin is not None else None
    labels = {
        "dagster/job": run.job_name,
        "dagster/run-id": run.run_id,
        SOURCE_LABEL: label(partition),
        STAGE_LABEL: label(stage),
    }
    job = construct_dagster_k8s_job(
        DagsterK8sJobConfig(job_image=own or image),
        args=None,
        job_name="template",
        user_defined_k8s_config=merged,
        component="shard_worker",
        labels=labels,
    )
    made: dict[str, Any] = ApiClient().sanitize_for_serialization(job)
    made["spec"]["template"]["spec"]["automountServiceAccountToken"] = False
    return made


def job_metadata(jobs: IndexedJobs | None) -> dict[str, Any]:
    """What a materialization says of its Jobs; nothing where it had none."""
    if jobs is None or not jobs.jobs:
        return {}
    names = dg.MetadataValue.text(", ".join(dict.fromkeys(jobs.jobs)))
    return {"kubernetes_jobs": names} | _pods(jobs.ends)


def _pods(ends: Sequence[PodEnd]) -> dict[str, Any]:
    """Pods that failed or could not start: cause, phase, reason, exit code and last lines."""
    if not ends:
        return {}
    records = [
        dg.TableRecord(
            {
                "pod": end.pod,
                "shard": "" if end.index is None else str(end.index),
                "cause": str(end.cause),
                "phase": end.phase,
                "reason": end.reason,
                "exit_code": "" if end.exit_code is None else str(end.exit_code),
                "node": end.node,
                "message": end.message,
                "log": end.log,
            }
        )
        for end in ends[-SHOWN:]
    ]
    columns = [dg.TableColumn(name, "string") for name in records[0].data]
    return {"failed_pods": dg.MetadataValue.table(records, dg.TableSchema(columns))}
