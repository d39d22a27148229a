"""The pipeline through Dagster, in this process."""

from __future__ import annotations

import dagster as dg
import pytest

from infinity_assets.errors import CatalogueError
from infinity_assets.orchestration.instance import DAGSTER_YAML, instance_folder, open_instance
from infinity_assets.orchestration.run import run_pipeline
from infinity_assets.quality.audit import CheckResult
from infinity_assets.stages.deduped import stage as deduped_stage
from infinity_assets.stages.publish import CriticalCheckFailed
from infinity_assets.stages.raw import stage as raw_stage
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets_tests.orchestration.small import SECRET, small_platform


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    platform = small_platform(tmp_path_factory.mktemp("run"))
    events = []
    report = run_pipeline(platform, list(platform.catalogue), events.append)
    return platform, report, events


def last(platform, asset, partition):
    with open_instance(platform.settings.home) as instance:
        where = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[partition])
        records = instance.fetch_materializations(where, limit=1).records
        return records[0].asset_materialization if records else None


def test_one_broken_source_stops_no_other(done):
    """A missing folder in one source must not cost the night's run of the others."""
    _, report, _ = done
    assert [(o.stage, o.partition) for o in report.failed] == [("raw", "broken")]
    assert "files/broken" in report.failed[0].error
    assert "\n" not in report.failed[0].error
    ended = {(o.stage, o.partition) for o in report.outcomes if o.kind == "finished"}
    assert {("filtered", "alpha"), ("filtered", "beta"), ("mixed", "2a"), ("exported_llava", "2a")} <= ended


def test_listener_hears_starts_and_ends(done):
    """A progress bar that misses an end never fills."""
    _, _, events = done
    started = [(e.stage, e.partition) for e in events if e.kind == "started"]
    ended = [(e.stage, e.partition) for e in events if e.kind in {"finished", "failed"}]
    assert sorted(started) == sorted(ended)


def test_materializations_show_counts_links_and_versions(done):
    """The asset page is where an engineer sees what a run did, and opens the samples it dropped."""
    platform, _, _ = done
    event = last(platform, "deduped", "beta")
    shown = {k: v.value for k, v in event.metadata.items()}
    assert (shown["dagster/row_count"], shown["kept"], shown["dropped"], shown["rows_in"]) == (2, 1, 1, 2)
    assert shown["reasons"] == {"exact_pair": 1}
    base = platform.settings.preview_url
    assert shown["all_drop"] == f"{base}/stage/deduped/beta?verdict=drop"
    assert f"{base}/stage/deduped/beta?reason=exact_pair" in shown["why_not_kept"]
    assert f"{base}/s/beta-" in shown["dropped_examples"]
    assert event.tags["dagster/data_version"] == shown["data_version"]
    assert {"seconds", "rows_per_second", "lance_version", "committed", "dagster/uri"} <= set(shown)
    first, copy_of = shown["dagster/column_schema"].columns[:2]
    assert first.name == "sample_id" and "earlier sample" in copy_of.description


def test_raw_mixed_and_exports_show_what_only_they_have(done):
    """The upstream diff, what a mix got of what it asked for, and where the files lie."""
    platform, _, _ = done
    raw = last(platform, "raw", "alpha").metadata
    assert raw["files_added"].value == 4
    assert "`records/red.png`" in raw["upstream_diff"].value
    assert "| asked |" in last(platform, "mixed", "2a").metadata["asked_and_realised"].value
    assert (
        last(platform, "exported_llava", "2a")
        .metadata["folder"]
        .path.startswith(str(platform.settings.exports_root))
    )


def test_every_check_of_the_contract_is_recorded_per_partition(done):
    """A check that is silently not evaluated is a promise that nobody keeps."""
    platform, _, _ = done
    with open_instance(platform.settings.home) as instance:
        for asset, name, partitions in (
            ("unified", "rows_conserved", {"alpha", "beta"}),
            ("exported_webdataset", "export_parity", {"2a"}),
        ):
            key = dg.AssetCheckKey(dg.AssetKey(asset), name)
            records = instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
            passed = {r.partition for r in records if r.status.value == "SUCCEEDED"}
            assert passed == partitions


def test_no_sample_text_in_dagsters_records(done):
    """The event log cannot be cleaned by a take-down, so no text of a sample may be in it."""
    platform, _, _ = done
    files = [p for p in (platform.settings.home / "dagster").rglob("*") if p.is_file()]
    assert any(p.suffix == ".db" for p in files)
    assert [p for p in files if SECRET.encode() in p.read_bytes()] == []
    assert SECRET in str(platform.store.require(UNIFIED, "alpha").read(["turns"]).to_pylist())


def test_running_again_commits_nothing(done):
    """An unchanged source must leave nothing downstream stale."""
    platform, report, _ = done
    again = run_pipeline(platform, ["alpha"], lambda event: None)
    assert again.ok
    assert not any(o.result.committed for o in again.outcomes)
    before = {(o.stage, o.partition): o.result for o in report.outcomes if o.result}
    for outcome in again.outcomes:
        known = before[outcome.stage, outcome.partition].published
        assert outcome.result.published.data_version == known.data_version


def test_slices_of_other_sources_are_recorded_one_by_one(done):
    """Staleness of a source's verdicts hangs on the data version of its own slice of the ledger."""
    platform, _, _ = done
    alpha, beta = (last(platform, "duplicate_ledger", name) for name in ("alpha", "beta"))
    assert alpha.metadata["dagster/row_count"].value == 0
    assert beta.metadata["dagster/row_count"].value == 1
    assert alpha.tags["dagster/data_version"] != beta.tags["dagster/data_version"]


def test_failed_critical_check_is_recorded_and_no_materialization_is(tmp_path, monkeypatch):
    """The red check must be visible, and the partition must not look new."""
    platform = small_platform(tmp_path)
    bad = CheckResult("rows_conserved", "deduped", False, True, "a row is lost", 1, ("alpha-" + "0" * 32,))

    def fail(platform, source, run_id):
        raise CriticalCheckFailed("deduped", source, [bad])

    monkeypatch.setattr(deduped_stage, "materialize_deduped", fail)
    report = run_pipeline(platform, ["alpha"], lambda event: None)
    assert report.failed[0].stage == "deduped"
    assert last(platform, "deduped", "alpha") is None
    with open_instance(platform.settings.home) as instance:
        key = dg.AssetCheckKey(dg.AssetKey("deduped"), "rows_conserved")
        (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    evaluation = record.event.dagster_event.event_specific_data
    assert not evaluation.passed
    assert evaluation.partition == "alpha"
    assert f"/s/alpha-{'0' * 32}" in evaluation.metadata["failing_rows"].value


def test_stop_signal_ends_the_whole_run(tmp_path, monkeypatch):
    """Ctrl-C that only fails one step, and then goes on with the next source, is no Ctrl-C."""
    platform = small_platform(tmp_path)

    def interrupted(platform, source, run_id):
        raise dg.DagsterExecutionInterruptedError

    monkeypatch.setattr(raw_stage, "materialize_raw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(platform, ["alpha", "beta"], lambda event: None)


def test_unknown_source_is_refused_before_anything_runs(tmp_path):
    """A typing error must not start half a run."""
    platform = small_platform(tmp_path)
    with pytest.raises(CatalogueError, match="alpah"):
        run_pipeline(platform, ["alpha", "alpah"], lambda event: None)
    assert not (platform.settings.home / "store").exists()


def test_own_dagster_settings_are_kept(tmp_path):
    """A person's dagster.yaml (Postgres, say) must survive `infinity ui`."""
    folder = instance_folder(tmp_path)
    assert (folder / "dagster.yaml").read_text() == DAGSTER_YAML
    (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    assert "nux" not in (instance_folder(tmp_path) / "dagster.yaml").read_text()
