"""What is removed after some time: old versions of tables, and old runs with their events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from infinity_assets.platform import Platform
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.tag_associations.schema import TAG_ASSOCIATIONS, WHOLE
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.retention import Cleaned, clean

ENDED: Final = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)

#: Runs that are looked at together.
BATCH: Final = 200


def clean_store(platform: Platform, older_than: timedelta, *, dry_run: bool = False) -> Iterator[Cleaned]:
    """Remove old versions of every table but those that something refers to; see :func:`clean`."""
    return clean(platform.store, older_than, versions_in_use(platform), dry_run=dry_run)


def versions_in_use(platform: Platform) -> dict[tuple[str, str], set[int]]:
    """Versions that published tables were made of and look up again, and those that a seed set pins."""
    store = platform.store
    found: dict[tuple[str, str], set[int]] = {}
    for name in store.partitions(UNIFIED):
        version = store.require(UNIFIED, name).notes["raw_version"]
        found.setdefault((RAW.name, name), set()).add(int(version))
    associations = store.published(TAG_ASSOCIATIONS, WHOLE)
    for name, (_, version) in (associations.notes["pins"] if associations is not None else {}).items():
        found.setdefault((TAGGED.name, name), set()).add(int(version))
    for name, wanted in platform.associations.seed.sources.items():
        latest = store.published(TAGGED, name) if wanted is not None else None
        for version in range(1, latest.version) if latest is not None else ():
            past = store.past(TAGGED, name, version)
            if past is not None and past.data_version == wanted:
                found.setdefault((TAGGED.name, name), set()).add(version)
    return found


def prune_runs(
    platform: Platform, instance: dg.DagsterInstance, older_than: timedelta, *, dry_run: bool = False
) -> int:
    """Delete old runs with their events; those stay that last made any partition, or last checked it.

    Dagster shows a partition as missing once the event of its materialization is gone.

    Returns:
        How many were deleted, or would be.
    """
    before = datetime.now(UTC) - older_than
    keep = _shown(instance) | _checked(platform, instance)
    deleted, cursor = 0, None
    while True:
        runs = instance.get_runs(
            dg.RunsFilter(statuses=list(ENDED), created_before=before), cursor=cursor, limit=BATCH
        )
        if not runs:
            return deleted
        old = [run.run_id for run in runs if run.run_id not in keep]
        kept = [run.run_id for run in runs if run.run_id in keep]
        deleted += len(old)
        if not dry_run:
            for run_id in old:
                instance.delete_run(run_id)
        if dry_run:
            cursor = runs[-1].run_id
        elif kept:
            cursor = kept[-1]  # a deleted run is no cursor


def _shown(instance: dg.DagsterInstance) -> set[str]:
    """Runs whose events the pages of assets show as the present state."""
    log, found = instance.event_log_storage, set()
    for key in instance.get_asset_keys():
        latest = log.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
        ids = list(latest.values())
        for start in range(0, len(ids), BATCH):
            where = dg.AssetRecordsFilter(key, storage_ids=ids[start : start + BATCH])
            found |= {record.run_id for record in instance.fetch_materializations(where, limit=BATCH).records}
        last = instance.get_latest_materialization_event(key)
        if last is not None:
            found.add(last.run_id)
    return found


def _checked(platform: Platform, instance: dg.DagsterInstance) -> set[str]:
    """Runs that last evaluated a check, for each partition."""
    from infinity_assets.definitions import platform_defs

    checks = list(platform_defs(platform).resolve_asset_graph().asset_check_keys)
    found = instance.event_log_storage.get_asset_check_partition_info(checks)
    return {info.latest_planned_run_id for info in found}
