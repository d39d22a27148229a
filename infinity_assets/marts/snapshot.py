"""Immutable snapshots: Parquet of every table, marts, test results and a page; readers see all of it or none.

::

    <home>/quality/current                 the id of the snapshot that readers take, switched in one step
    <home>/quality/<id>/<table>/*.parquet  narrow columns, one file for each partition
    <home>/quality/<id>/marts/*.parquet    what dbt made of them
    <home>/quality/<id>/quality.html       the page
    <home>/quality/<id>/snapshot.json      number, id and what it was made from

A snapshot reads published versions alone, so it waits for no run and no run waits for it. A partition that
did not change is a hard link to the file of the snapshot before.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from infinity_assets.errors import StoreError
from infinity_assets.marts.narrow import NARROW, NARROW_VERSION, Narrow
from infinity_assets.marts.published import POINTER, Snapshot, current_snapshot, folders
from infinity_assets.marts.told import as_json, small_tables, write_small
from infinity_assets.platform import Platform
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Published

KEPT: Final = 5  #: snapshots that stay, the current one among them


def publish_snapshot(
    platform: Platform, finish: Callable[[Path, int], None], made_by: str, kept: int = KEPT
) -> Snapshot:
    """Write a snapshot of all that is published now and make it the current one.

    Args:
        platform: settings, store, catalogue and policy.
        finish: writes marts and page into the folder of a snapshot of that number, before anybody sees it.
        made_by: hash of whatever else determines the result, such as the models of dbt.
        kept: snapshots that stay.

    Returns:
        The new snapshot, or the current one where nothing changed.

    Raises:
        StoreError: if another process is writing one.
    """
    root = platform.settings.home.absolute() / "quality"
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root):
        taken = list(_published(platform))
        last = current_snapshot(platform.settings.home)
        folder = last.folder if last else None
        number = last.number if last else 0
        small = small_tables(platform, taken, folder, number)
        determined = {name: table for name, table in small.items() if name not in {"history", "checks"}}
        checked = {"checks": small["checks"].filter(_of_contracts(small["checks"]))}
        versions = [(one.spec.name, t.partition, t.version, t.data_version) for one, t in taken]
        new = key_of(NARROW_VERSION, made_by, versions, as_json(determined | checked))
        if last is not None and last.id == new:
            return last
        for path in folders(root):  # written by a run that was killed before it switched the pointer
            if int(path.name[:6]) > number:
                shutil.rmtree(path)
        staging = root / f".staging-{new}"
        staging.mkdir()
        rows = _write(staging, taken, folder)
        write_small(staging, small)
        finish(staging, number + 1)
        told = {"number": number + 1, "id": new, "rows": rows, "versions": versions}
        (staging / "snapshot.json").write_text(json.dumps(told, indent=1), "utf-8")
        final = root / f"{number + 1:06d}-{new}"
        staging.rename(final)
        pointer = root / f".{POINTER}"
        pointer.write_text(final.name, "ascii")
        pointer.replace(root / POINTER)
        _prune(root, kept)
        return Snapshot(final, number + 1, new, rows)


def _of_contracts(checks: Any) -> Any:
    import pyarrow.compute as pc

    return pc.equal(checks.column("engine"), "contract")


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One writer at a time; what a killed one left behind is cleared away."""
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{root}: another process is writing a snapshot; wait for it to end") from None
        for left in root.glob(".staging-*"):
            shutil.rmtree(left)
        yield


def _published(platform: Platform) -> Iterator[tuple[Narrow, Published]]:
    for one in NARROW.values():
        for partition in platform.store.names(one.spec):
            found = platform.store.published(one.spec, partition)
            if found is not None:
                yield one, found


def _write(staging: Path, taken: list[tuple[Narrow, Published]], before: Path | None) -> dict[str, int]:
    """The Parquet files; gives the rows of each table. One without a partition has a file without rows."""
    rows = dict.fromkeys(NARROW, 0)
    for name, one in NARROW.items():
        (staging / name).mkdir()
        pq.write_table(one.schema.empty_table(), staging / name / "none.parquet")
    for one, published in taken:
        made_from = (NARROW_VERSION, published.uri, published.version, published.data_version)
        name = f"{one.spec.name}/{published.partition}-{key_of(made_from)}.parquet"
        if before is not None and (before / name).exists():
            os.link(before / name, staging / name)
        else:
            with pq.ParquetWriter(staging / name, one.schema, compression="zstd", compression_level=1) as out:
                for batch in one.batches(published):
                    out.write_batch(batch)
        rows[one.spec.name] += pq.read_metadata(staging / name).num_rows
    return rows


def _prune(root: Path, kept: int) -> None:
    """Delete all but the last snapshots; who has a file of one open can read it to its end."""
    for old in folders(root)[:-kept]:
        shutil.rmtree(old)
