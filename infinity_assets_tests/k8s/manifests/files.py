"""What lies in ``k8s/``, read as ``kubectl apply -k`` reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

ROOT = Path(__file__).resolve().parents[3]
K8S = ROOT / "k8s"
NAMESPACE = "infinity"

#: Folders that are applied together, each the base with options; of the two databases one is chosen.
DEPLOYMENTS = {
    "alone": ("base", "options/external-postgres"),
    "whole": ("base", "options/postgres", "options/vllm", "options/proxy"),
}

#: Kinds that lie in no namespace.
CLUSTER_WIDE = frozenset({"Namespace", "PriorityClass"})


def folders() -> list[Path]:
    """Every folder that can be applied."""
    return sorted(path.parent for path in K8S.rglob("kustomization.yaml"))


def kustomization(folder: Path) -> Document:
    """Its list of files."""
    found: Document = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    return found


def documents(folder: Path) -> Iterator[Document]:
    """All objects of a folder, in the namespace that it names."""
    listed = kustomization(folder)
    for name in listed["resources"]:
        for document in yaml.safe_load_all((folder / name).read_text("utf-8")):
            if document["kind"] not in CLUSTER_WIDE:
                document["metadata"].setdefault("namespace", listed["namespace"])
            yield document


def values() -> Document:
    """Values of Dagster's chart."""
    found: Document = yaml.safe_load((K8S / "helm" / "values.yaml").read_text("utf-8"))
    return found
