"""Releases, which keep versions for ever, and the removal of versions that nobody needs any more."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from infinity_assets.errors import StoreError
from infinity_assets.store.tables import MANIFEST, Store

RELEASES: Final = "_releases"
TAG: Final = "release-"

#: Version numbers by table and partition.
Versions = Mapping[tuple[str, str], Collection[int]]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was removed of one table's partition, or would be."""

    table: str
    partition: str
    removed: int  #: versions
    kept: int
    bytes: int | None  #: freed; None where nothing was removed yet
    why_not: str = ""  #: why it was left alone


def release(store: Store, name: str) -> dict[str, dict[str, int]]:
    """Keep the published version of every table for ever, under a name.

    The list is written before Lance's own tags are set, and retention obeys either; so a release that was
    killed half-way holds, and the same call completes it.

    Args:
        store: all its tables.
        name: ``[a-z0-9._-]``, 1 to 64 characters, with a letter or digit first.

    Returns:
        Lance versions by table and partition.

    Raises:
        StoreError: if the name is no such name, or nothing is published.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise StoreError(
            f"{name!r} is no name of a release: a-z, 0-9, '.', '_' and '-', at most 64 characters"
        )
    path = f"{RELEASES}/{name}.json"
    if store.objects.get(path) is None:
        now: dict[str, dict[str, int]] = {}
        for table, partition, dataset in _published(store):
            now.setdefault(table, {})[partition] = int(dataset.version)
        if not now:
            raise StoreError(f"{store.root}: nothing is published, so there is nothing to release")
        made = {"name": name, "made": datetime.now(UTC).isoformat(timespec="seconds"), "versions": now}
        store.objects.create(path, json.dumps(made, indent=1, sort_keys=True).encode())
    found: dict[str, dict[str, int]] = json.loads(store.objects.get(path) or b"{}")["versions"]
    for table, partitions in found.items():
        for partition, version in partitions.items():
            tags = _open(store, table, partition).tags
            if f"{TAG}{name}" not in tags.list():
                tags.create(f"{TAG}{name}", version)
    return found


def released(store: Store) -> dict[tuple[str, str], set[int]]:
    """Every version that a release names."""
    found: dict[tuple[str, str], set[int]] = {}
    for file in store.objects.children(RELEASES):
        content = json.loads(store.objects.get(f"{RELEASES}/{file}") or b"{}")
        for table, partitions in content["versions"].items():
            for partition, version in partitions.items():
                found.setdefault((table, partition), set()).add(int(version))
    return found


def clean(
    store: Store, older_than: timedelta, in_use: Versions, *, dry_run: bool = False
) -> Iterator[Cleaned]:
    """Remove old versions of every table, with the files that only they have.

    Never the latest version, one that a release or a tag names, one in ``in_use``, or a younger one; and
    nothing of a table with staged work, which a run may be building or may go on with.

    Args:
        store: all its tables.
        older_than: how long a version stays.
        in_use: versions that published tables refer to.
        dry_run: say what would be removed.
    """
    cutoff = datetime.now(UTC) - older_than
    names = released(store)
    for table, partition, dataset in _published(store):
        if store.objects.exists_prefix(f"_staging/{table}/{partition}"):
            yield Cleaned(
                table, partition, 0, len(dataset.versions()), None, "a run is at work, or was stopped"
            )
            continue
        keep = {int(dataset.version), *(int(tag["version"]) for tag in dataset.tags.list().values())}
        keep |= names.get((table, partition), set()) | set(in_use.get((table, partition), ()))
        versions = {int(v["version"]): v["timestamp"].astimezone(UTC) for v in dataset.versions()}
        old = sorted(v for v, made in versions.items() if v not in keep and made < cutoff)
        freed = None
        if old and not dry_run:
            stats = dataset.cleanup_old_versions(versions=old, error_if_tagged_old_versions=False)
            freed = int(stats.bytes_removed)
        yield Cleaned(table, partition, len(old), len(versions) - len(old), freed)


def _published(store: Store) -> Iterator[tuple[str, str, Any]]:
    for table in store.objects.children(""):
        if table.startswith(("_", ".")):
            continue
        for name in store.objects.children(table):
            if name.endswith(".lance"):
                partition = name.removesuffix(".lance")
                dataset = _open(store, table, partition)
                manifest = (dataset.schema.metadata or {}).get(MANIFEST)
                if manifest is not None and json.loads(manifest) is not None:
                    yield table, partition, dataset


def _open(store: Store, table: str, partition: str) -> Any:
    import lance

    return lance.dataset(store.uri(table, partition), storage_options=store.storage_options)
