"""Without these, a backfill compares all sources once for each, or says that all slices are the same one."""

from __future__ import annotations

import dagster as dg
import pytest

from infinity_assets.definitions import platform_defs
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets_tests.conftest import Site, ingest, jsonl, picture, talk

SOURCES = ("a", "b", "c")


def test_one_run_of_a_backfill_compares_for_all_its_sources(
    site: Site, in_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from infinity_assets.stages.duplicate_ledger import stage

    monkeypatch.setenv("INFINITY_CONTRACTS", "arrow")
    for name in SOURCES:  # b says what a says, c something else
        said = talk("c" if name == "c" else "a", "p.png")
        site.add(name, {"r.jsonl": jsonl([said]), "p.png": picture(len(said["id"]))})
    platform = site.platform()
    for name in SOURCES:
        ingest(platform, name)
    compared, compare = [], stage.compare
    monkeypatch.setattr(stage, "compare", lambda *given: compared.append(1) or compare(*given))
    graph = platform_defs(platform)
    with dg.DagsterInstance.ephemeral() as instance:
        result = graph.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey("duplicate_ledger")],
            tags={"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"},
        )
        assert result.success and compared == [1]
        for name in SOURCES:
            where = dg.AssetRecordsFilter(dg.AssetKey("duplicate_ledger"), asset_partitions=[name])
            (last,) = instance.fetch_materializations(where, limit=1).records
            published = platform.store.require(DUPLICATE_LEDGER, name)
            assert last.asset_materialization is not None
            assert last.asset_materialization.tags["dagster/data_version"] == published.data_version
            assert last.asset_materialization.metadata["dagster/row_count"].value == published.rows
        evaluated = [e for e in result.all_events if e.event_type_value == "ASSET_CHECK_EVALUATION"]
        assert evaluated and all(e.event_specific_data.passed for e in evaluated)
