"""The few calls to an API server that this room makes; documents are those that go over the wire."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from infinity_assets.errors import ClusterError

Document = dict[str, Any]

#: Answers of a server that may be other ones a moment later.
PASSING = frozenset({429, 500, 502, 503, 504})

#: Seconds before each further try: a control plane that is replaced is away for some minutes.
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0, 60.0, 60.0)

#: Longest that one call may take, in seconds.
TIMEOUT_S = 30

#: Page of a list of pods.
PAGE = 500


@dataclass(frozen=True)
class Cluster:
    """One namespace of a cluster."""

    namespace: str
    kubeconfig: str | None = None  #: file; None for the service account of the pod that asks

    def version(self) -> tuple[int, int]:
        """Major and minor version of the server; providers write a minor one as ``29+``."""
        said = self._ask("the version", lambda: self._client.VersionApi(self._connection).get_code(**_RAW))
        major, minor = (int("".join(c for c in said[key] if c.isdigit())) for key in ("major", "minor"))
        return major, minor

    def create_job(self, job: Mapping[str, Any]) -> Document | None:
        """The Job as the server made it; None if one of its name is there.

        Raises:
            ClusterError: if the server refuses it; with its words.
        """
        name = job["metadata"]["name"]

        def create() -> Any:
            return self._batch.create_namespaced_job(self.namespace, dict(job), **_RAW)

        made: Document | None = self._ask(f"Job {name}", create, absent=409)
        return made

    def job(self, name: str) -> Document | None:
        """A Job, or None."""

        def read() -> Any:
            return self._batch.read_namespaced_job(name, self.namespace, **_RAW)

        found: Document | None = self._ask(f"Job {name}", read, absent=404)
        return found

    def jobs(self, selector: str) -> list[Document]:
        """Jobs by their labels."""

        def read() -> Any:
            return self._batch.list_namespaced_job(self.namespace, label_selector=selector, **_RAW)

        found = self._ask("Jobs", read)
        return list(found["items"])

    def delete_job(self, name: str) -> None:
        """Delete a Job and its pods; it need not be there."""

        def delete() -> Any:
            # Without a policy the server would leave the pods running.
            return self._batch.delete_namespaced_job(
                name, self.namespace, propagation_policy="Background", **_RAW
            )

        self._ask(f"Job {name}", delete, absent=404)

    def pods(self, job: str) -> list[Document]:
        """Pods of a Job that did not succeed."""
        found: list[Document] = []
        more: str | None = None
        while True:
            page = self._ask("pods", partial(self._page, job, more))
            found += page["items"]
            more = page["metadata"].get("continue")
            if not more:
                return found

    def _page(self, job: str, at: str | None) -> Any:
        further = {"_continue": at} if at else {}
        return self._core.list_namespaced_pod(
            self.namespace,
            label_selector=f"job-name={job}",
            field_selector="status.phase!=Succeeded",
            limit=PAGE,
            **further,
            **_RAW,
        )

    def last_words(self, pod: str, lines: int) -> str:
        """The last lines that a pod wrote; empty where it wrote none or is gone."""

        def read() -> Any:
            return self._core.read_namespaced_pod_log(pod, self.namespace, tail_lines=lines, **_RAW)

        try:
            answer = self._try(f"the log of {pod}", read, absent=404)
        except ClusterError:
            return ""  # a container that never ran has no log, which the server calls a bad request
        return "" if answer is None else answer.data.decode(errors="replace").rstrip()

    @cached_property
    def _client(self) -> Any:
        import kubernetes.client

        return kubernetes.client

    @cached_property
    def _connection(self) -> Any:
        from kubernetes import config

        try:
            if self.kubeconfig is not None:
                return config.new_client_from_config(self.kubeconfig)
            settings = self._client.Configuration()
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException as error:
            where = self.kubeconfig or "the service account of this pod"
            raise ClusterError(f"{where}: {error}; Kubernetes cannot be reached without it") from error
        return self._client.ApiClient(settings)

    @cached_property
    def _batch(self) -> Any:
        return self._client.BatchV1Api(self._connection)

    @cached_property
    def _core(self) -> Any:
        return self._client.CoreV1Api(self._connection)

    def _ask(self, what: str, call: Callable[[], Any], absent: int | None = None) -> Any:
        answer = self._try(what, call, absent)
        return None if answer is None else json.loads(answer.data)

    def _try(self, what: str, call: Callable[[], Any], absent: int | None) -> Any:
        """A call, again after each pause where the trouble may pass; None where its status is ``absent``."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        for pause in (*PAUSES, None):
            try:
                return call()
            except ApiException as error:
                if error.status == absent:
                    return None
                if error.status not in PASSING or pause is None:
                    raise ClusterError(f"Kubernetes refuses {what}: {_words(error)}") from error
            except HTTPError as error:
                if pause is None:
                    raise ClusterError(f"Kubernetes does not answer for {what}: {error}") from error
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")


#: What each call is given: the answer is read here, as it is.
_RAW: Mapping[str, Any] = {"_preload_content": False, "_request_timeout": TIMEOUT_S}


def _words(error: Any) -> str:
    """What a server says of a refusal."""
    try:
        said = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        said = error.reason
    hint = "; does the service account have the role of k8s/?" if error.status == 403 else ""
    return f"{said} ({error.status}){hint}"
