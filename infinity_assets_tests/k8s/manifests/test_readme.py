"""Without these, whoever follows ``k8s/README.md`` ends half-way."""

from __future__ import annotations

import re
import shlex
import textwrap

import yaml

from infinity_assets.automation.webhook import WEBHOOK
from infinity_assets.models.vlm.config import Engines
from infinity_assets_tests.k8s.manifests.chart import rendered
from infinity_assets_tests.k8s.manifests.files import K8S, ROOT, documents, folders, values
from infinity_assets_tests.k8s.manifests.rules import containers
from infinity_assets_tests.k8s.manifests.test_manifests import BY_COMMAND, SECRETS
from infinity_assets_tests.k8s.server import pod_of

PAGE = (K8S / "README.md").read_text("utf-8")
ENGINEER = (ROOT / "docs" / "engineer.md").read_text("utf-8")


def commands() -> list[list[str]]:
    """Every command of the page, as words."""
    text = "\n".join(re.findall(r"```console\n(.*?)```", PAGE, re.S))
    text = re.sub(r"\\\n> *", " ", text)
    return [shlex.split(line.removeprefix("$ ")) for line in text.splitlines() if line.startswith("$ ")]


def test_the_table_lists_what_is_there():
    listed = re.findall(r"^\| `([^`]+)` \|", PAGE.split("## What the cluster", 1)[0], re.M)
    there = {str(f.relative_to(K8S)) for f in folders()} | {"Dockerfile", "helm/values.yaml"}
    assert set(listed) == there


def test_files_that_commands_name_are_there():
    named = [word for words in commands() for word in words if word.startswith("k8s/")]
    assert named and all((ROOT / word).exists() for word in named)
    for path in re.findall(r"`((?:base|options|helm|infinity_assets_tests)/[a-z0-9_/.]+)`", PAGE):
        assert (K8S / path).exists() or (ROOT / path).exists(), path


def test_every_secret_and_map_is_made_by_a_command():
    """Lost otherwise: pods that wait for a secret that nobody mentioned."""
    made = {words[4] if words[2] == "secret" else words[3] for words in commands() if words[1] == "create"}
    assert made >= (SECRETS | BY_COMMAND) - {"infinity-alerts", "infinity-api-keys", "infinity-tls"}
    assert (
        "`infinity-api-keys`" in PAGE
        and f"`infinity-alerts`, as `{WEBHOOK}`" in PAGE
        and "certificate" in PAGE
    )
    for words in commands():
        for word in words:
            if word.startswith("--from-literal="):
                value = word.removeprefix("--from-literal=").split("=", 1)[1]
                assert value.startswith("$(") or value == "...", "a secret on the page"


def test_keys_of_secrets_are_those_that_pods_read():
    read: dict[str, set[str]] = {}
    for document in [d for f in folders() for d in documents(f)] + rendered(values()):
        if (pod := pod_of(document)) is None:
            continue
        for container in containers(pod):
            for entry in container.get("env") or ():
                if reference := (entry.get("valueFrom") or {}).get("secretKeyRef"):
                    read.setdefault(reference["name"], set()).add(reference["key"])
    for words in commands():
        if words[1:3] == ["create", "secret"] and "--from-env-file" not in " ".join(words):
            keys = {w.removeprefix("--from-literal=").split("=")[0] for w in words if "--from-literal" in w}
            assert keys == read[words[4]], words[4]
    assert all(f"`{key}=...`" in PAGE for key in read["infinity-object-store"])


def test_the_example_of_a_cluster_changes_what_is_there():
    example = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, re.S)[1])
    parts = [K8S.parent / "cluster" / path for path in example["resources"]]
    found = [d for part in parts for d in documents(part.resolve())]
    images = {c["image"].partition(":")[0] for d in found if (pod := pod_of(d)) for c in containers(pod)}
    assert {one["name"] for one in example["images"]} == images
    for patch in example["patches"]:
        kind, name = patch["target"]["kind"], patch["target"].get("name")
        targets = [d for d in found if d["kind"] == kind and name in {None, d["metadata"]["name"]}]
        assert targets
        for change in yaml.safe_load(patch["patch"]):
            *path, key = change["path"].strip("/").split("/")
            for target in targets:
                at = target
                for step in path:
                    at = at[step]
                assert change["op"] == "add" or key in at, change
    (install,) = [words for words in commands() if words[:2] == ["helm", "install"]]
    for setting in [words for words in install if "image.repository" in words]:
        at: object = values()
        for step in re.split(r"\.|(?=\[)", setting.split("=")[0]):
            at = at[int(step[1:-1])] if step.startswith("[") else at[step]  # type: ignore[index]
        assert at == "infinity-assets"


def test_runs_find_the_shared_server_as_the_page_says():
    """Lost otherwise: a server that nobody asks, or asks for a model that it does not know."""
    example = textwrap.dedent(re.search(r"```yaml\n(  engines:.*?)```", PAGE, re.S)[1])
    (engine,) = Engines.model_validate(yaml.safe_load(example)).engines.values()
    found = {d["kind"]: d for d in documents(K8S / "options" / "vllm")}
    (port,) = found["Service"]["spec"]["ports"]
    assert engine.url == f"http://{found['Service']['metadata']['name']}:{port['port']}/v1"
    (server,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert f"--served-model-name={engine.model}" in server["args"]


def test_deployments_and_jobs_of_commands_are_there():
    names = {
        f"{d['kind'].lower()}/{d['metadata']['name']}"
        for d in [d for f in folders() for d in documents(f)] + rendered(values())
    }
    for words in commands():
        for word in words:
            if re.match(r"(deployment|service)/", word):
                assert word in names, word
    from infinity_assets.orchestration import jobs

    (launched,) = [words for words in commands() if "backfill" in words]
    assert launched[launched.index("--job") + 1] in {job.name for job in jobs.ALL}
    locations = {d["name"] for d in values()["dagster-user-deployments"]["deployments"]}
    assert launched[launched.index("--location") + 1] in locations
