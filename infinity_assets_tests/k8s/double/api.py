"""The API server over plain HTTP, and the loop that makes its controller and its node work."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from infinity_assets_tests.k8s.double.jobs import JobController
from infinity_assets_tests.k8s.double.kubelet import Kubelet, Node
from infinity_assets_tests.k8s.double.objects import KINDS, Document, State, chosen, condition, now
from infinity_assets_tests.k8s.server import refusals

#: The version whose schemas are held against what is sent, and that the server says it has.
VERSION = "1.34"

TICK_S = 0.05

PATH = re.compile(
    r"/(?:api/v1|apis/batch/v1)/namespaces/(?P<namespace>[^/]+)/(?P<plural>[a-z]+)"
    r"(?:/(?P<name>[^/]+)(?:/(?P<sub>log|status|eviction))?)?"
)


class Refused(Exception):
    """What a server answers instead."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                       "code": code, "reason": reason, "message": message}  # fmt: skip


class Double:
    """A cluster of one node; ``with Double(folder) as double`` runs it."""

    def __init__(
        self,
        folder: Path,
        *,
        node: Node | None = None,
        missing: str = "missing",
        back_off_s: float = 0.2,
        minor: str = VERSION.split(".")[1],
    ) -> None:
        """
        Args:
            folder: for logs of pods and the kubeconfig.
            node: the one there is; one GPU if unset.
            missing: images whose name has this in it cannot be pulled.
            back_off_s: before an index is tried again; ten seconds on a real server.
            minor: version that the server says it has; below 29 it drops fields that it does not know.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.state = State()
        self.trouble: list[int] = []  #: statuses that the next requests are answered with
        self._folder = folder
        self._minor = minor
        self.jobs = JobController(self.state, self._delete_pod, back_off_s)
        self.kubelet = Kubelet(
            self.state,
            node or Node(),
            lambda image: missing not in image,
            folder / "pods",
            self.jobs.pod_gone,
        )
        handler = type("Handler", (_Handler,), {"double": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}),
            threading.Thread(target=self._work),
        ]

    def __enter__(self) -> Double:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()
        self.kubelet.stop()

    def kubeconfig(self) -> Path:
        """A file for clients."""
        path = self._folder / "kubeconfig"
        user = {"name": "double", "user": {}}
        where = {"server": f"http://127.0.0.1:{self._server.server_address[1]}"}
        context = {"cluster": "double", "user": "double", "namespace": "default"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "double", "cluster": where}],
            "users": [user],
            "contexts": [{"name": "double", "context": context}],
            "current-context": "double",
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def lose(self, pod: str) -> None:
        """The node of a pod goes silent: the pod is to be deleted, and nobody is there to end it."""
        with self.state.lock:
            found = next(p for p in self.state.all("pods") if p["metadata"]["name"] == pod)
            condition(found, "DisruptionTarget", "True", "DeletionByTaintManager", "node is unreachable")
            found["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": 1}

    def _delete_pod(self, pod: Document) -> None:
        self.kubelet.delete(pod)

    def _work(self) -> None:
        while not self._stop.wait(TICK_S):
            with self.state.lock:
                self.jobs.step()
                self.kubelet.step()
                self._collect()

    def _collect(self) -> None:
        """Whatever has owners, and none that is left, goes."""
        uids = self.state.uids()
        for plural in KINDS:
            for document in self.state.all(plural):
                owners = document["metadata"].get("ownerReferences") or ()
                if owners and not any(o["uid"] in uids for o in owners):
                    self._remove(plural, document, orphan=False)

    def _remove(self, plural: str, document: Document, *, orphan: bool) -> None:
        if plural == "pods":
            self.kubelet.delete(document)
            return
        uid = document["metadata"]["uid"]
        if orphan:
            for _, owned in self.state.owned(uid):
                owners = owned["metadata"]["ownerReferences"]
                owners[:] = [o for o in owners if o["uid"] != uid]
        self.state.remove(plural, document)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """One request.

        Raises:
            Refused: with what the server says.
        """
        if path in ("/version", "/version/"):
            return {"major": "1", "minor": self._minor, "gitVersion": f"v1.{self._minor}.2"}
        match = PATH.fullmatch(path)
        if match is None or match["plural"] not in KINDS:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        plural, namespace, name = match["plural"], match["namespace"], match["name"]
        if method == "POST" and name is None:
            return self._create(plural, namespace, body)
        if method == "GET" and name is None:
            selectors = query.get("labelSelector", ""), query.get("fieldSelector", "")
            items = [d for d in self.state.all(plural, namespace) if chosen(d, *selectors)]
            kind, version = KINDS[plural]
            return {"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": items}
        found = self.state.get(plural, namespace, name or "")
        if found is None:
            raise Refused(404, "NotFound", f'{plural} "{name}" not found')
        if method == "POST" and match["sub"] == "eviction":
            condition(found, "DisruptionTarget", "True", "EvictionByEvictionAPI", "Eviction API: evicting")
            self.kubelet.delete(found)
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        if method == "DELETE":
            policy = query.get("propagationPolicy") or (body or {}).get("propagationPolicy")
            if plural == "pods":
                grace = query.get("gracePeriodSeconds")
                self.kubelet.delete(found, None if grace is None else int(grace))
                return found
            self._remove(plural, found, orphan=policy in (None, "Orphan"))
            details = {"name": name, "uid": found["metadata"]["uid"]}
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                    "details": details}  # fmt: skip
        if method == "GET" and match["sub"] == "log":
            return self._log(found, query)
        if method == "GET":
            return found
        raise Refused(405, "MethodNotAllowed", "the server does not allow this method")

    def _create(self, plural: str, namespace: str, body: Document) -> Document:
        kind, version = KINDS[plural]
        document = {"apiVersion": version, "kind": kind} | {k: v for k, v in body.items() if k != "status"}
        name = document["metadata"]["name"]
        if plural in ("jobs", "pods"):
            found = refusals(document, (VERSION,))
            if found:
                raise Refused(422, "Invalid", f'{kind} "{name}" is invalid: {"; ".join(found)}')
        if plural == "jobs" and int(self._minor) < 29:
            for key in ("backoffLimitPerIndex", "podFailurePolicy"):
                document["spec"].pop(key, None)
        made = self.state.add(plural, namespace, document)
        if made is None:
            raise Refused(409, "AlreadyExists", f'{plural} "{name}" already exists')
        if plural in ("jobs", "pods"):
            made["status"] = {"phase": "Pending"} if plural == "pods" else {}
        return made

    def _log(self, pod: Document, query: dict[str, str]) -> bytes:
        if not any("waiting" not in c["state"] for c in pod["status"].get("containerStatuses") or ()):
            raise Refused(400, "BadRequest", f'container in pod "{pod["metadata"]["name"]}" is not running')
        lines = self.kubelet.log(pod).splitlines(keepends=True)
        return b"".join(lines[-int(query["tailLines"]) :] if "tailLines" in query else lines)


class _Handler(BaseHTTPRequestHandler):
    """HTTP of :meth:`Double.answer`."""

    double: Double
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing: tests print what they need."""

    def _handle(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        with self.double.state.lock:
            try:
                if self.double.trouble:
                    raise Refused(self.double.trouble.pop(), "Trouble", "the server is not itself")
                answer, code = self.double.answer(self.command, url.path, query, body), 200
                if self.command == "POST":
                    code = 201
            except Refused as error:
                answer, code = error.status, error.status["code"]
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _handle
