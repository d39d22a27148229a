"""Great Expectations inside the pipeline. Without these, what breaks a contract is published all the same."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from infinity_assets.orchestration.instance import open_instance
from infinity_assets.orchestration.run import run_pipeline
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.stages.publish import kept_checks
from infinity_assets.stages.tagged import stage as tagged_stage
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets_tests.orchestration.small import small_platform

CHECK = "question_type_is_a_code"


def test_a_deployment_is_judged_by_great_expectations_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INFINITY_CONTRACTS")
    assert Settings().contracts == "great_expectations"
    monkeypatch.setenv("INFINITY_CONTRACTS", "arrow")
    assert Settings().contracts == "arrow"


def test_rows_that_break_a_critical_contract_are_named_and_nothing_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline runs, and not one connection is made; then a stage writes what its contract refuses."""
    dialled: list[object] = []
    connect = socket.socket.connect

    def dial(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            dialled.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", dial)
    given = small_platform(tmp_path).settings
    platform = Platform(Settings(home=given.home, catalogue=given.catalogue, contracts="great_expectations"))
    assert run_pipeline(platform, ["alpha"], lambda event: None).ok
    assert dialled == []
    good = platform.store.require(TAGGED, "alpha")

    honest = tagged_stage.tag_batch

    def careless(*args: Any) -> pa.Table:
        table = honest(*args)
        at = table.schema.get_field_index("question_type")
        return table.set_column(at, table.schema.field(at), [["No code!", *["other"] * (len(table) - 1)]])

    monkeypatch.setattr(tagged_stage, "tag_batch", careless)
    monkeypatch.setattr(tagged_stage, "TAG_VERSION", "careless")
    report = run_pipeline(platform, ["alpha"], lambda event: None)
    assert [o.stage for o in report.failed] == ["tagged"]
    assert CHECK in str(report.failed[0].error)
    assert platform.store.require(TAGGED, "alpha") == good

    (blamed,) = (c for c in kept_checks(platform.store, "tagged", "alpha")[-1]["checks"] if not c["passed"])
    first = good.read(["sample_id"]).column("sample_id")[0].as_py()
    assert (blamed["name"], blamed["failing_ids"]) == (CHECK, [first])
    with open_instance(platform.settings.home) as instance:
        key = dg.AssetCheckKey(dg.AssetKey("tagged"), "declared_columns")
        record, *_ = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    evaluation = record.event.dagster_event.event_specific_data
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert f"/s/{first}" in evaluation.metadata["failing_rows"].value
    assert f"/check/tagged/alpha/{CHECK}?run=" in evaluation.metadata[f"failing_samples: {CHECK}"].value
