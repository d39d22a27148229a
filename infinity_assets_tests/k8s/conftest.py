"""The cluster that tests run on: a double of this process, or a real one where KUBECONFIG names it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infinity_assets.kubernetes.api import Cluster
from infinity_assets_tests.k8s.double.api import Double


@dataclass(frozen=True)
class Here:
    """How to reach a cluster, and what pods of tests need there."""

    kubeconfig: Path
    namespace: str
    image: str
    mounts: tuple[tuple[str, str, bool], ...]  #: host path, path in the container, read only
    double: Double | None  #: None on a real cluster

    @property
    def cluster(self) -> Cluster:
        """Its client."""
        return Cluster(self.namespace, str(self.kubeconfig))

    def volumes(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Volumes and mounts of a pod, as they go over the wire."""
        names = [f"host-{i}" for i in range(len(self.mounts))]
        volumes = [{"name": n, "hostPath": {"path": m[0]}} for n, m in zip(names, self.mounts, strict=True)]
        mounts = [
            {"name": n, "mountPath": m[1], "readOnly": m[2]} for n, m in zip(names, self.mounts, strict=True)
        ]
        return volumes, mounts


def _mounts(given: str) -> Iterator[tuple[str, str, bool]]:
    for entry in filter(None, given.split(",")):
        host, container, *mode = entry.split(":")
        yield host, container, mode == ["ro"]


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Here]:
    """A cluster. See k8s/README.md for the environment variables that name a real one."""
    namespace = os.environ.get("INFINITY_TEST_NAMESPACE", "default")
    image = os.environ.get("INFINITY_TEST_IMAGE", "infinity-assets:test")
    mounts = tuple(_mounts(os.environ.get("INFINITY_TEST_MOUNTS", "")))
    given = os.environ.get("KUBECONFIG")
    if given:
        # Where pods find it too: runs in pods launch Jobs with it.
        path = tmp_path / "kubeconfig"
        path.write_text(Path(given).expanduser().read_text())
        yield Here(path, namespace, image, mounts, None)
        return
    with Double(tmp_path / "cluster") as double:
        yield Here(double.kubeconfig(), namespace, image, mounts, double)


#: Where the package lies, for pods whose image does not have it installed.
ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(sys.executable)
