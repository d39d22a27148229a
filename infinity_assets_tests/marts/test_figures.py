"""Figures against counting by hand: what the dashboard draws is what the tables of the snapshot hold."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import duckdb
import polars as pl
import pytest

from infinity_assets.marts import figures
from infinity_assets.marts.freshness import freshness, looked_at
from infinity_assets.marts.publish import publish_quality
from infinity_assets.marts.reader import Marts
from infinity_assets.marts.versions import became, versions


@pytest.fixture(scope="module")
def folder(told, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = told.settings.model_copy(
        update={"home": tmp_path_factory.mktemp("figures"), "store": told.settings.store_root}
    )
    return publish_quality(type(told)(settings), plainly=True).snapshot.folder


@pytest.fixture(scope="module")
def marts(folder: Path) -> Marts:
    return Marts(folder)


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / name / "*.parquet")


def test_the_funnel_counts_rows_of_the_chosen_sources(folder, marts):
    """Lost otherwise: decisions on figures that are about something else."""
    rows = table(folder, "filtered")
    for sources in ([], ["talks"], ["talks", "scenes"]):
        mine = rows.filter(pl.col("source").is_in(sources)) if sources else rows
        found = figures.funnel(marts, sources).filter(pl.col("stage") == "filtered").row(0, named=True)
        assert found["kept"] == (mine["verdict"] == "keep").sum()
        assert found["dropped"] == (mine["verdict"] == "drop").sum()
        reasons = figures.reasons(marts, sources).filter(pl.col("stage") == "filtered")
        told = mine.filter(pl.col("reason").is_not_null())["reason"].value_counts(name="n")
        assert dict(reasons.group_by("reason").agg(pl.col("rows").sum()).rows()) == dict(told.rows())


def test_bins_hold_every_measured_sample_once_and_name_those_in_them(folder, marts):
    """Lost otherwise: a histogram that leaves out the odd ones, which is where one looks."""
    rows = table(folder, "filtered").explode("measures").unnest("measures")
    assert set(figures.measures(marts)) >= set(rows["measure"].unique())
    for measure in ("tokens", "empty_turns", "image_blur", "repeated_share"):
        mine = rows.filter(pl.col("measure") == measure)
        bins = figures.distribution(marts, measure)
        assert bins["kept"].sum() + bins["dropped"].sum() == len(mine)
        for low, high, kept, dropped, *_ in bins.rows():
            found = figures.in_bin(marts, measure, low, high)
            assert len(found) == min(kept + dropped, 50)
            assert all(low * 0.999 <= value <= max(high, 0) for value in found["value"])


def test_a_choice_of_sources_is_a_filter_and_no_join(folder):
    """Lost otherwise: at 43 million samples a page that reads every source, and runs out of memory."""
    asked: list[tuple[str, list[object]]] = []

    def select(query, values=(), *, of, rows=0):
        asked.append((query, list(values)))
        return pl.DataFrame({"source": ["talks"], "there": [9], "verdict": ["keep"], "sample_id": ["a"]})

    figures.in_bin(SimpleNamespace(select=select), "tokens", 1.0, 2.0, ["talks", "scenes"])
    database = duckdb.connect()
    for name in ("filtered", "marts/distributions"):
        view = name.removeprefix("marts/")
        path = folder / (f"{name}.parquet" if view != name else f"{name}/*.parquet")
        database.execute(f"create view {view} as from read_parquet('{path}')")
    for query, values in asked:
        ((_, plan),) = database.execute(f"explain {query}", values).fetchall()
        assert "join" not in plan.lower()


def test_the_grid_shows_what_is_there_and_what_is_not(folder, marts):
    """Lost otherwise: holes that nobody sees, since nothing is drawn where nothing is."""
    kept = table(folder, "filtered").filter(pl.col("verdict") == "keep")["sample_id"]
    tagged = table(folder, "tagged").filter(pl.col("sample_id").is_in(kept.to_list()))
    grid = figures.question_types(marts)
    assert grid["samples"].sum() == len(tagged)
    assert len(grid) == grid["source"].n_unique() * grid["question_type"].n_unique()
    tags = figures.coverage(marts)
    missing = {(row["tag"], row["question_type"]) for row in figures.holes(marts).to_dicts()}
    empty = tags.filter((pl.col("samples") == 0) & (pl.col("question_type") != "none"))
    assert missing >= set(empty.select("tag", "question_type").rows())
    there = set(tags.filter(pl.col("samples") > 0).select("tag", "question_type").rows())
    assert not missing & there


def test_counts_of_checks_are_those_of_their_last_outcomes(marts):
    """Lost otherwise: a green figure over a red list."""
    rows = figures.last_checks(marts)
    counted = figures.check_counts(marts)
    assert counted["passed"] == rows["passed"].sum()
    assert counted["failed"] + counted["look"] == (~rows["passed"]).sum()
    assert rows.select("engine", "stage", "partition", "name").is_unique().all()


def test_health_turns_where_a_check_fails(folder, tmp_path):
    """Lost otherwise: a stage that looks well while its check is red."""
    broken = shutil.copytree(folder, tmp_path / "broken")
    path = broken / "marts" / "check_results.parquet"
    results = pl.read_parquet(path)
    hit = (pl.col("stage") == "unified") & (pl.col("partition") == "talks") & pl.col("blocking")
    results.with_columns(passed=pl.when(hit).then(False).otherwise("passed")).write_parquet(path)
    states = figures.health(Marts(broken))
    found = states.filter(pl.col("state") == "failed").select("stage", "partition").rows()
    assert found == [("unified", "talks")]
    heat = figures.check_heat(Marts(broken)).filter(pl.col("failed") > 0)
    assert set(heat["stage"]) == {"unified"} and set(heat["partition"]) == {"talks"}
    by_source = figures.check_sources(Marts(broken)).filter(~pl.col("passed"))
    assert set(by_source["check"]) == set(heat["check"]) and set(by_source["partition"]) == {"talks"}


def test_two_versions_tell_what_became_of_each_row(folder, tmp_path):
    """Lost otherwise: a policy that was changed, and nobody who can say whom it hit."""
    newer = shutil.copytree(folder, tmp_path / "newer")
    path = next(p for p in sorted((newer / "filtered").glob("talks*")) if len(pl.read_parquet(p)) > 2)
    rows = pl.read_parquet(path)
    first = pl.int_range(pl.len()) == 0
    changed = rows.with_columns(
        verdict=pl.when(first).then(pl.lit("drop")).otherwise("verdict"),
        reason=pl.when(first).then(pl.lit("too_loud")).otherwise("reason"),
    )
    changed.head(len(rows) - 1).write_parquet(path)
    both = Marts(newer, beside=folder)
    moves = {(r["was"], r["became"]): r for r in became(both, "filtered", "talks").to_dicts()}
    verdict = " ".join(filter(None, rows.select("verdict", "reason").row(0)))
    assert moves[(verdict, "drop too_loud")]["ids"] == [rows["sample_id"][0]]
    assert any(after == "not there" for _, after in moves)
    assert sum(move["rows"] for move in moves.values()) == len(rows)
    partitions = newer / "partitions" / "all.parquet"
    told = pl.read_parquet(partitions)
    hit = (pl.col("stage") == "filtered") & (pl.col("partition") == "talks")
    told.with_columns(data_version=pl.when(hit).then(pl.lit("new")).otherwise("data_version")).write_parquet(
        partitions
    )
    every = versions(Marts(newer, beside=folder))
    assert every.filter("changed").select("stage", "partition").rows() == [("filtered", "talks")]
    assert len(every) == len(told)


def test_a_source_that_nobody_looked_at_of_late_stands_first(folder, tmp_path):
    """Lost otherwise: decisions on samples of a source that moved on weeks ago."""
    copy = shutil.copytree(folder, tmp_path / "later")
    path = copy / "marts" / "check_results.parquet"
    results = pl.read_parquet(path)
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def at(**ago: float) -> pl.Expr:
        return pl.lit((now - timedelta(**ago)).isoformat(timespec="seconds"))

    def of(source: str, stage: str) -> pl.Expr:
        return (pl.col("partition") == source) & (pl.col("stage") == stage)

    results.with_columns(
        checked_at=pl.when(of("talks", "raw"))
        .then(at(days=16))
        .when(of("scenes", "raw"))
        .then(at(days=9))
        .when(of("scenes", "filtered"))
        .then(at(days=10))
        .otherwise(at(hours=1))
    ).write_parquet(path)
    marts = Marts(copy)
    found = freshness(marts, now)
    rows = {row["source"]: row for row in found.to_dicts()}
    assert found["source"].to_list()[:2] == ["talks", "scenes"]
    assert [(rows[s]["state"], rows[s]["days"], rows[s]["waits"]) for s in ("talks", "scenes")] == [
        ("failed", 16, False),
        ("look", 9, True),
    ]
    others = [row for name, row in rows.items() if name not in {"talks", "scenes"}]
    assert others and all(row["state"] == "ok" and not row["waits"] for row in others)
    results.filter(~of("talks", "raw")).write_parquet(path)
    gone = freshness(Marts(copy), now, ["talks"]).row(0, named=True)
    assert (gone["state"], gone["days"], gone["looked_at"]) == ("failed", None, None)


def test_every_source_that_was_read_says_when(marts):
    """Lost otherwise: an empty column that looks as if nobody ever looked."""
    rows = looked_at(marts)
    assert len(rows) > 1
    assert rows.select("looked_at", "changed_at", "judged_at").null_count().row(0) == (0, 0, 0)
    assert not rows["waits"].any()
