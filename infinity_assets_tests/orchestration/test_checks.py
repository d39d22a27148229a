"""What a failed check leads to. Without these, a red check is a dead end."""

from __future__ import annotations

import dagster as dg

from infinity_assets.orchestration.checks import check_results
from infinity_assets.orchestration.links import Links
from infinity_assets.quality.audit import CheckResult
from infinity_assets.quality.contract import load_contract
from infinity_assets.quality.drift import drift
from infinity_assets.stages.raw.manifest import ManifestDiff
from infinity_assets.stages.raw.upstream import UPSTREAM, upstream_checks

LINKS = Links("http://samples")


def shown(table: str, results: list[CheckResult]) -> dg.AssetCheckResult:
    (found,) = check_results(table, "src", load_contract(table), results, LINKS, "run-1")
    return found


def test_a_drop_rate_that_moved_leads_to_what_was_dropped_for_that_reason() -> None:
    before = {"rows": 1000, "reasons": {"near_pair": 10}}
    after = {"rows": 1000, "reasons": {"near_pair": 300}}
    found = shown("deduped", drift(load_contract("deduped"), before, after))
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.metadata["failing_samples"].value == "http://samples/stage/deduped/src?reason=near_pair"


def test_what_is_wrong_with_a_source_is_one_check_that_names_every_file() -> None:
    changes = ManifestDiff(("records/new",), ("records/gone",), ("records/a",))
    results = upstream_checks(changes, ["records/locked"], True, "Proprietary", "unlicensed")
    found = shown("raw", results)
    assert (found.check_name, found.passed, found.severity) == (UPSTREAM, False, dg.AssetCheckSeverity.WARN)
    assert "Proprietary is unlicensed" in str(found.description)
    for name in ("records/gone", "records/locked", "records/a"):
        assert name in found.metadata["failing_rows"].value
    link = found.metadata["failing_samples: upstream_files_are_there"].value
    assert link == "http://samples/check/raw/src/upstream_files_are_there?run=run-1"
    fine = upstream_checks(ManifestDiff((), (), ("records/a",)), [], False, "MIT", None)
    assert shown("raw", fine).passed, "a new revision may change files"
