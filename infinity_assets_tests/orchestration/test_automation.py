"""Schedules and sensors, asked without a daemon."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest

from infinity_assets.automation.sensors import difference
from infinity_assets.definitions import platform_defs
from infinity_assets.platform import Platform
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

        run(definitions, instance, "decide", "beta")
        (request,), _ = ask(definitions, instance)
        assert (request.job_name, request.partition_key) == ("synthesize", "beta"), "its tags are others now"
        assert ask(definitions, instance)[0][0].run_key == request.run_key
        run(definitions, instance, "synthesize", "beta")
        assert ask(definitions, instance)[0] == []
        where = dg.AssetRecordsFilter(dg.AssetKey("duplicate_ledger"), asset_partitions=["beta"])
        newest = instance.fetch_materializations(where, limit=1).records[0].asset_materialization
        assert newest.metadata["dagster/row_count"].value == 1


def test_nightly_asks_for_one_run_of_each_source(platform):
    """A source that the schedule forgets is never refreshed."""
    definitions = platform_defs(platform)
    schedule = definitions.resolve_schedule_def("nightly")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 1, 2, 2, tzinfo=UTC),
        repository_def=definitions.get_repository_def(),
    )
    requests = schedule.evaluate_tick(context).run_requests
    assert [r.partition_key for r in requests] == ["alpha", "beta", "broken"]
    assert [r.run_key for r in requests] == [f"2026-01-02/{n}" for n in ("alpha", "beta", "broken")]


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
