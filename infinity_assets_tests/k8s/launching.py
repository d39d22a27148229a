"""The Job that dagster-k8s's own launcher would send to a server for a run, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import get_job_name_from_run_id
from kubernetes import client

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "users": [{"name": "none", "user": {}}],
    "current-context": "none",
}

#: A class of GPUs, as settings name one.
H100: dict[str, Any] = {
    "node_selector": {"example.com/gpu": "h100"},
    "tolerations": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
    "priority_class": "infinity-gpu-spot",
    "cpu": "8",
    "memory": "64Gi",
}


class Recorder:
    """In the place of the client of the server: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def create_namespaced_job(self, *, body: Any, namespace: str, **_: Any) -> None:
        self.sent.append(body)


def rendered(
    definitions: dg.Definitions, job: str, source: str | None, folder: Path, launcher: dict[str, Any]
) -> dict[str, Any]:
    """As it goes over the wire.

    Args:
        definitions: what the code location holds.
        job: name.
        source: its partition; None for a job without.
        folder: for the kubeconfig.
        launcher: further settings of the launcher, as its ``config`` in ``dagster.yaml``.
    """
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(KUBECONFIG))
    recorder = Recorder()
    with dg.DagsterInstance.ephemeral() as instance:
        k8s = K8sRunLauncher(
            **{
                "service_account_name": "default",
                "instance_config_map": "dagster-instance",
                "dagster_home": "/opt/dagster/dagster_home",
                "job_image": "infinity-assets:base",
            }
            | launcher
            | {
                "load_incluster_config": False,
                "kubeconfig_file": str(kubeconfig),
                "k8s_client_batch_api": recorder,
                "k8s_client_core_api": recorder,
            }
        )
        k8s.register_instance(instance)
        definition = definitions.resolve_job_def(job)
        tags = definition.get_tags_for_partition_key(source, None) if source else definition.tags
        pointer = ModuleCodePointer("infinity_assets.definitions", "defs", working_directory=None)
        origin = JobPythonOrigin(job, RepositoryPythonOrigin("/usr/bin/python", pointer))
        run = instance.create_run_for_job(definition, tags=tags, job_code_origin=origin)
        # All of launch_run but the arguments, which name an instance that lies in a folder: SQLite, slowly.
        k8s._launch_k8s_job_with_args(get_job_name_from_run_id(run.run_id), ["dagster", "api"], run)
    (body,) = recorder.sent
    wire: dict[str, Any] = client.ApiClient().sanitize_for_serialization(body)
    return wire
