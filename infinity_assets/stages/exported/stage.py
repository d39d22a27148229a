"""Publishing an export: staged beside its place, renamed when it is whole, then pointed at by ``current``."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import polars as pl
import pyarrow as pa

from infinity_assets.errors import StoreError
from infinity_assets.quality.audit import CheckResult
from infinity_assets.sharding.plan import Plan, Task
from infinity_assets.sharding.pool import run_plan
from infinity_assets.stages.exported.folders import MANIFEST, current_export, point_current, read_manifest
from infinity_assets.stages.exported.formats import EXPORTERS, exporter
from infinity_assets.stages.exported.lines import build_lines, save_lines
from infinity_assets.stages.exported.parity import PARITY_CHECK, export_parity
from infinity_assets.stages.exported.pictures import MAX_SIDE, SHRINK_VERSION
from infinity_assets.stages.exported.schema import exported_spec
from infinity_assets.stages.exported.shard import (
    LINES_FILE,
    RECORDS,
    ShardRecord,
    read_records,
    run_export,
)
from infinity_assets.stages.filtered.contamination.check import uncontaminated
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.publish import (
    CriticalCheckFailed,
    StageResult,
    code_version,
    publish,
    verdict_stats,
)
from infinity_assets.stages.synthesized.schema import SYNTHESIZED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Published, Store

if TYPE_CHECKING:
    from infinity_assets.platform import Platform

SHARD_SAMPLES = 5_000  #: lines of a shard: about 500 MB of photos
SHARD_TIMEOUT_S = 3_600.0


def materialize_exported(
    platform: Platform, format_name: str, stage: str, run_id: str, *, shard_samples: int = SHARD_SAMPLES
) -> StageResult:
    """Export the published plan of one training stage in one format.

    The export lies in ``<exports>/<format>/<stage>/<export id>``; ``current`` beside it is a link to the
    newest one. The id covers the plan, the format and the data versions of what is read: an export that is
    there is not written again. Shards are written by ``settings.workers`` processes; which one writes which
    does not change a byte. A run that was killed leaves finished shards behind, and the next one writes the
    others.

    Args:
        format_name: a key of ``EXPORTERS``.
        stage: training stage.
        run_id: who does it.
        shard_samples: lines of a shard.

    Returns:
        The published table of shards; its notes hold ``folder``, ``export_id``, ``plan_hash``, ``samples``
        and ``bytes``.

    Raises:
        StoreError: if the format is unknown, nothing is planned yet, or the store changed under the plan.
        CriticalCheckFailed: if a blocking check fails; ``current`` stays where it was.
    """
    form = exporter(format_name)
    store = platform.store
    mixed = store.require(MIXED, stage)
    spec = exported_spec(form.format)
    planned = pl.DataFrame(pl.from_arrow(mixed.read(["sample_id", "source"], where="times > 0")))
    clean = uncontaminated(platform, spec.name, planned)
    if not clean.passed:  # before the work, not after it
        raise CriticalCheckFailed(spec.name, stage, [clean])
    sources = planned["source"].unique().sort().to_list()
    unified = {name: store.require(UNIFIED, name) for name in sources}
    inputs = {f"{MIXED.name}/{stage}": mixed.data_version}
    inputs |= {f"{UNIFIED.name}/{name}": table.data_version for name, table in unified.items()}
    rules = (form.format, form.version, MAX_SIDE, SHRINK_VERSION, shard_samples)
    # Not the data version of mixed: a reason that changes for a sample without a line changes no byte.
    talks = {name: store.published(SYNTHESIZED, name) for name in sources}
    inputs |= {f"{SYNTHESIZED.name}/{name}": table.data_version for name, table in talks.items() if table}
    read = sorted((name, table.data_version) for name, table in unified.items())
    written = sorted((name, table.data_version) for name, table in talks.items() if table)
    export_id = key_of("export", mixed.notes["plan_hash"], *rules, read, written)
    place = platform.settings.exports_root / form.format / stage
    folder = place / export_id
    if not (folder / MANIFEST).exists():
        staging = place / f".staging-{export_id}"
        _write(store, form.format, mixed, unified, talks, staging, platform.settings.workers, shard_samples)
        _finish(staging, folder, form.format, stage, mixed, dict(read))
    shards = _checked(folder)
    samples = sum(s.samples for s in shards)
    if samples != mixed.notes["lines"]:
        raise StoreError(
            f"{folder}: {samples:,} lines, the plan has {mixed.notes['lines']:,}; delete the folder"
        )
    table = pa.Table.from_pylist([asdict(s) for s in shards], schema=spec.schema)
    transaction = store.begin(spec, stage)
    staged = transaction.stage(export_id, table, verdict_stats(table, spec.key))
    notes = {
        "folder": str(folder),
        "export_id": export_id,
        "plan_hash": mixed.notes["plan_hash"],
        "samples": samples,
        "bytes": sum(s.bytes for s in shards),
    }
    result = publish(
        transaction,
        [staged],
        rows_in=len(shards),
        run_id=run_id,
        engine=platform.settings.contracts,
        inputs=inputs,
        made_by=code_version(spec.version, form.version),
        notes=notes,
        further_checks=[_parity(platform.settings.exports_root, form.format, folder), clean],
    )
    point_current(place, export_id)
    return result


def _parity(exports_root: Path, format_name: str, folder: Path) -> CheckResult:
    """Compare with one other format of the same plan: all agree if each agrees with one that was there."""
    table = exported_spec(format_name).name
    manifest = read_manifest(folder)
    for other in sorted(set(EXPORTERS) - {format_name}):
        try:
            there = current_export(exports_root, other, manifest["training_stage"])
            theirs = read_manifest(there)
        except StoreError:
            continue
        if all(theirs[key] == manifest[key] for key in ("plan_hash", "unified")):
            return replace(export_parity({format_name: folder, other: there}), table=table)
    return CheckResult(PARITY_CHECK, table, True, True, "no other format of this plan is there yet", 0)


def _write(
    store: Store,
    format_name: str,
    mixed: Published,
    unified: dict[str, Published],
    talks: dict[str, Published | None],
    staging: Path,
    workers: int,
    shard_samples: int,
) -> None:
    images = {name: store.published(IMAGES, name) for name in unified}
    lines = build_lines(mixed, unified, images, talks)
    (staging / RECORDS).mkdir(parents=True, exist_ok=True)
    for leftover in staging.rglob("*.partial"):
        leftover.unlink()
    save_lines(lines, staging / LINES_FILE)
    tables = []
    for name in sorted(unified):
        pictures, written = images[name], talks[name]
        versions = (unified[name], pictures, written)
        tables.append([name, *(table.version if table is not None else None for table in versions)])
    tasks = []
    for index, start in enumerate(range(0, lines.num_rows, shard_samples)):
        payload = {
            "format": format_name,
            "folder": str(staging),
            "index": index,
            "start": start,
            "end": min(start + shard_samples, lines.num_rows),
            "tables": tables,
        }
        if not (staging / RECORDS / f"{index:05d}.json").exists():
            tasks.append(Task("export", key_of(staging.name, index), payload))
    if workers == 1 or len(tasks) < 2:
        for task in tasks:
            run_export(store.root, task.key, task.payload)
        return
    plan = Plan(f"exported_{format_name}", mixed.partition, tuple(tasks))
    run_plan(store.root, plan, workers=workers, timeout_s=SHARD_TIMEOUT_S, on_death=_give_up)


def _give_up(task: Task, why: str) -> Sequence[Task]:
    shard = task.payload["index"]
    raise StoreError(
        f"{task.payload['folder']}: shard {shard}: {why}; run it again, finished shards are kept"
    )


def _finish(
    staging: Path,
    folder: Path,
    format_name: str,
    stage: str,
    mixed: Published,
    unified: dict[str, str],
) -> None:
    """Complete the staged export and move it to its place; the manifest is its last file."""
    shards = read_records(staging)
    exporter(format_name).finish(staging, [s.file for s in shards])
    manifest = {
        "format": format_name,
        "format_version": exporter(format_name).version,
        "training_stage": stage,
        "export_id": folder.name,
        "plan_hash": mixed.notes["plan_hash"],
        "samples": sum(s.samples for s in shards),
        "longest_side": MAX_SIDE,
        "unified": unified,  # data versions that were read
        "files": [asdict(s) for s in shards],
    }
    shutil.rmtree(staging / RECORDS)
    (staging / LINES_FILE).unlink()
    (staging / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n")
    staging.rename(folder)


def _checked(folder: Path) -> list[ShardRecord]:
    """The shards of a finished export; their sizes are looked at, their bytes are not."""
    shards = [ShardRecord(**entry) for entry in read_manifest(folder)["files"]]
    for shard in shards:
        path = folder / shard.file
        if not path.is_file() or path.stat().st_size != shard.bytes:
            raise StoreError(
                f"{path}: missing or not {shard.bytes:,} bytes; delete {folder} and export again"
            )
    return shards
