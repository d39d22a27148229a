"""Dagster's records in Postgres, with the settings that the page for engineers gives."""

from __future__ import annotations

from contextlib import closing

import dagster as dg
import psycopg2
import pytest

from infinity_assets.definitions import platform_defs
from infinity_assets.errors import StoreError
from infinity_assets.orchestration.instance import DAGSTER_YAML, instance_folder, open_instance
from infinity_assets.orchestration.run import run_pipeline
from infinity_assets_tests.docs.pages import ROOT, blocks
from infinity_assets_tests.orchestration.postgres import MISSING, postgres, programs
from infinity_assets_tests.orchestration.small import small_platform


def settings():
    """The ``dagster.yaml`` that is made by itself, with what the page adds to it."""
    page = ROOT / "docs" / "engineer.md"
    (text,) = [b.text for b in blocks(page) if b.kind == "yaml" and "postgres_url" in b.text]
    assert text.startswith("# my_home/dagster/dagster.yaml\n")
    return DAGSTER_YAML + text


@pytest.fixture(scope="module")
def url():
    found = programs()
    if found is None:
        pytest.skip(MISSING)
    with postgres(found) as address:
        yield address


def test_runs_materializations_and_checks_lie_in_postgres(url, tmp_path, monkeypatch):
    """Lost otherwise: a cluster whose run pods each keep records that nobody else sees."""
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    platform = small_platform(tmp_path)
    folder = instance_folder(platform.settings.home)
    (folder / "dagster.yaml").write_text(settings())
    jobs = platform_defs(platform)
    with open_instance(platform.settings.home) as instance:
        for job, name, works in (("ingest", "alpha", True), ("decide", "alpha", False)):
            result = jobs.resolve_job_def(job).execute_in_process(
                partition_key=name, instance=instance, raise_on_error=False
            )
            assert result.success is works, "verdicts need the ledger, which was not made"
    with open_instance(platform.settings.home) as instance:
        assert type(instance.run_storage).__name__ == "PostgresRunStorage"
        assert instance.get_materialized_partitions(dg.AssetKey("unified")) == {"alpha"}
        key = dg.AssetCheckKey(dg.AssetKey("unified"), "rows_conserved")
        (check,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
        assert check.partition == "alpha"
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("select status from runs order by status")
        assert cursor.fetchall() == [("FAILURE",), ("SUCCESS",)]
    assert list(folder.rglob("*.db")) == [], "records beside Postgres, which nobody would read"


def test_a_database_that_is_away_is_told_before_anything_runs(url, tmp_path, monkeypatch):
    """Lost otherwise: an hour of work whose records cannot be written."""
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url.replace("/postgres", "/absent"))
    monkeypatch.setattr("dagster_postgres.utils.time.sleep", lambda seconds: None)  # it tries for 15 s
    platform = small_platform(tmp_path)
    (instance_folder(platform.settings.home) / "dagster.yaml").write_text(settings())
    with pytest.raises(StoreError, match=r'dagster\.yaml: .* database "absent" does not exist'):
        run_pipeline(platform, ["alpha"], lambda event: None)
    assert not (platform.settings.home / "store").exists()
