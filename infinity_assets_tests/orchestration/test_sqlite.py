"""The kept connections of Dagster's records: quick here, and the same files for everyone else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from infinity_assets.orchestration import sqlite
from infinity_assets.orchestration.instance import instance_folder, open_instance

PARTITIONS = dg.StaticPartitionsDefinition(["p"])


@dg.asset(partitions_def=PARTITIONS)
def thing() -> None:
    """An asset."""


def materialize(instance: dg.DagsterInstance) -> bool:
    return dg.materialize([thing], partition_key="p", instance=instance).success


def test_every_statement_goes_through_the_kept_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Dagster stopped calling what is overridden, each run would cost five times as much, unnoticed."""
    used: Counter[str] = Counter()
    engine = sqlite.Engines.engine

    def counted(self: sqlite.Engines, url: str):
        used[url.rsplit("/", 1)[1]] += 1
        return engine(self, url)

    migrated: list[str] = []
    initialize = sqlite._EventLog._initdb

    def migrate(self: sqlite._EventLog, engine, for_index_shard: bool = False) -> None:
        migrated.append(str(engine.url))
        initialize(self, engine, for_index_shard)

    monkeypatch.setattr(sqlite.Engines, "engine", counted)
    with open_instance(tmp_path) as instance:
        monkeypatch.setattr(sqlite._EventLog, "_initdb", migrate)
        assert materialize(instance)
        assert instance.event_log_storage._seen
        before = len(migrated)
        assert materialize(instance) and materialize(instance)
        assert before and len(migrated) == before, "a later run's file is a copy of the first one's, empty"
        assert used["runs.db"] > 3 and used["index.db"] > 3 and sum(used.values()) > 15
        kept = instance.event_log_storage.engines._engines
        assert 0 < len(kept) <= sqlite.KEPT_ENGINES


def test_dagsters_own_classes_read_the_records(tmp_path: Path) -> None:
    """Otherwise `make ui` would show nothing of what `make demo` did."""
    with open_instance(tmp_path) as instance:
        for _ in range(sqlite.KEPT_ENGINES + 2):
            assert materialize(instance)
    with dg.DagsterInstance.from_config(str(instance_folder(tmp_path))) as plain:
        assert type(plain.event_log_storage).__module__.startswith("dagster.")
        runs = plain.get_runs()
        assert len(runs) == sqlite.KEPT_ENGINES + 2
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
        records = plain.fetch_materializations(dg.AssetKey("thing"), limit=50).records
        assert len(records) == len(runs)
        assert all(plain.all_logs(run.run_id) for run in runs)


@dg.asset(
    partitions_def=PARTITIONS,
    check_specs=[dg.AssetCheckSpec(name, asset="checked") for name in ("one", "two", "three")],
)
def checked():
    """An asset with checks of its own."""
    results = [dg.AssetCheckResult(passed=True, check_name=name) for name in ("one", "two", "three")]
    return dg.MaterializeResult(check_results=results)


def test_each_check_belongs_to_the_materialization_of_its_own_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who opens a check would otherwise be led to another run's table."""
    looked_up: list[int] = []
    query = SqliteEventLogStorage.fetch_materializations

    def counted(self: SqliteEventLogStorage, *args, **kwargs):
        looked_up.append(1)
        return query(self, *args, **kwargs)

    monkeypatch.setattr(SqliteEventLogStorage, "fetch_materializations", counted)
    with open_instance(tmp_path) as instance:
        for _ in range(2):
            looked_up.clear()
            result = dg.materialize([checked], partition_key="p", instance=instance)
            assert len(looked_up) == 1, "once for the step, not twice for each check"
            targets = {e.target_materialization_data for e in result.get_asset_check_evaluations()}
            stored = instance.fetch_materializations(dg.AssetKey("checked"), limit=1).records[0]
            assert {(t.run_id, t.storage_id) for t in targets if t} == {(result.run_id, stored.storage_id)}


@dg.asset(
    partitions_def=PARTITIONS,
    deps=[checked],
    check_specs=[dg.AssetCheckSpec("sound", asset="broken", blocking=True)],
)
def broken():
    """An asset whose blocking check fails."""
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=False, check_name="sound")])


def recorded(instance: dg.DagsterInstance) -> tuple[list[object], object]:
    """What two runs leave in Dagster's records, without times and ids."""
    not_of_the_run = {dg.DagsterEventType.ENGINE_EVENT, dg.DagsterEventType.LOGS_CAPTURED}  # times, places
    told: list[object] = []
    for assets in ([thing, checked], [checked, broken]):
        result = dg.materialize(assets, partition_key="p", instance=instance, raise_on_error=False)
        told += [
            (entry.dagster_event_type, entry.step_key, str(entry.get_dagster_event().asset_key))
            for entry in instance.all_logs(result.run_id)
            if entry.dagster_event_type not in not_of_the_run
        ]
    keys = [dg.AssetCheckKey(dg.AssetKey("checked"), name) for name in ("one", "two", "three")]
    keys.append(dg.AssetCheckKey(dg.AssetKey("broken"), "sound"))
    log = instance.event_log_storage
    checks = {key: [r.status for r in log.get_asset_check_execution_history(key, limit=5)] for key in keys}
    return told, checks


def test_records_are_those_of_dagsters_own_storage(tmp_path: Path) -> None:
    """An event that is written with others would otherwise be missing, or stand in another place."""
    with open_instance(tmp_path / "kept") as instance:
        ours = recorded(instance)
    with dg.DagsterInstance.from_config(str(instance_folder(tmp_path / "plain"))) as plain:
        assert ours == recorded(plain)
    with dg.DagsterInstance.from_config(str(instance_folder(tmp_path / "kept"))) as reader:
        (last, _) = reader.get_runs()
        assert last.status is dg.DagsterRunStatus.FAILURE
        assert len(reader.all_logs(last.run_id)) > 10, "nothing waits when a run has ended"


def test_what_waits_is_there_for_whoever_reads(tmp_path: Path) -> None:
    """A step that looks at what it recorded itself would not find it."""
    counted: list[int] = []

    @dg.asset
    def looks(context):  # without future annotations Dagster would read its type
        context.log_event(dg.AssetMaterialization("other"))
        counted.append(len(context.instance.fetch_materializations(dg.AssetKey("other"), limit=5).records))
        return dg.MaterializeResult()

    with open_instance(tmp_path) as instance:
        assert dg.materialize([looks], instance=instance).success
    assert counted == [1]


def test_another_storage_stays(tmp_path: Path) -> None:
    """A lab that keeps Dagster's records in another database must not find them in SQLite instead."""
    folder = instance_folder(tmp_path)
    with (folder / "dagster.yaml").open("a") as settings:
        settings.write(
            "event_log_storage:\n  module: dagster._core.storage.event_log\n"
            f"  class: ConsolidatedSqliteEventLogStorage\n  config:\n    base_dir: {tmp_path}/other\n"
        )
    with open_instance(tmp_path) as instance:
        assert type(instance.event_log_storage).__name__ == "ConsolidatedSqliteEventLogStorage"
