"""Without these, the chart gets values that it ignores, or makes a ``dagster.yaml`` that nobody reads."""

from __future__ import annotations

import copy
import importlib
import itertools
import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config
from dagster._serdes import ConfigurableClassData
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext

from infinity_assets.definitions import platform_defs
from infinity_assets.orchestration.model_steps import synthesis_step, tagging_step
from infinity_assets.orchestration.shard_jobs import _asked, _template
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets_tests.conftest import jsonl, talk
from infinity_assets_tests.k8s.launching import KUBECONFIG
from infinity_assets_tests.k8s.launching import rendered as launched
from infinity_assets_tests.k8s.manifests.chart import CHART, rendered
from infinity_assets_tests.k8s.manifests.files import K8S, ROOT, Document, documents, values
from infinity_assets_tests.k8s.manifests.given import Values
from infinity_assets_tests.k8s.manifests.instance import instance, launcher
from infinity_assets_tests.k8s.manifests.rules import restricted
from infinity_assets_tests.k8s.server import refusals
from infinity_assets_tests.stages.synthesized.talking import engines, policy

GIVEN = values()
CLASSES = (
    "run_launcher",
    "run_storage",
    "event_log_storage",
    "schedule_storage",
    "compute_logs",
    "scheduler",
)


def settings() -> dict[str, str]:
    """What every pod of the platform has in its environment."""
    found = {d["metadata"]["name"]: d for d in documents(K8S / "base") if d["kind"] == "ConfigMap"}
    data: dict[str, str] = found["infinity-settings"]["data"]
    return data


def dagster_yaml() -> Document:
    """As the release mounts it."""
    (found,) = [d for d in rendered(GIVEN) if d["metadata"]["name"] == "infinity-instance"]
    parsed: Document = yaml.safe_load(found["data"]["dagster.yaml"])
    return parsed


def test_every_value_has_an_effect():
    """Lost otherwise: a limit under a misspelt key."""
    misspelt = copy.deepcopy(GIVEN)
    misspelt["dagsterDaemon"]["runMonitoring"]["maxResumeAttempts"] = 3
    if not os.environ.get("INFINITY_TEST_CHART"):
        with pytest.raises(ValueError, match=r"dagsterDaemon\.runMonitoring\.maxResumeAttempts"):
            rendered(misspelt)
    assert rendered(GIVEN)


def test_the_chart_is_the_one_of_the_packages():
    lock = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    assert f"dagster=={CHART}" in lock
    for page in (K8S / "README.md", K8S / "helm" / "values.yaml"):
        assert CHART in page.read_text("utf-8")


def test_dagster_reads_its_settings_and_every_class_takes_its_own(tmp_path, monkeypatch):
    """Lost otherwise: a webserver and a daemon that end as soon as they start."""
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "from a Secret")
    config = dagster_yaml()
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    read, _ = dagster_instance_config(str(tmp_path))
    assert read["telemetry"] == {"enabled": False}
    for key in CLASSES:
        data = ConfigurableClassData(config[key]["module"], config[key]["class"], "{}")  # knows old names
        made = getattr(importlib.import_module(data.module_name), data.class_name)
        taken = process_config(resolve_to_config_type(made.config_type()), config[key].get("config", {}))
        assert taken.success, (key, taken.errors)


def test_limits_and_recovery_are_as_the_values_say(tmp_path):
    config = {key: value for key, value in dagster_yaml().items() if "storage" not in key}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))
    there = {"load_incluster_config": False, "kubeconfig_file": str(tmp_path / "kubeconfig")}
    config["run_launcher"]["config"] |= there
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    with dg.DagsterInstance.from_config(str(tmp_path)) as opened:
        pools = opened.get_concurrency_config()
        assert pools.pool_config.pool_granularity.value == "run"
        assert pools.pool_config.default_pool_limit == 1
        assert pools.run_queue_config.max_concurrent_runs == 20
        assert opened.run_monitoring_enabled and opened.run_monitoring_max_resume_run_attempts == 3
        assert opened.run_retries_enabled and opened.run_retries_max_retries == 2
        assert isinstance(opened.run_launcher, K8sRunLauncher)
        assert opened.get_settings("run_retries")["retry_on_asset_or_op_failure"] is False


def test_dagster_refuses_both_kinds_of_limits_at_once(tmp_path):
    """Why ``runCoordinator`` is off: with it the chart says one limit twice."""
    both = copy.deepcopy(GIVEN)
    both["dagsterDaemon"]["runCoordinator"]["enabled"] = True
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(instance(Values(both))))
    with pytest.raises(dg.DagsterInvalidConfigError, match="incompatible with the `concurrency"):
        dagster_instance_config(str(tmp_path))


def test_the_settings_of_the_cluster_are_settings_of_the_platform(monkeypatch):
    """Lost otherwise: a code server that does not start, or a variable that nobody reads."""
    for name, value in settings().items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert read.kubernetes and read.store == "s3://infinity/tables"
    known = {f"INFINITY_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in settings() if name.startswith("INFINITY_")} <= known
    classes = {d["metadata"]["name"] for d in documents(K8S / "base") if d["kind"] == "PriorityClass"}
    assert {c.priority_class for c in read.gpu_classes.values()} <= classes
    assert read.tagger_gpu_class in read.gpu_classes and read.vllm_gpu_class in read.gpu_classes


def platform(site) -> Platform:
    """RAM++ and a vLLM server of the run's own, on the GPUs of the cluster's settings."""
    site.add("s", {"rows.jsonl": jsonl([talk(1)])})
    engines(site, own={"engine": "vllm"})
    policy(site, engine="own")
    own = site.platform().settings.model_dump(include={"home", "catalogue", "store", "exports", "workers"})
    return Platform(Settings(**own, tagger="ram_plus", kubernetes=True))


@pytest.fixture
def cluster(monkeypatch):
    for name in ("GPU_CLASSES", "TAGGER_GPU_CLASS", "TAGGER_IMAGE", "VLLM_GPU_CLASS", "VLLM_IMAGE"):
        monkeypatch.setenv(f"INFINITY_{name}", settings()[f"INFINITY_{name}"])


@pytest.mark.parametrize("job", ["ingest", "synthesize"])
def test_the_job_of_a_run_is_taken_by_a_server_and_by_its_namespace(cluster, site, tmp_path, job):
    """Lost otherwise: runs that Dagster starts and the namespace never lets in."""
    sent = launched(platform_defs(platform(site)), job, "s", tmp_path, launcher(Values(GIVEN)))
    container = _is_taken(sent)
    pod = sent["spec"]["template"]
    assert pod["spec"]["serviceAccountName"] == "infinity-run"
    assert sent["spec"]["backoffLimit"] == 0 and sent["spec"]["ttlSecondsAfterFinished"] > 0
    assert "nvidia.com/gpu" not in container["resources"]["limits"], "its shards have them"
    assert pod["spec"]["priorityClassName"] == "infinity-run"


@pytest.mark.parametrize(
    ("step_of", "image"),
    [(lambda _: None, ""), (tagging_step, "TAGGER"), (synthesis_step, "VLLM")],
    ids=["no model", "ram_plus", "vllm"],
)
def test_the_job_of_shards_is_taken_too(cluster, site, tmp_path, step_of, image):
    """Lost otherwise: heavy steps that wait for pods which no namespace lets in."""
    opened = platform(site)
    step = step_of(opened)
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))
    there = {"load_incluster_config": False, "kubeconfig_file": str(tmp_path / "kubeconfig")}
    k8s = K8sRunLauncher(**(launcher(Values(GIVEN)) | there))
    with dg.DagsterInstance.ephemeral() as opened_instance:
        run = opened_instance.create_run_for_job(_nothing)
        like_the_run = K8sContainerContext.create_for_run(run, k8s, include_run_tags=False)
    asked = _asked(step, opened.settings.worker_jobs)
    made = _template(like_the_run, "infinity-assets:0.1.0-base", run, asked, "tagged", "s")
    container = _is_taken(made)
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) == bool(image)
    if image:
        assert container["image"] == settings()[f"INFINITY_{image}_IMAGE"]
        assert made["spec"]["template"]["spec"]["priorityClassName"] == "infinity-gpu-spot"
    assert made["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


@dg.job
def _nothing() -> None: ...


def _is_taken(sent: Document) -> Document:
    """What holds of every Job of a run; its container."""
    assert refusals(sent) == []
    pod = sent["spec"]["template"]
    assert restricted(pod) == []
    assert pod["metadata"]["labels"]["infinity-assets/role"] == "run"
    (container,) = pod["spec"]["containers"]
    resources = container["resources"]
    assert set(resources["requests"]) == set(resources["limits"]) >= {"cpu", "memory"}
    claims = {c["metadata"]["name"] for c in documents(K8S / "base") if c["kind"] == "PersistentVolumeClaim"}
    assert _claims(pod["spec"]) <= claims
    paths = [mount["mountPath"] for mount in container["volumeMounts"]]
    for path in (settings()["INFINITY_HOME"], settings()["INFINITY_CATALOGUE"], "/tmp"):
        assert path in paths
    return dict(container)


def _claims(spec: Document) -> set[str]:
    found = (volume.get("persistentVolumeClaim") for volume in spec["volumes"])
    return {claim["claimName"] for claim in found if claim}


def test_pages_for_everyone_can_start_nothing():
    servers = {
        d["metadata"]["name"]: d["spec"]["template"]["spec"]["containers"][0]["command"][-1]
        for d in rendered(GIVEN)
        if d["kind"] == "Deployment" and "webserver" in d["metadata"]["name"]
    }
    assert "--read-only" in servers["infinity-webserver-read-only"]
    assert "--read-only" not in servers["infinity-webserver"]


def test_commands_of_the_pages_start_what_the_package_has():
    """Lost otherwise: pods that end with "No module named"."""
    for document in [*documents(K8S / "base"), *rendered(GIVEN)]:
        if document["kind"] != "Deployment":
            continue
        (container, *_) = document["spec"]["template"]["spec"]["containers"]
        words: list[Any] = [*container.get("args", ()), *container.get("command", ())]
        for flag, module in itertools.pairwise(words):
            if flag == "-m":
                path = ROOT / Path(*module.split("."))
                assert (path / "__main__.py").exists() or path.with_suffix(".py").exists(), module
