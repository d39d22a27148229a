"""Tests of the dbt project: a sound deployment passes, and each defect fails the tests that are about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

from infinity_assets.errors import CatalogueError, StoreError
from infinity_assets.marts.dbt import PROJECT, build_marts, find_dbt, promises

Change = Callable[[pl.DataFrame], pl.DataFrame]


def spoil(snapshot: Path, table: str, change: Change, partition: str = "") -> None:
    """Change the first file of a table that has rows."""
    for path in sorted((snapshot / table).glob(f"{partition}*.parquet")):
        frame = pl.read_parquet(path)
        if len(frame):
            change(frame).write_parquet(path)
            return
    raise AssertionError(f"{table} has no rows")


def keep(frame: pl.DataFrame) -> pl.DataFrame:
    """Every verdict a keep, as a stage that forgot to drop would write it."""
    return frame.with_columns(verdict=pl.lit("keep"), reason=pl.lit(None, pl.String))


def mark(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(verdict=pl.lit("drop"), reason=pl.lit("unlicensed"))


#: Two broken snapshots: for each defect the table, its change and partition, and the tests that must fail.
DEFECTS: dict[str, list[tuple[str, Change, str, set[str]]]] = {
    "rows are lost, an id stands in two sources, a keep has a reason": [
        (
            "deduped",
            lambda f: f.head(len(f) - 1),
            "talks",
            {"deduped_has_each_kept_of_unified", "tagged_has_each_kept_of_deduped"},
        ),
        (
            "unified",
            lambda f: pl.concat([f, f.head(1).with_columns(source=pl.lit("talks"))]),
            "scenes",
            {"sample_ids_are_unique_across_sources", "manifests_count_what_is_there", "rows_are_conserved"},
        ),
        (
            "filtered",
            lambda f: f.with_columns(reason=pl.lit("unlicensed")),
            "talks",
            {"filtered_has_a_known_verdict"},
        ),
    ],
    "a duplicate stays, a mix takes what is dropped, and has more lines than it tells": [
        ("deduped", keep, "copies", {"duplicates_do_not_both_stay", "tagged_has_each_kept_of_deduped"}),
        ("filtered", mark, "talks", {"mixes_take_kept_samples_alone", "manifests_count_what_is_there"}),
        (
            "mixed",
            lambda f: f.with_columns(times=pl.col("times") + 1),
            "",
            {"mixes_add_up", "exports_have_every_line"},
        ),
    ],
}


@pytest.mark.parametrize("defects", DEFECTS.values(), ids=DEFECTS)
def test_a_broken_snapshot_fails_the_tests_that_are_about_it(defects, broken, dbt):
    """Lost otherwise: a defect between stages that no contract of one stage can see."""
    for table, change, partition, _ in defects:
        spoil(broken, table, change, partition)
    results = build_marts(dbt, broken, 2, 2)
    failed = {row["name"]: row for row in results if not row["passed"] and row["blocking"]}
    assert set(failed) == set().union(*(names for *_, names in defects))
    assert all(row["failed_rows"] for row in failed.values())
    by_counts = {
        "manifests_count_what_is_there",
        "rows_are_conserved",
        "mixes_add_up",
        "exports_have_every_line",
    }
    assert all(row["failing_ids"] for name, row in failed.items() if name not in by_counts)


def test_a_sound_deployment_passes_every_test(published):
    """Lost otherwise: red that everybody learns to overlook."""
    assert {t["name"] for t in published.tests} == {p.name for p in promises()}
    assert [t["name"] for t in published.failed if t["blocking"]] == []


def test_every_test_of_the_project_is_described(dbt):
    """Lost otherwise: a test that runs and that nobody sees in Dagster, or a check that nothing decides."""
    singular = {path.stem for path in (PROJECT / "tests").glob("*.sql")}
    named = {p.name for p in promises() if not p.of_source}
    assert singular == named
    assert all(p.description and p.stage for p in promises())


def test_no_dbt_is_told_with_what_to_do(tmp_path):
    """Lost otherwise: a user in front of a traceback of a program that was never installed."""
    with pytest.raises(CatalogueError, match="make quality"):
        find_dbt(tmp_path / "no-such-dbt")


@pytest.mark.parametrize("with_dbt", [True, False])
def test_a_database_that_gives_up_publishes_nothing(broken, dbt, with_dbt):
    """Lost otherwise: marts of half a snapshot, shown as if they were whole."""
    next((broken / "unified").glob("talks*.parquet")).write_bytes(b"not parquet")
    with pytest.raises(StoreError, match=r"dbt could not build the marts|of the dbt project does not run"):
        build_marts(dbt if with_dbt else None, broken, 2, 2)


def test_where_no_dbt_is_the_same_files_give_the_same_marts_and_verdicts(broken, dbt, tmp_path_factory):
    """Lost otherwise: figures that depend on what happens to be installed."""
    for defects in DEFECTS.values():
        for table, change, partition, _ in defects:
            spoil(broken, table, change, partition)
    other = shutil.copytree(broken, tmp_path_factory.mktemp("plain") / "snapshot")
    by_dbt, plainly = build_marts(dbt, broken, 2, 2), build_marts(None, other, 2, 2)
    told = ("name", "passed", "failed_rows", "stage", "blocking", "told")
    assert [[row[key] for key in told] for row in by_dbt] == [[row[key] for key in told] for row in plainly]
    assert [bool(row["failing_ids"]) for row in by_dbt] == [bool(row["failing_ids"]) for row in plainly]
    marts = {path.name for path in (broken / "marts").iterdir()}
    assert marts == {path.name for path in (other / "marts").iterdir()} and len(marts) > 14
    for name in marts - {"check_results.parquet", "check_history.parquet"}:  # ids of examples are any of them
        one, two = (pl.read_parquet(folder / "marts" / name) for folder in (broken, other))
        assert one.schema == two.schema and one.sort(pl.all()).equals(two.sort(pl.all())), name


def test_marts_are_built_where_a_query_has_to_spill():
    """Lost otherwise: marts of real size: dbt-duckdb repeats ``settings``, and DuckDB refuses that one."""
    profile = yaml.safe_load((PROJECT / "profiles.yml").read_text("utf-8"))
    output = profile["infinity_quality"]["outputs"]["snapshot"]
    assert "temp_directory" in output["config_options"]
    assert "temp_directory" not in output["settings"]
