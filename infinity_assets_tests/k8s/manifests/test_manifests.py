"""Without these, a manifest is refused by the server, or is taken and leaves the cluster open or stuck."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infinity_assets_tests.k8s.manifests.chart import rendered
from infinity_assets_tests.k8s.manifests.files import (
    DEPLOYMENTS,
    K8S,
    ROOT,
    Document,
    documents,
    folders,
    kustomization,
    values,
)
from infinity_assets_tests.k8s.manifests.rules import (
    broken,
    chosen,
    containers,
    is_environment,
    labels_of,
    restricted,
)
from infinity_assets_tests.k8s.server import VERSIONS, amount, pod_of, refusals

CHART = rendered(values())
WORKLOADS = ("Deployment", "StatefulSet")

#: Made by hand, or by a command of the README; never a file of the project.
SECRETS = {
    "infinity-postgres",
    "infinity-object-store",
    "infinity-alerts",
    "infinity-api-keys",
    "infinity-proxy",
    "infinity-tls",
}
BY_COMMAND = {"infinity-catalogue"}


def everything() -> dict[str, list[Document]]:
    """All objects of each way to set the platform up, those of the chart too."""
    return {
        way: [*itertools.chain.from_iterable(documents(K8S / part) for part in parts), *CHART]
        for way, parts in DEPLOYMENTS.items()
    }


ALL = everything()
OBJECTS = {
    f"{where}/{document['kind']}/{document['metadata']['name']}": document
    for where, found in {
        **{folder.name: [*documents(folder)] for folder in folders()},
        "chart": CHART,
    }.items()
    for document in found
}
PODS = {name: document for name, document in OBJECTS.items() if document["kind"] in WORKLOADS}


def of(found: list[Document], kind: str) -> dict[str, Document]:
    return {d["metadata"]["name"]: d for d in found if d["kind"] == kind}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_what_a_server_of_each_version_takes(version):
    refused = {name: refusals(document, (version,)) for name, document in OBJECTS.items()}
    assert {name: why for name, why in refused.items() if why} == {}


def test_no_object_breaks_a_rule_that_the_schemas_do_not_know():
    assert {name: why for name, document in OBJECTS.items() if (why := broken(document))} == {}


def test_no_file_is_left_out_of_its_folder_and_no_folder_out_of_the_tests():
    for folder in folders():
        there = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert set(kustomization(folder)["resources"]) == there
    tested = {K8S / part for parts in DEPLOYMENTS.values() for part in parts}
    assert set(folders()) == tested


def test_no_two_objects_of_a_setup_have_one_name():
    for found in ALL.values():
        names = [(d["kind"], d["metadata"]["name"]) for d in found]
        assert len(names) == len(set(names))


def test_a_namespace_takes_no_pod_that_is_not_restricted():
    (namespace,) = of(ALL["alone"], "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_container_runs_as_root_writes_its_image_or_gains_rights():
    """Lost otherwise: pods that a restricted namespace never starts."""
    found = {name: restricted(pod_of(document)) for name, document in PODS.items()}
    assert {name: why for name, why in found.items() if why} == {}


def test_every_container_says_what_it_needs_and_how_it_is_asked_whether_it_works():
    for name, document in PODS.items():
        pod = pod_of(document)
        for container in containers(pod):
            resources = container["resources"]
            assert set(resources["requests"]) == set(resources["limits"]) >= {"cpu", "memory"}, name
            for resource in resources["requests"]:
                if "/" in resource:
                    assert resources["requests"][resource] == resources["limits"][resource], name
        for container in pod["spec"]["containers"]:
            assert {"readinessProbe", "livenessProbe"} <= set(container), (name, container["name"])


def test_every_pod_of_a_setup_has_exactly_one_budget_of_disruptions():
    for found in ALL.values():
        budgets = of(found, "PodDisruptionBudget").values()
        for document in found:
            if document["kind"] in WORKLOADS:
                mine = [b for b in budgets if chosen(b["spec"]["selector"], labels_of(document))]
                assert len(mine) == 1, document["metadata"]["name"]
                # A budget that a single replica can never meet blocks the drain of its node.
                if document["spec"].get("replicas", 1) < 2:
                    assert mine[0]["spec"].get("maxUnavailable") == 1
        for budget in budgets:
            pods = [labels_of(d) for d in found if d["kind"] in WORKLOADS]
            assert any(chosen(budget["spec"]["selector"], labels) for labels in pods)


def test_no_image_is_of_a_moving_tag_and_every_registry_can_be_put_in_front():
    images = {c["image"] for d in PODS.values() for c in containers(pod_of(d))}
    settings = of(ALL["alone"], "ConfigMap")["infinity-settings"]["data"]
    images |= {settings["INFINITY_TAGGER_IMAGE"], settings["INFINITY_VLLM_IMAGE"]}
    for image in images:
        name, _, tag = image.partition(":")
        assert tag and tag != "latest", image
        assert "." not in name and ":" not in tag, f"{image} names a host"
    assert {i for i in images if i.startswith("infinity-assets:")} == {
        f"infinity-assets:{_version()}-{target}" for target in ("base", "ram", "vllm")
    }


def _version() -> str:
    import tomllib

    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    return found


def test_no_secret_stands_in_a_file():
    for document in OBJECTS.values():
        assert document["kind"] != "Secret"
    for path in [path for path in K8S.rglob("*") if path.is_file()]:
        text = path.read_text("utf-8")
        assert not re.search(r"(?i)(AKIA[0-9A-Z]{16}|-----BEGIN|eyJ[A-Za-z0-9_-]{20,})", text), path
    for name, value in _environment():
        if re.search(r"(?i)(password|secret|token|access_key|api_key|cookie_secret)", name):
            assert "valueFrom" in value and "secretKeyRef" in value["valueFrom"], name


def _environment() -> Iterator[tuple[str, Document]]:
    for document in OBJECTS.values():
        if document["kind"] in WORKLOADS:
            for container in containers(pod_of(document)):
                yield from ((entry["name"], entry) for entry in container.get("env") or ())
        if document["kind"] == "ConfigMap":
            yield from ((name, {"value": text}) for name, text in (document.get("data") or {}).items())


def _named(tree: Any, key: str) -> Iterator[Any]:
    """Values under a key, at any depth."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                yield value
            yield from _named(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from _named(value, key)


def test_whatever_a_pod_refers_to_is_there():
    """Lost otherwise: pods that wait for ever in ContainerCreating."""
    for way, found in ALL.items():
        accounts, claims = of(found, "ServiceAccount"), of(found, "PersistentVolumeClaim")
        maps, classes = of(found, "ConfigMap"), of(found, "PriorityClass")
        for document in found:
            if document["kind"] not in WORKLOADS:
                continue
            spec = pod_of(document)["spec"]
            name = f"{way}: {document['metadata']['name']}"
            assert spec["serviceAccountName"] in accounts, name
            assert spec.get("priorityClassName", "infinity-run") in classes, name
            for claim in _named(spec, "persistentVolumeClaim"):
                assert claim["claimName"] in claims, name
            wanted = {one["name"] for key in ("configMap", "configMapRef") for one in _named(spec, key)}
            assert wanted <= {*maps, *BY_COMMAND}, name
            keys = {one["name"] for key in ("secretRef", "secretKeyRef") for one in _named(spec, key)}
            assert keys <= SECRETS, name
            for source in _named(spec, "configMapRef"):
                assert all(is_environment(key) for key in maps[source["name"]].get("data") or {})


def test_every_service_leads_to_a_port_that_a_pod_listens_on():
    for found in ALL.values():
        services = of(found, "Service")
        for name, service in services.items():
            if service["spec"].get("type") == "ExternalName":
                continue
            pods = [d for d in found if d["kind"] in WORKLOADS]
            behind = [d for d in pods if service["spec"]["selector"].items() <= labels_of(d).items()]
            assert len(behind) == 1, name
            ports = [p for c in containers(pod_of(behind[0])) for p in c.get("ports") or ()]
            for port in service["spec"]["ports"]:
                target = port.get("targetPort", port["port"])
                listening = {p["name"] for p in ports} | {p["containerPort"] for p in ports}
                assert target in listening or name == "assets", (
                    name
                )  # the chart names no port of a code server
        for ingress in of(found, "Ingress").values():
            for backend in _named(ingress, "service"):
                names = {p["name"] for p in services[backend["name"]]["spec"]["ports"]}
                assert backend["port"]["name"] in names
        for scaler in of(found, "HorizontalPodAutoscaler").values():
            assert scaler["spec"]["scaleTargetRef"]["name"] in of(found, "Deployment")
            # Applying it again would undo what the autoscaler chose.
            assert "replicas" not in of(found, "Deployment")[scaler["spec"]["scaleTargetRef"]["name"]]["spec"]


def test_claims_of_pods_fit_into_the_quota():
    """Lost otherwise: the last Deployment of a fresh cluster that never starts."""
    for found in ALL.values():
        hard = of(found, "ResourceQuota")["infinity"]["spec"]["hard"]
        (limit,) = [
            one for one in of(found, "LimitRange")["infinity"]["spec"]["limits"] if one["type"] == "Container"
        ]
        asked: dict[str, float] = {}
        for document in (d for d in found if d["kind"] in WORKLOADS):
            for container in pod_of(document)["spec"]["containers"]:
                for part in ("requests", "limits"):
                    for name, quantity in container["resources"][part].items():
                        asked[f"{part}.{name}"] = asked.get(f"{part}.{name}", 0) + amount(quantity)
                for name in ("cpu", "memory"):
                    assert amount(container["resources"]["limits"][name]) <= amount(limit["max"][name])
        for name, most in hard.items():
            assert asked.get(name, 0) <= amount(most), name
        storage = sum(
            amount(one["spec"]["resources"]["requests"]["storage"])
            for one in of(found, "PersistentVolumeClaim").values()
        )
        assert storage <= amount(hard["requests.storage"])


def test_work_gives_way_to_what_serves_and_takes_nobody_s_place():
    """Lost otherwise: a backfill that pushes out the daemon that started it."""
    classes = of(ALL["alone"], "PriorityClass")
    spot, run, serving = (classes[f"infinity-{name}"] for name in ("gpu-spot", "run", "serving"))
    of_the_chart = 0  # its pods have no class, and there is no value for one
    assert not any("priorityClassName" in pod_of(d)["spec"] for d in CHART if d["kind"] in WORKLOADS)
    expendable = -10  # below, a cluster autoscaler makes no node for a pod
    assert expendable < spot["value"] < run["value"] < of_the_chart < serving["value"]
    assert {spot["preemptionPolicy"], run["preemptionPolicy"]} == {"Never"}
    for document in PODS.values():
        spec = pod_of(document)["spec"]
        if "nvidia.com/gpu" in str(spec["containers"]):
            assert spec["priorityClassName"] == "infinity-gpu-spot"
            assert any(toleration["key"] == "nvidia.com/gpu" for toleration in spec["tolerations"])


BROKEN: dict[str, tuple[str, tuple[Any, ...], Any]] = {
    "port name too long": ("base/Deployment/infinity-samples", ("ports", 0, "name"), "a-very-long-name"),
    "probe of no port": ("base/Deployment/infinity-samples", ("readinessProbe", "httpGet", "port"), "other"),
    "liveness that must succeed twice": (
        "base/Deployment/infinity-samples",
        ("livenessProbe", "successThreshold"),
        2,
    ),
    "privileges": ("base/Deployment/infinity-samples", ("securityContext", "allowPrivilegeEscalation"), True),
    "root": ("base/Deployment/infinity-samples", ("securityContext", "runAsUser"), 0),
    "capabilities": (
        "base/Deployment/infinity-samples",
        ("securityContext", "capabilities"),
        {"add": ["SYS_ADMIN"]},
    ),
    "writes": ("base/Deployment/infinity-samples", ("securityContext", "readOnlyRootFilesystem"), False),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_pod_that_a_server_or_a_namespace_refuses_is_refused_here(name):
    """Lost otherwise: checks that let everything pass."""
    which, path, value = BROKEN[name]
    document = copy.deepcopy(PODS[which])
    at: Any = pod_of(document)["spec"]["containers"][0]
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    assert [*broken(document), *restricted(pod_of(document))] != []


WRONG: dict[str, str] = {
    "budget of both": "PodDisruptionBudget: {spec: {minAvailable: 1, maxUnavailable: 1}}",
    "block beside a selector": "NetworkPolicy: {spec: {policyTypes: [Egress], egress: "
    "[{to: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}}",
    "hole outside of its block": "NetworkPolicy: {spec: {policyTypes: [Egress], egress: "
    "[{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]}}",
    "direction without type": "NetworkPolicy: {spec: {policyTypes: [Ingress], egress: []}}",
    "end below start": "NetworkPolicy: {spec: {policyTypes: [Egress], egress: "
    "[{ports: [{port: 9, endPort: 8}]}]}}",
    "default above max": "LimitRange: {spec: {limits: [{type: Pod, default: {cpu: '2'}, max: {cpu: '1'}}]}}",
    "quota of limits of GPUs": "ResourceQuota: {spec: {hard: {limits.nvidia.com/gpu: '1'}}}",
    "more than most": "HorizontalPodAutoscaler: {spec: {minReplicas: 3, maxReplicas: 2}}",
    "priority of the system": "PriorityClass: {value: 2000000000}",
    "number as setting": "ConfigMap: {data: {A: 1}}",
    "account without namespace": "RoleBinding: {subjects: [{kind: ServiceAccount, name: a}]}",
    "two ports of one name": "Service: {spec: {ports: [{name: a, port: 1}, {name: a, port: 2}]}}",
    "host with upper case": "Ingress: {spec: {rules: [{host: A.example.com, http: {paths: []}}]}}",
}


@pytest.mark.parametrize("name", WRONG)
def test_an_object_that_a_server_refuses_is_refused_here(name):
    ((kind, rest),) = yaml.safe_load(WRONG[name]).items()
    document = {"kind": kind, "metadata": {"name": "a", "namespace": "infinity"}, **rest}
    assert broken(document) != []


def test_manifests_are_yaml_that_every_reader_reads_alike():
    """Anchors across documents, tabs and duplicate keys are read differently, or not at all."""
    for path in sorted(Path(K8S).rglob("*.yaml")):
        text = path.read_text("utf-8")
        assert "\t" not in text and text.endswith("\n") and not text.endswith("\n\n"), path
        for node in yaml.compose_all(text):
            for mapping in _mappings(node):
                keys = [key.value for key, _ in mapping.value]
                assert len(keys) == len(set(keys)), (path, keys)


def _mappings(node: Any) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value)
