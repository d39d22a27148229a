"""What Dagster's chart 1.13.27 makes of values, as its templates do: the chart itself cannot be had in CI.

Only what this project turns on is here. Every value that is given must be used: a key that no template reads
does nothing in the chart, and is an error here. Where ``helm`` is at hand, ``INFINITY_TEST_CHART`` names
the chart, and ``helm template`` takes the place of this module.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from infinity_assets_tests.k8s.manifests.files import NAMESPACE, Document
from infinity_assets_tests.k8s.manifests.given import Values
from infinity_assets_tests.k8s.manifests.instance import instance

RELEASE = "infinity"
CHART = "1.13.27"


def rendered(tree: Mapping[str, Any]) -> list[Document]:
    """All objects of the release.

    Raises:
        ValueError: if a value has no effect.
    """
    chart = os.environ.get("INFINITY_TEST_CHART")
    if chart:
        command = [
            "helm",
            "template",
            RELEASE,
            chart,
            "--namespace",
            NAMESPACE,
            "--skip-tests",
            "--values",
            "-",
        ]
        told = subprocess.run(
            command, input=yaml.safe_dump(dict(tree)), capture_output=True, text=True, check=True
        )
        made = [document for document in yaml.safe_load_all(told.stdout) if document]
        for document in made:  # helm names the namespace to the server, not in the objects
            document["metadata"].setdefault("namespace", NAMESPACE)
        return made
    given = Values(tree)
    found = [*_render(given)]
    if unread := given.unread():
        raise ValueError(f"the chart reads no such values: {unread}")
    return found


def _render(values: Values) -> Iterator[Document]:
    fullname = values("global", "fullnameOverride") or f"{RELEASE}-dagster"
    secret = values("global", "postgresqlSecretName")
    account = values("global", "serviceAccountName") or values("serviceAccount", "name")
    if values("rbacEnabled", default=True) or values("serviceAccount", "create", default=True):
        raise ValueError("accounts and roles are this project's own")
    for name in ("rabbitmq", "redis", "flower"):
        if values(name, "enabled", default=name == "rabbitmq"):
            raise ValueError(f"{name} is not needed")
    if values("generatePostgresqlPasswordSecret", default=True) or values("postgresql", "postgresqlPassword"):
        raise ValueError("a password in values")
    values("generateCeleryConfigSecret")
    home = values("global", "dagsterHome")
    yield _config_map(f"{fullname}-instance", {"dagster.yaml": yaml.safe_dump(instance(values))})
    users = values.below("dagster-user-deployments")
    codes = [_code_server(fullname, secret, users, one) for one in users.each("deployments")]
    servers = [{"grpc_server": s} for s in (code[-1] for code in codes)]
    yield _config_map(
        f"{fullname}-workspace-yaml", {"workspace.yaml": yaml.safe_dump({"load_from": servers})}
    )
    environment = {"DAGSTER_HOME": home, "DAGSTER_K8S_PIPELINE_RUN_NAMESPACE": NAMESPACE}
    for name in ("webserver-env", "daemon-env", "user-deployments-shared-env", "pipeline-env"):
        yield _config_map(f"{fullname}-{name}", environment)
    for code in codes:
        yield from code[:-1]
    web = values.below("dagsterWebserver")
    for kind in ("", "-read-only") if web("enableReadOnly") else ("",):
        name = f"{RELEASE}-{web('nameOverride')}{kind}"
        port = web("service", "port")
        flag = " --read-only" if kind else ""
        command = f"dagster-webserver -h 0.0.0.0 -p {port} -w /dagster-workspace/workspace.yaml{flag}"
        labels = {**_selector("dagster"), "component": f"dagster-webserver{kind}"}
        pod = _pod(values, web, fullname, secret, account, command, "webserver")
        pod["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": port, "protocol": "TCP"}]
        yield _deployment(name, web("replicaCount"), labels, pod)
        yield _service(name, web("service", "type"), port, "http", labels)
    daemon = values.below("dagsterDaemon")
    labels = {**_selector("dagster"), "component": "dagster-daemon", "deployment": "daemon"}
    command = "dagster-daemon run -w /dagster-workspace/workspace.yaml"
    pod = _pod(values, daemon, fullname, secret, account, command, "daemon")
    tolerance = str(daemon("heartbeatTolerance"))
    pod["spec"]["containers"][0]["env"].append(
        {"name": "DAGSTER_DAEMON_HEARTBEAT_TOLERANCE", "value": tolerance}
    )
    yield _deployment(f"{fullname}-daemon", 1, labels, pod)


def _pod(
    values: Values, part: Values, fullname: str, secret: str, account: str, command: str, name: str
) -> Document:
    """Of a webserver or the daemon: both wait for the database and for the names of the code servers."""
    security, resources = part("securityContext"), part("initContainerResources")
    postgres = values.below("postgresql")
    host, port, user = postgres("postgresqlHost"), postgres("service", "port"), postgres("postgresqlUsername")
    ready = f"until pg_isready -h {host} -p {port} -U {user}; do echo waiting for database; sleep 2; done;"
    waits = [("check-db-ready", postgres.below("image"), ready)]
    for one in values.below("dagster-user-deployments").each("deployments"):
        looked = f"until nslookup {one('name')}; do echo waiting for user service; sleep 2; done"
        waits.append((f"init-user-deployment-{one('name')}", values.below("busybox", "image"), looked))
    container = {
        "name": "dagster",
        "securityContext": security,
        "image": _image(part.below("image")),
        "imagePullPolicy": part("image", "pullPolicy"),
        "command": ["/bin/bash", "-c", command],
        "env": [_password(secret), *part("env", default=[])],
        "envFrom": [
            {"configMapRef": {"name": f"{fullname}-{name}-env"}},
            *({"configMapRef": one} for one in part("envConfigMaps", default=[])),
            *({"secretRef": one} for one in part("envSecrets", default=[])),
        ],
        "volumeMounts": [
            {
                "name": "dagster-instance",
                "mountPath": f"{values('global', 'dagsterHome')}/dagster.yaml",
                "subPath": "dagster.yaml",
            },
            {"name": "dagster-workspace-yaml", "mountPath": "/dagster-workspace/"},
            *part("volumeMounts", default=[]),
        ],
        "resources": part("resources"),
        **_probes(part, lambda _, probe: probe),
    }
    maps = (("dagster-instance", "instance"), ("dagster-workspace-yaml", "workspace-yaml"))
    return {
        "metadata": {"labels": dict(part("labels", default={}))},
        "spec": {
            "serviceAccountName": account,
            "securityContext": part("podSecurityContext"),
            "initContainers": [
                {
                    "name": waits_for,
                    "image": _image(image),
                    **({"imagePullPolicy": policy} if (policy := image("pullPolicy")) else {}),
                    "command": ["sh", "-c", script],
                    "securityContext": security,
                    "resources": resources,
                }
                for waits_for, image, script in waits
            ],
            "containers": [container],
            "volumes": [
                *({"name": n, "configMap": {"name": f"{fullname}-{m}"}} for n, m in maps),
                *part("volumes", default=[]),
            ],
        },
    }


def _code_server(fullname: str, secret: str, users: Values, one: Values) -> list[Document]:
    """Its objects, and last its entry of ``workspace.yaml``."""
    if not (users("enabled") and users("enableSubchart")) or users("rbacEnabled", default=True):
        raise ValueError("the code server is a Deployment of the release, without a role")
    if users("serviceAccount", "create", default=True) or one("includeConfigInLaunchedRuns", "enabled"):
        raise ValueError("runs are described under runLauncher alone")
    name, port = one("name"), one("port")
    labels = {**_selector("dagster-user-deployments"), "component": "user-deployments", "deployment": name}
    check = {"exec": {"command": ["dagster", "api", "grpc-health-check", "-p", str(port)]}}
    container = {
        "name": "dagster-user-deployments",
        "securityContext": one("securityContext"),
        "image": _image(one.below("image")),
        "imagePullPolicy": one("image", "pullPolicy"),
        "args": ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", str(port), *one("dagsterApiGrpcArgs")],
        "env": [
            {"name": "DAGSTER_CURRENT_IMAGE", "value": _image(one.below("image"))},
            _password(secret),
            *one("env", default=[]),
        ],
        "envFrom": [
            {"configMapRef": {"name": f"{fullname}-user-deployments-shared-env"}},
            {"configMapRef": {"name": f"{fullname}-{name}-user-env"}},
            *({"configMapRef": source} for source in one("envConfigMaps", default=[])),
            *({"secretRef": source} for source in one("envSecrets", default=[])),
        ],
        "resources": one("resources"),
        "volumeMounts": one("volumeMounts", default=[]),
        **_probes(one, lambda _, probe: probe if "exec" in probe else {**probe, **check}),
    }
    pod = {
        "metadata": {"labels": dict(one("labels", default={}))},
        "spec": {
            "serviceAccountName": users("serviceAccount", "name"),
            "automountServiceAccountToken": True,
            "securityContext": one("podSecurityContext"),
            "containers": [container],
            "volumes": one("volumes", default=[]),
        },
    }
    return [
        _config_map(f"{fullname}-{name}-user-env", {}),
        _deployment(f"{fullname}-{name}", 1, labels, pod),
        _service(name, "ClusterIP", port, "grpc", labels),
        {"host": name, "port": port, "location_name": name},
    ]


def _probes(part: Values, made: Any) -> Document:
    found = {}
    for kind in ("readinessProbe", "livenessProbe", "startupProbe"):
        probe = dict(part(kind, default={}))
        if probe.pop("enabled", kind != "startupProbe"):
            found[kind] = made(kind, probe)
    return found


def _password(secret: str) -> Document:
    source = {"secretKeyRef": {"name": secret, "key": "postgresql-password"}}
    return {"name": "DAGSTER_PG_PASSWORD", "valueFrom": source}


def _image(image: Values) -> str:
    return f"{image('repository')}:{image('tag', default=CHART)}"


def _selector(chart: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": chart, "app.kubernetes.io/instance": RELEASE}


def _config_map(name: str, data: Mapping[str, str]) -> Document:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _named(name), "data": dict(data)}


def _deployment(name: str, replicas: int, labels: Mapping[str, str], pod: Document) -> Document:
    pod["metadata"]["labels"] = {**labels, **pod["metadata"]["labels"]}
    spec = {"replicas": replicas, "selector": {"matchLabels": dict(labels)}, "template": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _named(name), "spec": spec}


def _service(name: str, kind: str, port: int, called: str, labels: Mapping[str, str]) -> Document:
    ports = [{"port": port, "protocol": "TCP", "name": called}]
    spec = {"type": kind, "ports": ports, "selector": dict(labels)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _named(name), "spec": spec}


def _named(name: str) -> Document:
    return {"name": name, "namespace": NAMESPACE}
