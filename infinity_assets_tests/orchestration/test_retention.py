"""The weekly job: old runs go, but what the pages of assets show stays, and what tables refer to."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from infinity_assets.definitions import platform_defs
from infinity_assets.orchestration.retention import clean_store, prune_runs, versions_in_use
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.store.tables import Store
from infinity_assets_tests.orchestration.small import add_source, small_platform

NOW = timedelta(seconds=-5)


def test_old_runs_go_and_no_partition_looks_unmade(tmp_path):
    """Lost otherwise: a log that grows for ever, or assets that look missing after a clean-up."""
    platform = small_platform(tmp_path)
    definitions = platform_defs(platform)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def ingest(name):
            job = definitions.resolve_job_def("ingest")
            return job.execute_in_process(partition_key=name, instance=instance, raise_on_error=False).run_id

        old, new, other, failed = ingest("alpha"), ingest("alpha"), ingest("beta"), ingest("broken")
        assert prune_runs(platform, instance, timedelta(days=1)) == 0
        assert prune_runs(platform, instance, NOW, dry_run=True) == 1
        assert prune_runs(platform, instance, NOW) == 1
        assert {run.run_id for run in instance.get_runs()} == {new, other, failed}, "the red one is shown too"
        assert instance.get_run_by_id(old) is None
        assert instance.get_materialized_partitions(dg.AssetKey("unified")) == {"alpha", "beta"}
        key = dg.AssetCheckKey(dg.AssetKey("unified"), "rows_conserved")
        infos = instance.event_log_storage.get_asset_check_partition_info([key])
        assert {(i.partition_key, i.latest_execution_status.value) for i in infos} >= {
            ("alpha", "SUCCEEDED"),
            ("beta", "SUCCEEDED"),
        }
        assert prune_runs(platform, instance, NOW) == 0


def test_the_version_of_raw_that_samples_were_read_from_stays(tmp_path):
    """Lost otherwise: a whole source read again because nobody can tell what changed in it."""
    platform = small_platform(tmp_path)
    definitions = platform_defs(platform)
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.resolve_job_def("ingest")
        assert job.execute_in_process(partition_key="alpha", instance=instance).success
        used = platform.store.require(RAW, "alpha").version
        for colours in (["red"], ["red", "black"]):
            add_source(platform.settings.catalogue, "alpha", colours)
            materialize_raw(platform, "alpha", "later")
        assert versions_in_use(platform) == {("raw", "alpha"): {used}}
        retention = definitions.resolve_job_def("retention")
        assert retention.execute_in_process(instance=instance).success
        found = {(one.table, one.partition): one.removed for one in clean_store(platform, NOW)}
        assert found["raw", "alpha"] == 2, "the empty one and the one in between"
        assert Store(platform.settings.store_root).past(RAW, "alpha", used) is not None
