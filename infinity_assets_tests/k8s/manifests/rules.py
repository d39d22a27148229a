"""What a server refuses of manifests though the schemas let it pass, for the kinds of ``k8s/``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from infinity_assets_tests.k8s.manifests.files import CLUSTER_WIDE, Document
from infinity_assets_tests.k8s.server import ENV, LABEL, amount, pod_of

PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
HOST = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
KEY = re.compile(r"[-._a-zA-Z0-9]+")
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")


def broken(document: Document) -> list[str]:
    """Every rule of its kind that a document breaks."""
    found = [*_pods(document)]
    special = _BY_KIND.get(document["kind"])
    if special is not None:
        found += special(document)
    if document["kind"] not in CLUSTER_WIDE and not document["metadata"].get("namespace"):
        found.append("no namespace")
    return found


def containers(pod: Mapping[str, Any]) -> list[Document]:
    """All of a pod's, those that run first too."""
    return [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]


def chosen(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes something with these labels; an empty one takes all."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or ():
        value, operator = labels.get(rule["key"]), rule["operator"]
        fits = {
            "In": value in rule.get("values", ()),
            "NotIn": value not in rule.get("values", ()),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not fits[operator]:
            return False
    return True


def _pods(document: Document) -> Iterator[str]:
    pod = pod_of(document)
    if pod is None:
        return
    selector = document["spec"].get("selector")
    if selector is not None and not chosen(selector, pod["metadata"]["labels"]):
        yield "selector does not match the template"
    ports: dict[str, int] = {}
    for container in containers(pod):
        for port in container.get("ports") or ():
            if not PORT_NAME.fullmatch(port["name"]):
                yield f"port name {port['name']}"
            if port["name"] in ports:
                yield f"two ports of one name: {port['name']}"
            ports[port["name"]] = port["containerPort"]
        for kind in ("readinessProbe", "livenessProbe", "startupProbe"):
            if kind in container:
                yield from _probe(kind, container[kind], {p["name"] for p in container.get("ports") or ()})


def _probe(kind: str, probe: Mapping[str, Any], ports: set[str]) -> Iterator[str]:
    handlers = [handler for handler in HANDLERS if handler in probe]
    if len(handlers) != 1:
        yield f"{kind}: {len(handlers)} handlers"
    port = (probe.get("httpGet") or {}).get("port")
    if isinstance(port, str) and port not in ports:
        yield f"{kind}: no port {port}"
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield f"{kind}: successThreshold must be 1"


def _service(document: Document) -> Iterator[str]:
    spec = document["spec"]
    if spec.get("type") == "ExternalName":
        if not HOST.fullmatch(spec.get("externalName", "")) or "clusterIP" in spec:
            yield "externalName"
        return
    names = [port.get("name") for port in spec["ports"]]
    if len(names) != len(set(names)) or not all(PORT_NAME.fullmatch(str(name)) for name in names):
        yield f"names of ports: {names}"


def _budget(document: Document) -> Iterator[str]:
    if ("minAvailable" in document["spec"]) == ("maxUnavailable" in document["spec"]):
        yield "one of minAvailable and maxUnavailable"


def _policy(document: Document) -> Iterator[str]:
    spec = document["spec"]
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(direction) or ():
            for peer in rule.get(peers) or ():
                block = peer.get("ipBlock")
                if block is None:
                    continue
                if len(peer) > 1:
                    yield "ipBlock beside a selector"
                network = ipaddress.ip_network(block["cidr"])
                inner = [ipaddress.ip_network(cidr) for cidr in block.get("except", ())]
                if not all(one.subnet_of(network) and one != network for one in inner):  # type: ignore[arg-type]
                    yield "except outside of the cidr"
            for port in rule.get("ports") or ():
                if "endPort" in port and not (
                    isinstance(port["port"], int) and port["endPort"] >= port["port"]
                ):
                    yield "endPort"
        if direction in spec and direction.capitalize() not in spec["policyTypes"]:
            yield f"{direction} without its policyType"


def _quota(document: Document) -> Iterator[str]:
    yield from _amounts(document["spec"]["hard"])
    for name in document["spec"]["hard"]:
        if name.startswith("limits.") and "/" in name:
            yield f"an extended resource has a quota of requests alone: {name}"


def _ranges(document: Document) -> Iterator[str]:
    for limit in document["spec"]["limits"]:
        for part in ("default", "defaultRequest", "max", "min"):
            yield from _amounts(limit.get(part) or {})
        for name, most in (limit.get("max") or {}).items():
            given = amount(limit.get("default", {}).get(name, "0"))
            asked = amount(limit.get("defaultRequest", {}).get(name, "0"))
            if not asked <= given <= amount(most):
                yield f"defaultRequest <= default <= max does not hold of {name}"


def _amounts(quantities: Mapping[str, Any]) -> Iterator[str]:
    for name, quantity in quantities.items():
        if not isinstance(quantity, str) or amount(quantity) < 0:
            yield f"quantity {name}: {quantity!r}"


def _scaler(document: Document) -> Iterator[str]:
    spec = document["spec"]
    if not 1 <= spec.get("minReplicas", 1) <= spec["maxReplicas"]:
        yield "minReplicas above maxReplicas"
    for behaviour in (spec.get("behavior") or {}).values():
        if not 0 <= behaviour.get("stabilizationWindowSeconds", 0) <= 3600:
            yield "stabilizationWindowSeconds"
        if not all(
            0 < p["periodSeconds"] <= 1800 and p["value"] > 0 for p in behaviour.get("policies") or ()
        ):
            yield "policies of scaling"


def _priority(document: Document) -> Iterator[str]:
    if document["value"] > 1_000_000_000 or document["metadata"]["name"].startswith("system-"):
        yield "a priority of the system"


def _ingress(document: Document) -> Iterator[str]:
    for rule in document["spec"]["rules"]:
        if not HOST.fullmatch(rule["host"]):
            yield f"host {rule['host']}"
        for path in rule["http"]["paths"]:
            if path["pathType"] not in {"Prefix", "Exact", "ImplementationSpecific"}:
                yield f"pathType {path['pathType']}"
            if not path["path"].startswith("/"):
                yield f"path {path['path']}"


def _settings(document: Document) -> Iterator[str]:
    for key, value in (document.get("data") or {}).items():
        if not KEY.fullmatch(key) or not isinstance(value, str):
            yield f"entry {key}"


def _binding(document: Document) -> Iterator[str]:
    for subject in document["subjects"]:
        if subject["kind"] == "ServiceAccount" and not subject.get("namespace"):
            yield f"subject {subject['name']} without namespace"


def _stateful(document: Document) -> Iterator[str]:
    for claim in document["spec"].get("volumeClaimTemplates") or ():
        yield from _amounts(claim["spec"]["resources"]["requests"])


_BY_KIND: Mapping[str, Callable[[Document], Iterator[str]]] = {
    "ConfigMap": _settings,
    "HorizontalPodAutoscaler": _scaler,
    "Ingress": _ingress,
    "LimitRange": _ranges,
    "NetworkPolicy": _policy,
    "PodDisruptionBudget": _budget,
    "PriorityClass": _priority,
    "ResourceQuota": _quota,
    "RoleBinding": _binding,
    "Service": _service,
    "StatefulSet": _stateful,
}


def restricted(pod: Mapping[str, Any]) -> list[str]:
    """What the Pod Security Standard "restricted" and this project's own rules refuse of a pod."""
    return [*_restricted(pod)]


def _restricted(pod: Mapping[str, Any]) -> Iterator[str]:
    spec = pod["spec"]
    shared = spec.get("securityContext") or {}
    for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(forbidden):
            yield forbidden
    if (shared.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
        yield "seccomp is not RuntimeDefault"
    if shared.get("runAsNonRoot") is not True or not shared.get("runAsUser"):
        yield "may run as root"
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    for volume in spec.get("volumes") or ():
        if not set(volume) - {"name"} <= allowed:
            yield f"volume {volume['name']}"
    for container in containers(pod):
        name, own = container["name"], container.get("securityContext") or {}
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            yield f"{name} may gain privileges"
        if (own.get("capabilities") or {}) != {"drop": ["ALL"]}:
            yield f"{name} keeps capabilities"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{name} may write its image"
        if own.get("runAsNonRoot") is False or own.get("runAsUser") == 0:
            yield f"{name} runs as root"
        if any("hostPort" in port for port in container.get("ports") or ()):
            yield f"{name} takes a port of its node"


def labels_of(document: Document) -> dict[str, str]:
    """Labels of its pods; all valid."""
    pod = pod_of(document)
    assert pod is not None
    found: dict[str, str] = pod["metadata"]["labels"]
    assert all(LABEL.fullmatch(value) for value in found.values())
    return found


def is_environment(name: str) -> bool:
    """Whether a key can be a variable."""
    return bool(ENV.fullmatch(name))
