"""A deployment on the tests' cluster: Dagster with its launcher, and the variables that pods find."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
import kubernetes.client
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.instance import InstanceRef
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from infinity_assets.definitions import platform_defs
from infinity_assets.kubernetes.job import PLAN, RUN
from infinity_assets.platform import Platform
from infinity_assets.settings import RamPlusSettings, Settings
from infinity_assets_tests.conftest import Site
from infinity_assets_tests.k8s.conftest import ROOT, Here

FAST = {
    "poll_s": 0.1,
    "least_shards": 1,
    "parallelism": 2,
    "cpu": "100m",
    "memory": "1Gi",
    "kept_s": 600,
    "warn_after_s": 0,
}


@dataclass
class Deployment:
    """A site on a cluster: Dagster's instance, as its daemon and its runs see it."""

    site: Site
    here: Here
    settings: Settings
    instance: dg.DagsterInstance
    definitions: dg.Definitions

    def launch(self, job: str, source: str) -> str:
        """Start a run of a job; gives its id."""
        run_id = self.queue(job, source)
        self.instance.launch_run(run_id, None)
        return run_id

    def queue(self, job: str, source: str) -> str:
        """A run of a job that waits to be started."""
        definition = self.definitions.resolve_job_def(job)
        pointer = ModuleCodePointer("infinity_assets.definitions", "defs", working_directory=None)
        origin = JobPythonOrigin(job, RepositoryPythonOrigin("python", pointer))
        tags = definition.get_tags_for_partition_key(source, None)
        there = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("tests"), "__repository__")
        run = self.instance.create_run_for_job(
            definition,
            tags=tags,
            job_code_origin=origin,
            remote_job_origin=there.get_job_origin(job),
            status=dg.DagsterRunStatus.QUEUED,
        )
        return run.run_id

    def ended(self, run_id: str) -> dg.DagsterRun:
        """The run, once it is over."""

        def over() -> dg.DagsterRun | None:
            run = self.instance.get_run_by_id(run_id)
            return run if run is not None and run.is_finished else None

        return self.wait_for(over)

    def wait_for(self, what: Callable[[], Any], seconds: float = 240) -> Any:
        until = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < until, self.words()
            time.sleep(0.1)
        return found

    def words(self) -> str:
        """What every pod wrote: why a test failed."""
        cluster, said = self.here.cluster, []
        for job in cluster.jobs(""):
            name = job["metadata"]["name"]
            said += [
                f"{name}: {job['status']}",
                *(cluster.last_words(p["metadata"]["name"], 40) for p in cluster.pods(name)),
            ]
        return "\n".join(said)

    def jobs(self, run_id: str) -> list[dict[str, Any]]:
        """Jobs of a run's shards."""
        found = self.here.cluster.jobs(f"{RUN}={run_id}")
        return sorted(found, key=lambda job: job["metadata"]["annotations"][PLAN].split("/")[1])

    def hold(self, held: bool) -> None:
        """Keep pods of shards waiting, or let them go."""
        path = self.site.folder / "hold"
        path.touch() if held else path.unlink()

    def pods(self) -> int:
        """How many pods of shards were started so far."""
        path = self.site.folder / "pods"
        return len(path.read_text()) if path.exists() else 0

    def metadata(self, asset: str, source: str) -> Mapping[str, Any]:
        """Of the last materialization of a partition."""
        where = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[source])
        (record,) = self.instance.fetch_materializations(where, limit=1).records
        assert record.asset_materialization is not None
        return record.asset_materialization.metadata


@contextmanager
def deployed(
    here: Here, site: Site, ram_plus: Mapping[str, str], secrets: Sequence[str] = (), **given: Any
) -> Iterator[Deployment]:
    """A site on a cluster.

    Args:
        here: the cluster.
        site: its sources.
        ram_plus: settings of the tagger, none where it is not named.
        secrets: names of Secrets that pods find in their environment.
        given: settings of the platform, as the pods find them too.
    """
    base = site.platform().settings
    given = {"kubernetes": True, "worker_jobs": FAST, "contracts": "arrow", "workers": 1} | given
    told = base.model_dump(exclude={"ram_plus"}) | given
    settings = Settings(**told, ram_plus=RamPlusSettings(**ram_plus))
    plain = {k: v if isinstance(v, str) else json.dumps(v) for k, v in given.items()}
    plain |= {k: str(getattr(base, k)) for k in ("home", "catalogue", "store")}
    plain |= {f"ram_plus_{k}": v for k, v in ram_plus.items()}
    names = {f"INFINITY_{k.upper()}": v for k, v in plain.items()}
    names["PYTHONPATH"] = f"{site.folder}:{ROOT}"
    home = site.folder / "dagster"
    home.mkdir()
    volumes, mounts = here.volumes()
    launcher = {
        "service_account_name": "default",
        "instance_config_map": f"infinity-test-{uuid.uuid4()}",
        "dagster_home": str(home),
        "job_image": here.image,
        "job_namespace": here.namespace,
        "load_incluster_config": False,
        "kubeconfig_file": str(here.kubeconfig),
        "env_vars": [f"{key}={value}" for key, value in names.items()],
        "env_secrets": list(secrets),
        "volumes": volumes,
        "volume_mounts": mounts,
        "run_k8s_config": {"pod_spec_config": {"termination_grace_period_seconds": 10}},
    }
    config = {
        "run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": launcher},
        "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
        "run_monitoring": {"enabled": True, "max_resume_run_attempts": 2},
        "telemetry": {"enabled": False},
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    core = kubernetes.client.CoreV1Api(here.cluster._connection)
    body = {
        "metadata": {"name": launcher["instance_config_map"]},
        "data": {"dagster.yaml": yaml.safe_dump(config)},
    }
    core.create_namespaced_config_map(here.namespace, body)
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as instance:
        made = Deployment(site, here, settings, instance, platform_defs(Platform(settings)))
        yield made
        for run in instance.get_runs():
            for job in here.cluster.jobs(f"dagster/run-id={run.run_id}"):
                here.cluster.delete_job(job["metadata"]["name"])
    core.delete_namespaced_config_map(launcher["instance_config_map"], here.namespace)
