"""One node: it takes pods that fit, runs each as a local process, and says how it ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infinity_assets_tests.k8s.double.objects import Document, State, condition, now
from infinity_assets_tests.k8s.server import amount

GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class Node:
    """What the node has."""

    gpus: int = 1
    labels: tuple[tuple[str, str], ...] = (("kubernetes.io/os", "linux"),)
    name: str = "node-0"


class Kubelet:
    """Scheduler and kubelet of one node."""

    def __init__(
        self,
        state: State,
        node: Node,
        images: Callable[[str], bool],
        folder: Path,
        gone: Callable[[Document], None],
    ) -> None:
        self._state = state
        self._node = node
        self._images = images
        self._folder = folder
        self._gone = gone
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._starved: set[str] = set()  #: pods that were killed for want of memory
        self._kill_at: dict[str, float] = {}
        self._pulls: dict[str, int] = {}

    def step(self) -> None:
        """Look at every pod once."""
        for pod in self._state.all("pods"):
            uid, status = pod["metadata"]["uid"], pod["status"]
            process = self._processes.get(uid)
            if process is not None:
                self._look(pod, process)
            elif "deletionTimestamp" not in pod["metadata"] and status["phase"] == "Pending":
                if "nodeName" not in pod["spec"]:
                    self._schedule(pod)
                elif "containerStatuses" not in status:
                    self._wait(pod, "ContainerCreating", "")
                else:
                    self._start(pod)
            if "deletionTimestamp" in pod["metadata"] and uid not in self._processes:
                self._state.remove("pods", pod)
                self._gone(pod)

    def delete(self, pod: Document, grace: int | None = None) -> None:
        """SIGTERM now, SIGKILL after the grace period; the pod is removed once its process is gone."""
        metadata = pod["metadata"]
        if "deletionTimestamp" in metadata and grace is None:
            return
        if grace is None:
            grace = pod["spec"].get("terminationGracePeriodSeconds", 30)
        metadata["deletionTimestamp"], metadata["deletionGracePeriodSeconds"] = now(), grace
        process = self._processes.get(metadata["uid"])
        if process is not None:
            process.kill() if grace == 0 else process.terminate()
            self._kill_at[metadata["uid"]] = time.monotonic() + grace

    def log(self, pod: Document) -> bytes:
        """What a pod wrote so far."""
        path = self._log_of(pod)
        return path.read_bytes() if path.exists() else b""

    def stop(self) -> None:
        """End every process."""
        for process in self._processes.values():
            kill_session(process.pid)
            process.wait()

    def _schedule(self, pod: Document) -> None:
        spec = pod["spec"]
        lacks = []
        if not (spec.get("nodeSelector") or {}).items() <= dict(self._node.labels).items():
            lacks.append("1 node(s) didn't match Pod's node affinity/selector")
        taken = sum(
            _gpus(other)
            for other in self._state.all("pods")
            if "nodeName" in other["spec"] and other["status"]["phase"] in ("Pending", "Running")
        )
        if _gpus(pod) and taken + _gpus(pod) > self._node.gpus:
            lacks.append(f"1 Insufficient {GPU}")
        if not lacks:
            spec["nodeName"] = self._node.name
            condition(pod, "PodScheduled", "True", "")
            return
        message = f"0/1 nodes are available: {', '.join(lacks)}."
        if not any(c["reason"] == "Unschedulable" for c in pod["status"].get("conditions") or ()):
            self._state.event(pod, "FailedScheduling", message)
        condition(pod, "PodScheduled", "False", "Unschedulable", message)

    def _wait(self, pod: Document, reason: str, message: str) -> None:
        waiting = {"reason": reason} | ({"message": message} if message else {})
        self._tell(pod, {"waiting": waiting}, ready=False)

    def _tell(self, pod: Document, state: Document, *, ready: bool) -> None:
        (container,) = pod["spec"]["containers"]
        pod["status"] |= {
            "startTime": pod["status"].get("startTime", now()),
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "restartCount": 0,
                    "ready": ready,
                    "started": ready,
                    "state": state,
                    "lastState": {},
                }
            ],
        }
        condition(pod, "Ready", str(ready), "" if ready else "ContainersNotReady")

    def _start(self, pod: Document) -> None:
        (container,) = pod["spec"]["containers"]
        uid, image = pod["metadata"]["uid"], container["image"]
        if not self._images(image):
            never = container.get("imagePullPolicy") == "Never"
            self._pulls[uid] = self._pulls.get(uid, 0) + 1
            if never:
                told = f'Container image "{image}" is not present with pull policy of Never'
                self._wait(pod, "ErrImageNeverPull", told)
            elif self._pulls[uid] == 1:
                self._wait(pod, "ErrImagePull", f'failed to pull and unpack image "{image}": not found')
            else:
                self._wait(pod, "ImagePullBackOff", f'Back-off pulling image "{image}": not found')
            return
        try:
            env = self._env(pod, container)
        except LookupError as error:
            self._wait(pod, "CreateContainerConfigError", str(error.args[0]))
            return
        home = self._folder / uid
        home.mkdir(parents=True, exist_ok=True)
        base = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(home)}
        command = [*(container.get("command") or ()), *(container.get("args") or ())]
        try:
            with self._log_of(pod).open("wb") as log:
                process = subprocess.Popen(
                    command,
                    env=base | env,
                    cwd=container.get("workingDir", home),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            self._end(pod, 128, "StartError", f"failed to create containerd task: exec: {error}")
            return
        self._processes[uid] = process
        pod["status"]["phase"] = "Running"
        self._tell(pod, {"running": {"startedAt": now()}}, ready=True)

    def _look(self, pod: Document, process: subprocess.Popen[bytes]) -> None:
        uid = pod["metadata"]["uid"]
        code = process.poll()
        if code is None:
            limit = _limit(pod, "memory")
            if limit is not None and memory_of(process.pid) > amount(limit):
                self._starved.add(uid)
                kill_session(process.pid)
            elif time.monotonic() >= self._kill_at.get(uid, float("inf")):
                kill_session(process.pid)
            return
        kill_session(process.pid)
        del self._processes[uid]
        exit_code = 128 - code if code < 0 else code
        reason = "OOMKilled" if uid in self._starved else "Completed" if exit_code == 0 else "Error"
        self._end(pod, exit_code, reason, "")

    def _end(self, pod: Document, code: int, reason: str, message: str) -> None:
        ended = {"exitCode": code, "reason": reason, "startedAt": now(), "finishedAt": now()}
        self._tell(pod, {"terminated": ended | ({"message": message} if message else {})}, ready=False)
        pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"

    def _log_of(self, pod: Document) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{pod['metadata']['name']}.log"

    def _env(self, pod: Document, container: Document) -> dict[str, str]:
        """The environment of a container.

        Raises:
            LookupError: if a ConfigMap or Secret, or its key, is not there.
        """
        namespace = pod["metadata"]["namespace"]
        env = {"HOSTNAME": pod["metadata"]["name"]}

        def data(plural: str, reference: Document) -> dict[str, str]:
            found = self._state.get(plural, namespace, reference["name"])
            if found is None and not reference.get("optional"):
                raise LookupError(f'{plural.removesuffix("s")} "{reference["name"]}" not found')
            found = found or {}
            if plural != "secrets":
                return found.get("data") or {}
            plain = {key: b64decode(value).decode() for key, value in (found.get("data") or {}).items()}
            return plain | (found.get("stringData") or {})

        for source in container.get("envFrom") or ():
            for key, plural in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
                if key in source:
                    env |= data(plural, source[key])
        for entry in container.get("env") or ():
            given = entry.get("valueFrom")
            if given is None:
                env[entry["name"]] = entry.get("value", "")
            elif "fieldRef" in given:
                env[entry["name"]] = _field(pod, given["fieldRef"]["fieldPath"])
            else:
                for key, plural in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
                    if key in given:
                        env[entry["name"]] = data(plural, given[key])[given[key]["key"]]
        return env


def _field(pod: Document, path: str) -> str:
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if match is not None:
        return str(pod["metadata"][match[1]][match[2]])
    at: object = pod
    for part in path.split("."):
        assert isinstance(at, dict)
        at = at.get(part, "")
    return str(at)


def _limit(pod: Document, name: str) -> str | None:
    (container,) = pod["spec"]["containers"]
    found = ((container.get("resources") or {}).get("limits") or {}).get(name)
    return None if found is None else str(found)


def _gpus(pod: Document) -> int:
    return int(_limit(pod, GPU) or 0)


def memory_of(pid: int) -> int:
    """Bytes of a process and its children that they share with nobody."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    own = (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
    return own + sum(memory_of(int(child)) for child in children)


def kill_session(session: int) -> None:
    """SIGKILL to every process of a session."""
    for found, pid in _sessions():
        if found == session:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _sessions() -> list[tuple[int, int]]:
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                found.append((int(fields[3]), int(path.name)))
    return found
