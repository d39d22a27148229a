"""``dagster.yaml`` as Dagster's chart 1.13.27 makes it of values."""

from __future__ import annotations

from infinity_assets_tests.k8s.manifests.files import NAMESPACE, Document
from infinity_assets_tests.k8s.manifests.given import Values


def instance(values: Values) -> Document:
    """``dagster.yaml`` of the release."""
    postgres = values.below("postgresql")
    if postgres("enabled", default=True):
        raise ValueError("the chart's own database takes its password from values")
    database = {
        "postgres_db": {
            "username": postgres("postgresqlUsername"),
            "password": {"env": "DAGSTER_PG_PASSWORD"},
            "hostname": postgres("postgresqlHost"),
            "db_name": postgres("postgresqlDatabase"),
            "port": postgres("service", "port"),
            "params": postgres("postgresqlParams"),
        }
    }
    storages = {
        "schedule_storage": ("schedule_storage", "PostgresScheduleStorage"),
        "run_storage": ("run_storage", "PostgresRunStorage"),
        "event_log_storage": ("event_log", "PostgresEventLogStorage"),
    }
    found: Document = {
        "scheduler": {"module": "dagster.core.scheduler", "class": "DagsterDaemonScheduler"},
        "run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": launcher(values)},
        "telemetry": {"enabled": values("telemetry", "enabled")},
    }
    for key, (module, name) in storages.items():
        found[key] = {"module": f"dagster_postgres.{module}", "class": name, "config": database}
    if values("computeLogManager", "type") != "NoOpComputeLogManager":
        raise ValueError("other compute log managers need packages that the image does not have")
    found["compute_logs"] = {
        "module": "dagster.core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
    daemon = values.below("dagsterDaemon")
    if daemon("runCoordinator", "enabled", default=True):  # the chart's own values limit runs here as well
        config = {"max_concurrent_runs": -1, "dequeue_use_threads": True}
        coordinator = {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"}
        found["run_coordinator"] = {**coordinator, "config": config}
    found["run_monitoring"] = _snake(daemon, "runMonitoring")
    found["run_retries"] = _snake(daemon, "runRetries")
    if values("concurrency", "enabled"):
        concurrency = values.below("concurrency")
        found["concurrency"] = {key: _snake(concurrency, key) for key in ("pools", "runs")}
    if values("retention", "enabled"):
        kinds = {"schedule": "schedule", "sensor": "sensor", "autoMaterialize": "auto_materialize"}
        found["retention"] = {
            snake: {"purge_after_days": values("retention", camel, "purgeAfterDays")}
            for camel, snake in kinds.items()
        }
    return found


#: Names of settings that the templates of the instance know.
_SETTINGS = {
    "runMonitoring": {
        "enabled": "enabled",
        "startTimeoutSeconds": "start_timeout_seconds",
        "cancelTimeoutSeconds": "cancel_timeout_seconds",
        "maxResumeRunAttempts": "max_resume_run_attempts",
        "pollIntervalSeconds": "poll_interval_seconds",
        "freeSlotsAfterRunEndSeconds": "free_slots_after_run_end_seconds",
    },
    "runRetries": {
        "enabled": "enabled",
        "maxRetries": "max_retries",
        "retryOnAssetOrOpFailure": "retry_on_asset_or_op_failure",
    },
    "pools": {
        "defaultLimit": "default_limit",
        "granularity": "granularity",
        "opGranularityRunBuffer": "op_granularity_run_buffer",
    },
    "runs": {
        "maxConcurrentRuns": "max_concurrent_runs",
        "tagConcurrencyLimits": "tag_concurrency_limits",
    },
}


def _snake(part: Values, key: str) -> Document:
    found = {name: part(key, camel) for camel, name in _SETTINGS[key].items()}
    return {name: value for name, value in found.items() if value is not None}


def launcher(values: Values) -> Document:
    """The settings of ``K8sRunLauncher``."""
    if values("runLauncher", "type") != "K8sRunLauncher":
        raise ValueError("runs are Jobs")
    config = values.below("runLauncher", "config", "k8sRunLauncher")
    plain = {
        "load_incluster_config": config("loadInclusterConfig"),
        "job_namespace": config("jobNamespace", default=NAMESPACE),
        "image_pull_policy": config("imagePullPolicy"),
        "service_account_name": values("serviceAccount", "name"),
        "dagster_home": values("global", "dagsterHome"),
        "instance_config_map": f"{values('global', 'fullnameOverride')}-instance",
        "postgres_password_secret": values("global", "postgresqlSecretName"),
        "env_config_maps": [one["name"] for one in config("envConfigMaps", default=[])],
        "env_secrets": [one["name"] for one in config("envSecrets", default=[])],
        "env_vars": config("envVars"),
        "volume_mounts": config("volumeMounts"),
        "volumes": config("volumes"),
        "labels": config("labels"),
        "resources": config("resources"),
        "security_context": config("securityContext"),
    }
    parts = {
        "containerConfig": "container_config",
        "podSpecConfig": "pod_spec_config",
        "podTemplateSpecMetadata": "pod_template_spec_metadata",
        "jobSpecConfig": "job_spec_config",
        "jobMetadata": "job_metadata",
    }
    run = {snake: config("runK8sConfig", camel) for camel, snake in parts.items()}
    plain["run_k8s_config"] = {key: value for key, value in run.items() if value is not None}
    return {key: value for key, value in plain.items() if value is not None}
