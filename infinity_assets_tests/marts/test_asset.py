"""The job ``quality`` in Dagster: one snapshot, its materializations, and a check for each of dbt's tests."""

from __future__ import annotations

import dagster as dg

from infinity_assets.definitions import platform_defs
from infinity_assets.marts.dbt import promises
from infinity_assets.orchestration.runner import QUIET


def test_each_promise_is_a_check_of_the_snapshot_or_the_marts(told, published):
    """Lost otherwise: a red that only a file knows of."""
    with dg.DagsterInstance.ephemeral() as instance:
        job = platform_defs(told).resolve_job_def("quality")
        result = job.execute_in_process(instance=instance, run_config=QUIET)
        checks = result.get_asset_check_evaluations()
        assert {c.check_name for c in checks} == {p.name for p in promises()}
        assert all(c.passed for c in checks if c.severity is dg.AssetCheckSeverity.ERROR)
        of_source = {p.name for p in promises() if p.of_source}
        assert {c.check_name for c in checks if c.asset_key.path == ["quality_snapshot"]} == of_source
        events = {e.asset_key.path[0]: e for e in result.get_asset_materialization_events()}
        assert set(events) == {"quality_snapshot", "quality_marts"}
        metadata = events["quality_marts"].materialization.metadata
        assert metadata["snapshot"].value == published.snapshot.number, (
            "nothing changed, so nothing new is made"
        )
        assert metadata["page"].value == str(published.snapshot.page)


def test_no_run_of_the_pipeline_takes_a_snapshot(told):
    """Lost otherwise: seconds and a missing dbt in the way of every source."""
    definitions = platform_defs(told)
    for name in ("source_pipeline", "ingest", "decide", "converge", "mix"):
        keys = {k.path[0] for k in definitions.resolve_job_def(name).asset_layer.executable_asset_keys}
        assert not keys & {"quality_snapshot", "quality_marts"}, name
