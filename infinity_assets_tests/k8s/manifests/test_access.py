"""Without these, a pod may do or reach more than its code asks for, or less."""

from __future__ import annotations

import inspect
import ipaddress
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster_k8s
import pytest

from infinity_assets.kubernetes.api import Cluster
from infinity_assets_tests.k8s.manifests.chart import rendered
from infinity_assets_tests.k8s.manifests.files import DEPLOYMENTS, K8S, ROOT, Document, documents, values
from infinity_assets_tests.k8s.manifests.given import Values
from infinity_assets_tests.k8s.manifests.instance import launcher
from infinity_assets_tests.k8s.manifests.rules import chosen, containers, labels_of
from infinity_assets_tests.k8s.server import pod_of

BASE = [*documents(K8S / "base")]
CHART = rendered(values())

#: Methods of the client -> what the server asks a role for.
CALL = re.compile(r"\.(create|read|list|delete|patch|replace)_namespaced_(job|pod|event)(_log|_status)?\b")
VERBS = {"read": "get", "replace": "update"}

#: Of dagster-k8s: what K8sRunLauncher uses, and what renders and watches its Jobs.
LAUNCHER = ("client.py", "launcher.py")


def called(text: str) -> set[tuple[str, str]]:
    """(resource, verb) of every call in a piece of code."""
    found = set()
    for verb, kind, part in CALL.findall(text):
        resource = {"_log": "pods/log", "_status": f"{kind}s/status"}.get(part, f"{kind}s")
        found.add((resource, VERBS.get(verb, verb)))
    return found


def calls(*files: Path) -> set[tuple[str, str]]:
    """Of some modules."""
    return {call for path in files for call in called(path.read_text("utf-8"))}


def role(name: str) -> set[tuple[str, str]]:
    (found,) = [d for d in BASE if d["kind"] == "Role" and d["metadata"]["name"] == name]
    return {(r, v) for rule in found["rules"] for r in rule["resources"] for v in rule["verbs"]}


def test_a_role_allows_the_calls_that_the_code_makes_and_no_other():
    folder = Path(dagster_k8s.__file__).parent
    ours = calls(*(ROOT / "infinity_assets").rglob("*.py"))
    theirs = calls(*(folder / name for name in LAUNCHER))
    assert {("jobs", "create"), ("pods/log", "get")} <= theirs
    assert role("infinity-jobs") == theirs | ours


def test_the_sensor_of_the_code_server_may_do_what_it_does_and_no_more():
    """Lost otherwise: Jobs, and their GPUs, that work for nobody."""
    sensor = (ROOT / "infinity_assets" / "automation" / "reaper.py").read_text("utf-8")
    methods = set(re.findall(r"\bcluster\.(\w+)\(", sensor))
    made = {call for name in methods for call in called(inspect.getsource(getattr(Cluster, name)))}
    assert made and role("infinity-reaper") == made
    (bound,) = [d for d in BASE if d["kind"] == "RoleBinding" and d["metadata"]["name"] == "infinity-reaper"]
    account = values()["dagster-user-deployments"]["serviceAccount"]["name"]
    assert [s["name"] for s in bound["subjects"]] == [account]


def test_roles_name_what_they_allow_and_lie_in_the_namespace():
    for document in [*BASE, *CHART]:
        assert document["kind"] not in {"ClusterRole", "ClusterRoleBinding"}
        for rule in document.get("rules") or ():
            assert "*" not in str(rule)
            assert not {"secrets", "serviceaccounts", "roles"} & set(rule["resources"])
            groups = {"jobs": "batch", "jobs/status": "batch"}
            assert rule["apiGroups"] == sorted({groups.get(r, "") for r in rule["resources"]})


def test_only_accounts_with_a_role_get_a_token():
    bound = {s["name"] for d in BASE if d["kind"] == "RoleBinding" for s in d["subjects"]}
    accounts = {d["metadata"]["name"]: d for d in BASE if d["kind"] == "ServiceAccount"}
    assert bound <= set(accounts)
    for parts in DEPLOYMENTS.values():
        for document in itertools.chain.from_iterable(documents(K8S / part) for part in parts):
            if document["kind"] in {"Deployment", "StatefulSet"}:
                spec = pod_of(document)["spec"]
                assert spec["serviceAccountName"] not in bound
                assert spec["automountServiceAccountToken"] is False
    assert accounts["infinity-plain"]["automountServiceAccountToken"] is False


class Network:
    """What the policies of a setup let through."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        found = [*itertools.chain.from_iterable(documents(K8S / part) for part in parts), *CHART]
        self.policies = [d for d in found if d["kind"] == "NetworkPolicy"]
        self.pods: dict[str, tuple[dict[str, str], set[int]]] = {}
        for document in found:
            if document["kind"] in {"Deployment", "StatefulSet"}:
                ports = {p["containerPort"] for c in containers(pod_of(document)) for p in c.get("ports", ())}
                ports |= {3030} if "user-deployments" in str(labels_of(document)) else set()
                self.pods[document["metadata"]["name"]] = (labels_of(document), ports)
        run = launcher(Values(values()))["run_k8s_config"]["pod_template_spec_metadata"]["labels"]
        self.pods["run"] = (run, set())

    def passes(self, source: str, target: str, port: int) -> bool:
        """Whether one pod reaches another."""
        (sender, _), (receiver, _) = self.pods[source], self.pods[target]
        return all(
            any(
                _port(rule, port) and any(chosen(p["podSelector"], peer) for p in rule[key] if _near(p))
                for rule in self._rules(labels, direction)
            )
            for labels, peer, direction, key in (
                (sender, receiver, "egress", "to"),
                (receiver, sender, "ingress", "from"),
            )
        )

    def leaves(self, source: str, address: str, port: int) -> bool:
        """Whether a pod reaches an address outside of the cluster."""
        return any(
            _port(rule, port) and any(_inside(peer.get("ipBlock"), address) for peer in rule["to"])
            for rule in self._rules(self.pods[source][0], "egress")
        )

    def _rules(self, labels: Mapping[str, str], direction: str) -> Iterator[Document]:
        mine = [p["spec"] for p in self.policies if chosen(p["spec"]["podSelector"], labels)]
        assert any(direction.capitalize() in spec["policyTypes"] for spec in mine), "a pod without a policy"
        for spec in mine:
            yield from spec.get(direction) or ()


def _near(peer: Mapping[str, Any]) -> bool:
    return "podSelector" in peer and "namespaceSelector" not in peer


def _port(rule: Mapping[str, Any], port: int) -> bool:
    return any(p["port"] <= port <= p.get("endPort", p["port"]) for p in rule["ports"])


def _inside(block: Mapping[str, Any] | None, address: str) -> bool:
    if block is None:
        return False
    ip = ipaddress.ip_address(address)
    return ip in ipaddress.ip_network(block["cidr"]) and not any(
        ip in ipaddress.ip_network(hole) for hole in block.get("except", ())
    )


WHOLE = Network(DEPLOYMENTS["whole"])

#: Who speaks to whom; nothing else does.
CONNECTIONS = {
    *(
        ("infinity-" + name, "infinity-assets", 3030)
        for name in ("webserver", "webserver-read-only", "daemon")
    ),
    *(
        (name, "infinity-postgres", 5432)
        for name in (
            "run",
            *(f"infinity-{n}" for n in ("webserver", "webserver-read-only", "daemon", "assets")),
        )
    ),
    ("run", "infinity-vllm", 8000),
    ("infinity-proxy", "infinity-webserver", 3000),
    ("infinity-proxy", "infinity-webserver-read-only", 3000),
    ("infinity-proxy", "infinity-samples", 3001),
    ("infinity-proxy", "infinity-dashboard", 3002),
}


def test_pods_reach_those_that_they_need_and_no_others():
    """Lost otherwise: a cluster where everything hangs, or one where a page reaches the database."""
    pairs = itertools.product(WHOLE.pods, WHOLE.pods.items())
    found = {(s, t, p) for s, (t, (_, ports)) in pairs for p in ports if s != t and WHOLE.passes(s, t, p)}
    assert found == CONNECTIONS


@pytest.mark.parametrize("way", DEPLOYMENTS)
def test_what_leaves_the_cluster(way):
    network = Network(DEPLOYMENTS[way])
    outside = {
        name: {port for port in (80, 443, 6443, 5432) if network.leaves(name, "93.184.216.34", port)}
        for name in network.pods
    }
    speak_to_kubernetes = {"infinity-webserver", "infinity-webserver-read-only", "infinity-daemon"}
    for name in {*speak_to_kubernetes, "infinity-assets", "run"}:
        assert outside.pop(name) == {443, 6443}
    assert outside.pop("infinity-samples") == {443}
    assert outside.pop("infinity-proxy", {443}) == {443}
    assert set(itertools.chain.from_iterable(outside.values())) == set()
    # Of a node's own credentials nothing is given to a pod.
    for name in network.pods:
        assert not any(network.leaves(name, "169.254.169.254", port) for port in range(1, 1000))


def test_every_pod_finds_names_and_nobody_is_let_in_by_default():
    denied = {p["metadata"]["name"]: p["spec"] for p in WHOLE.policies}
    assert denied["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (rule,) = denied["names"]["egress"]
    assert denied["names"]["podSelector"] == {}
    assert {(p["protocol"], p["port"]) for p in rule["ports"]} == {("UDP", 53), ("TCP", 53)}


def test_roles_in_policies_are_roles_of_pods():
    """Lost otherwise: a policy for a label that no pod has."""
    roles = {labels["infinity-assets/role"] for labels, _ in WHOLE.pods.values()}
    named = set()
    for policy in WHOLE.policies:
        for text in re.findall(r"'infinity-assets/role': '([a-z]+)'", str(policy)):
            named.add(text)
        for listed in re.findall(r"'key': 'infinity-assets/role'.*?'values': \[(.*?)\]", str(policy)):
            named |= set(re.findall(r"[a-z]+", listed))
    assert named == roles
