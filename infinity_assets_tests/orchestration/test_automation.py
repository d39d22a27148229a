"""Schedules and sensors, asked without a daemon."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from infinity_assets.automation.sensors import difference
from infinity_assets.definitions import platform_defs
from infinity_assets.platform import Platform
from infinity_assets.quality.audit import CheckResult
from infinity_assets.stages.filtered import stage as filtered_stage
from infinity_assets.stages.publish import CriticalCheckFailed
from infinity_assets_tests.orchestration.small import add_source, small_platform, write_spec


@pytest.fixture
def platform(tmp_path):
    return small_platform(tmp_path)


def run(definitions, instance, job, partition):
    result = definitions.resolve_job_def(job).execute_in_process(partition_key=partition, instance=instance)
    assert result.success


def ask(definitions, instance):
    sensor = definitions.resolve_sensor_def("converge")
    context = dg.build_sensor_context(instance=instance, definitions=definitions)
    found = sensor.evaluate_tick(context)
    return found.run_requests, found.skip_message


def test_converge_asks_for_the_sources_whose_ledger_changed_under_them(platform):
    """A duplicate that arrives with a better source later must still drop the older sample."""
    definitions = platform_defs(platform)
    with dg.DagsterInstance.ephemeral() as instance:
        run(definitions, instance, "source_pipeline", "beta")
        assert ask(definitions, instance)[0] == []
        run(definitions, instance, "ingest", "alpha")
        run(definitions, instance, "converge", "alpha")
        (request,), _ = ask(definitions, instance)
        assert request.partition_key == "beta"
        assert request.tags["dagster/partition"] == "beta"
        assert ask(definitions, instance)[0][0].run_key == request.run_key

        busy = dg.DagsterRun(
            job_name="decide", status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": "beta"}
        )
        instance.add_run(busy)
        requests, said = ask(definitions, instance)
        assert requests == []
        assert "1 in progress" in said
        instance.delete_run(busy.run_id)
        backfill = PartitionBackfill("b", BulkActionStatus.REQUESTED, False, {}, 0.0)
        instance.add_backfill(backfill)
        assert ask(definitions, instance)[0] == [], "its last wave decides beta"
        instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))

        run(definitions, instance, "decide", "beta")
        (request,), _ = ask(definitions, instance)
        assert (request.job_name, request.partition_key) == ("synthesize", "beta"), "its tags are others now"
        assert ask(definitions, instance)[0][0].run_key == request.run_key
        run(definitions, instance, "synthesize", "beta")
        assert ask(definitions, instance)[0] == []
        where = dg.AssetRecordsFilter(dg.AssetKey("duplicate_ledger"), asset_partitions=["beta"])
        newest = instance.fetch_materializations(where, limit=1).records[0].asset_materialization
        assert newest.metadata["dagster/row_count"].value == 1


def nightly(definitions, name, day=2):
    schedule = definitions.resolve_schedule_def(name)
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 1, day, 2, tzinfo=UTC),
        repository_def=definitions.get_repository_def(),
    )
    return schedule.evaluate_tick(context)


def test_nightly_asks_for_sources_that_changed_and_for_no_other(platform):
    """Lost otherwise: a source that is never refreshed, or a night spent on those that did not change."""
    definitions = platform_defs(platform)
    with dg.DagsterInstance.ephemeral() as instance:
        asked = nightly(definitions, "nightly").run_requests
        assert [r.partition_key for r in asked] == ["alpha", "beta", "broken"], "none was read"
        assert [r.run_key for r in asked] == [f"2026-01-02/{n}" for n in ("alpha", "beta", "broken")]
        run(definitions, instance, "ingest", "alpha")
        run(definitions, instance, "ingest", "beta")
    write_spec(platform.settings.catalogue, "broken")
    assert [r.partition_key for r in nightly(definitions, "nightly").run_requests] == ["broken"]
    add_source(platform.settings.catalogue, "broken", ["black"])
    add_source(platform.settings.catalogue, "beta", ["red", "yellow"], priority=60)
    assert [r.partition_key for r in nightly(definitions, "nightly").run_requests] == ["beta", "broken"]
    weekly = nightly(definitions, "weekly_full_check").run_requests
    assert [r.partition_key for r in weekly] == ["alpha", "beta", "broken"], "every byte of all"


def test_upstream_sensor_asks_for_new_changed_and_edited_sources_once_and_never_for_others(platform):
    """Lost otherwise: drift that nobody sees, a run every hour, a broken source that hides the others."""
    definitions = platform_defs(platform)
    sensor = definitions.resolve_sensor_def("upstream_changed")
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED, "a first reading is a person's decision"
    folder = platform.settings.catalogue
    with dg.DagsterInstance.ephemeral() as instance:

        def tick(cursor=None):
            context = dg.build_sensor_context(instance=instance, definitions=definitions, cursor=cursor)
            found = sensor.evaluate_tick(context)
            return {r.partition_key: r.run_key for r in found.run_requests}, found

        new, found = tick()
        assert set(new) == {"alpha", "beta"}, "`broken` cannot be listed, which stops no other"
        assert tick(found.cursor)[0] == new, "the same names, so that Dagster starts no second run"
        for name in new:
            run(definitions, instance, "ingest", name)
        none, found = tick(found.cursor)
        assert none == {} and "cannot be listed: broken" in found.skip_message
        rows = folder / "files" / "alpha" / "rows.json"
        rows.write_text(rows.read_text() + " ")
        (changed, found) = tick(found.cursor)
        assert set(changed) == {"alpha"} and changed["alpha"] != new["alpha"]
        run(definitions, instance, "ingest", "alpha")
        write_spec(folder, "beta", priority=70)
        edited, found = tick(found.cursor)
        assert set(edited) == {"beta"}
        assert tick(found.cursor)[0] == {}
        busy = dg.DagsterRun(
            job_name="ingest", status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": "beta"}
        )
        instance.add_run(busy)
        write_spec(folder, "beta", priority=80)
        none, found = tick(found.cursor)
        assert none == {}
        instance.delete_run(busy.run_id)
        assert set(tick(found.cursor)[0]) == {"beta"}, (
            "what changed while a run was under way is not forgotten"
        )


def test_mixes_follow_new_content_with_guards_and_are_never_made_for_the_first_time(platform, monkeypatch):
    """Lost otherwise: a flood of plans at the start, plans over failed checks, or for nothing new."""
    (platform.settings.catalogue / "broken.yaml").unlink()
    platform = Platform(platform.settings)
    definitions = platform_defs(platform)
    with dg.DagsterInstance.ephemeral() as instance:

        def requested(cursor=None):
            found = dg.evaluate_automation_conditions(definitions, instance, cursor=cursor)
            keys = found.get_requested_partitions(dg.AssetKey("mixed"))
            assert found.total_requested == len(keys), "only mixes have a condition"
            return set(keys), found.cursor

        run(definitions, instance, "source_pipeline", "alpha")
        keys, cursor = requested()
        assert keys == set()
        run(definitions, instance, "mix", "2a")
        keys, cursor = requested(cursor)
        assert keys == set(), "what it was just made of is nothing new"
        run(definitions, instance, "decide", "alpha")
        keys, cursor = requested(cursor)
        assert keys == set(), "materialized again with equal content"
        add_source(platform.settings.catalogue, "alpha", ["red", "green", "brown"], priority=50)
        bad = CheckResult("rows_conserved", "filtered", False, True, "a row is lost", 1, ())

        def fail(platform, source, run_id):
            raise CriticalCheckFailed("filtered", source, [bad])

        with monkeypatch.context() as patch:
            patch.setattr(filtered_stage, "materialize_filtered", fail)
            job = definitions.resolve_job_def("source_pipeline")
            assert not job.execute_in_process(
                partition_key="alpha", instance=instance, raise_on_error=False
            ).success
        keys, cursor = requested(cursor)
        assert keys == set(), "a blocking check failed"
        run(definitions, instance, "decide", "alpha")
        keys, cursor = requested(cursor)
        assert keys == {"2a"}, "and no training stage that nobody ever mixed"
        keys, cursor = requested(cursor)
        assert keys == set()


def test_freshness_is_watched_of_what_moves_every_week(platform):
    specs = {s.key.to_user_string(): s for s in platform_defs(platform).resolve_all_asset_specs()}
    watched = {name for name, spec in specs.items() if spec.freshness_policy is not None}
    assert watched == {"raw", "quality_snapshot"}
    conditions = {name for name, spec in specs.items() if spec.automation_condition is not None}
    assert conditions == {"mixed"}


def test_catalogue_sensor_says_what_differs(platform):
    """A new source that silently has no partition looks like a source that was processed."""
    definitions = platform_defs(platform)
    folder = platform.settings.catalogue

    def said():
        context = dg.build_sensor_context(definitions=definitions)
        return definitions.resolve_sensor_def("catalogue_changed").evaluate_tick(context).skip_message

    with dg.DagsterInstance.ephemeral():
        assert said() == "the catalogue folder has the sources that are loaded"
        add_source(folder, "gamma", ["black"])
        (folder / "broken.yaml").unlink()
        assert "new: gamma. gone: broken" in said()
        write_spec(folder, "delta", priority=-1)
        assert "wrong: delta.yaml:1: priority" in said()
    assert difference(Platform(platform.settings), ["alpha", "beta", "gamma"]) is not None
