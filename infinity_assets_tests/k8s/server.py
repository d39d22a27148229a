"""What an API server would refuse: schemas of each version, and the rules that a server holds beside them.

The rules were seen on a server of 1.34; its schemas let every one of them pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import kubernetes_validate

Document = Mapping[str, Any]

VERSIONS = tuple(f"1.{minor}" for minor in range(30, 38))
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
ENV = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]*")
UNITS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
UNITS |= {f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTP", 1)}


def refusals(document: Document, versions: Sequence[str] = VERSIONS) -> list[str]:
    """Every reason to refuse a document; none where a server takes it."""
    found = []
    for version in versions:
        try:
            kubernetes_validate.validate(dict(document), version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{version}: {'.'.join(map(str, error.path))}: {error.message}")
    return found + list(_rules(document))


def pod_of(document: Document) -> Document | None:
    """Its pod template, or itself, where it has one."""
    if document["kind"] == "Pod":
        return document
    template: Document | None = (document.get("spec") or {}).get("template")
    return template


def amount(quantity: Any) -> float:
    match = QUANTITY.fullmatch(str(quantity))
    assert match is not None, quantity
    unit = match[2] or ""
    return float(str(quantity).removesuffix(unit)) * UNITS[unit]


def _rules(document: Document) -> Iterator[str]:
    metadata = document["metadata"]
    if not NAME.fullmatch(metadata["name"]):
        yield f"name {metadata['name']!r}"
    pod = pod_of(document)
    for labelled in (metadata, (pod or {}).get("metadata", {})):
        for key, value in (labelled.get("labels") or {}).items():
            if not LABEL.fullmatch(value):
                yield f"label {key}: {value!r}"
    if document["kind"] == "Job":
        for key in ("ttlSecondsAfterFinished", "backoffLimit"):
            if document["spec"].get(key, 0) < 0:
                yield f"{key} is negative"
        if document["spec"]["template"]["spec"].get("restartPolicy") not in {"Never", "OnFailure"}:
            yield "restartPolicy of a Job"
        yield from _indexed(metadata["name"], document["spec"])
    selector = (document.get("spec") or {}).get("selector") if document["kind"] in {"Deployment"} else None
    if selector and not selector["matchLabels"].items() <= pod["metadata"]["labels"].items():
        yield "selector does not match the template"
    if pod is not None:
        claims = (document.get("spec") or {}).get(
            "volumeClaimTemplates"
        ) or ()  # of a StatefulSet: volumes too
        yield from _pod(pod["spec"], [claim["metadata"]["name"] for claim in claims])


def _indexed(name: str, spec: Document) -> Iterator[str]:
    """What holds between the fields of a Job that counts by index."""
    completions = spec.get("completions", 1)
    by_index = spec.get("completionMode") == "Indexed"
    if by_index and not NAME.fullmatch(f"{name}-{max(completions - 1, 0)}"):
        yield f"the host name of the last index is too long: {name}-{completions - 1}"
    limited = "backoffLimitPerIndex" in spec
    if limited and not by_index:
        yield "backoffLimitPerIndex without completionMode Indexed"
    if "maxFailedIndexes" in spec and (not limited or spec["maxFailedIndexes"] > completions):
        yield "maxFailedIndexes must be less than or equal to completions, and beside backoffLimitPerIndex"
    rules = (spec.get("podFailurePolicy") or {}).get("rules") or ()
    if rules and spec["template"]["spec"].get("restartPolicy") != "Never":
        yield "podFailurePolicy without restartPolicy Never"
    for rule in rules:
        if rule["action"] == "FailIndex" and not limited:
            yield "FailIndex without backoffLimitPerIndex"
        codes = rule.get("onExitCodes")
        if (codes is None) == (rule.get("onPodConditions") is None):
            yield "a rule has either exit codes or conditions"
        if codes and (codes["values"] != sorted(set(codes["values"])) or not codes["values"]):
            yield f"exit codes of a rule: {codes['values']}"
        if codes and codes["operator"] == "In" and 0 in codes["values"]:
            yield "exit code 0 is no failure"


def _pod(spec: Document, claims: Sequence[str]) -> Iterator[str]:
    volumes = [*claims, *(volume["name"] for volume in spec.get("volumes") or ())]
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    names = [container["name"] for container in containers]
    for kind, of_kind in (("volume", volumes), ("container", names)):
        if len(of_kind) != len(set(of_kind)):
            yield f"two of one name: {kind} {sorted(of_kind)}"
    for toleration in spec.get("tolerations") or ():
        if toleration.get("operator") == "Exists" and toleration.get("value"):
            yield "toleration Exists with a value"
    for container in containers:
        if not container.get("image"):
            yield "no image"
        mounts = container.get("volumeMounts") or ()
        yield from (f"mount without volume {m['name']}" for m in mounts if m["name"] not in volumes)
        paths = [mount["mountPath"] for mount in mounts]
        if len(paths) != len(set(paths)):
            yield f"two mounts at one path: {sorted(paths)}"
        yield from (
            f"env name {e['name']}" for e in container.get("env") or () if not ENV.fullmatch(e["name"])
        )
        yield from _resources(container.get("resources") or {})


def _resources(resources: Document) -> Iterator[str]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, quantity in [*requests.items(), *limits.items()]:
        if not QUANTITY.fullmatch(str(quantity)):
            yield f"quantity {name}: {quantity!r}"
            return
    for name, quantity in requests.items():
        if name in limits and amount(quantity) > amount(limits[name]):
            yield f"request above limit: {name}"
    for name in {*requests, *limits}:
        if "/" in name:
            if name not in limits or amount(requests.get(name, limits[name])) != amount(limits[name]):
                yield f"request is not the limit: {name}"
            elif amount(limits[name]) % 1:
                yield f"a part of one: {name}"
