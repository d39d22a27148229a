"""What a cluster remembers: documents by kind and name, selectors over them, and who owns whom."""

from __future__ import annotations

import itertools
import random
import string
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

Document = dict[str, Any]

#: Plural of a kind -> kind and API version.
KINDS = {
    "pods": ("Pod", "v1"),
    "events": ("Event", "v1"),
    "configmaps": ("ConfigMap", "v1"),
    "secrets": ("Secret", "v1"),
    "jobs": ("Job", "batch/v1"),
}


def now() -> str:
    """As a server writes a time."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def suffix() -> str:
    """Five characters, as the names of pods end."""
    return "".join(random.choices(string.ascii_lowercase + string.digits, k=5))


def condition(document: Document, kind: str, status: str, reason: str, message: str = "") -> None:
    """Set a condition."""
    conditions = document["status"].setdefault("conditions", [])
    conditions[:] = [c for c in conditions if c["type"] != kind]
    conditions.append(
        {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now()}
    )


class State:
    """Documents of one cluster; whoever touches them holds ``lock``."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._versions = itertools.count(1)
        self._held: dict[tuple[str, str, str], Document] = {}

    def add(self, plural: str, namespace: str, document: Document) -> Document | None:
        """Keep a document; None if its name is taken."""
        kind, version = KINDS[plural]
        key = (plural, namespace, document["metadata"]["name"])
        if key in self._held:
            return None
        document["apiVersion"], document["kind"] = version, kind
        document["metadata"] |= {
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": now(),
            "resourceVersion": str(next(self._versions)),
        }
        self._held[key] = document
        return document

    def get(self, plural: str, namespace: str, name: str) -> Document | None:
        """A document, or None."""
        return self._held.get((plural, namespace, name))

    def remove(self, plural: str, document: Document) -> None:
        """Forget a document."""
        metadata = document["metadata"]
        self._held.pop((plural, metadata["namespace"], metadata["name"]), None)

    def all(self, plural: str, namespace: str | None = None) -> list[Document]:
        """Documents of a kind, the oldest first."""
        return [d for (p, n, _), d in self._held.items() if p == plural and namespace in (None, n)]

    def owned(self, uid: str) -> Iterator[tuple[str, Document]]:
        """Documents that name an owner."""
        for (plural, _, _), document in list(self._held.items()):
            if any(o["uid"] == uid for o in document["metadata"].get("ownerReferences") or ()):
                yield plural, document

    def uids(self) -> set[str]:
        """Of all documents."""
        return {d["metadata"]["uid"] for d in self._held.values()}

    def event(self, about: Document, reason: str, message: str) -> None:
        """A warning about a document."""
        metadata = about["metadata"]
        event = {
            "metadata": {"name": f"{metadata['name']}.{suffix()}{suffix()}"},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "involvedObject": {"kind": about["kind"], "name": metadata["name"], "uid": metadata["uid"]},
            "count": 1,
            "firstTimestamp": now(),
            "lastTimestamp": now(),
        }
        self.add("events", metadata["namespace"], event)


def chosen(document: Document, labels: str, fields: str) -> bool:
    """Whether selectors choose a document: ``a=b``, ``a!=b``, ``a``; fields by their path, likewise."""
    have = document["metadata"].get("labels") or {}
    for term in filter(None, labels.split(",")):
        if "!=" in term:
            key, value = term.split("!=")
            fits = have.get(key) != value
        elif "=" in term:
            key, value = term.replace("==", "=").split("=")
            fits = have.get(key) == value
        else:
            fits = term in have
        if not fits:
            return False
    for term in filter(None, fields.split(",")):
        unequal = "!=" in term
        path, value = term.split("!=" if unequal else "=")
        at: Any = document
        for part in path.split("."):
            at = (at or {}).get(part)
        if (at == value) == unequal:
            return False
    return True
