"""The page of a snapshot: one HTML file without script or requests; its figures link to their samples."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from infinity_assets.marts.links import Addresses
from infinity_assets.preview.pages import printable

ROWS: Final = 300  #: of a table; what lies beyond is counted and stands in the marts
TAGS: Final = 40  #: of the coverage grid, those with the most samples
MOVES: Final = 40  #: of drift, the largest
STRIP: Final = 30  #: last outcomes of a check

Rows = list[dict[str, Any]]


def write_page(snapshot: Path, number: int, preview_url: str) -> Path:
    """Write ``quality.html`` into the folder of a snapshot whose marts are there.

    Args:
        snapshot: the folder.
        number: of the snapshot.
        preview_url: where the pages of samples are served.
    """
    marts = _Marts(snapshot / "marts")
    page = (
        _environment()
        .get_template("quality.html")
        .render(
            number=number,
            link=Addresses(preview_url),
            checks=_checks(marts),
            health=_health(marts),
            funnel=_funnel(marts),
            mixes=_mixes(marts),
            contamination=marts.rows("contamination", "benchmark", "source", "kind"),
            drift=_drift(marts),
            coverage=_coverage(marts),
            types=_types(marts),
            licences=_licences(marts),
            cost=marts.rows("cost", "source", "stage", "model"),
            most=ROWS,
        )
    )
    path = snapshot / "quality.html"
    path.write_text(page, encoding="utf-8")
    return path


class _Marts:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def frame(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.folder / f"{name}.parquet")

    def rows(self, name: str, *order: str) -> Rows:
        return self.frame(name).sort(*order).to_dicts()


def _checks(marts: _Marts) -> dict[str, Any]:
    """The last outcome of each check, the failed and blocking ones first, with a strip of those before."""
    results = marts.frame("check_results").sort("number")
    key = ["engine", "stage", "partition", "name"]
    of_dbt = pl.col("engine") == "dbt"  # names the first failing partition, which differs from run to run
    grouped = results.with_columns(of=pl.when(of_dbt).then(None).otherwise("partition")).group_by(
        "engine", "stage", "of", "name"
    )
    last = grouped.agg(pl.all().exclude(*key).last(), pl.col("partition").last(), strip=pl.col("passed"))
    newest = results.filter(of_dbt)["number"].max()
    current = last.filter(~of_dbt | (pl.col("number") == newest))  # tests that are gone are history
    rows = current.sort("passed", "blocking", "stage", "name", "of", descending=[False, True, *[False] * 3])
    found = [{**row, "strip": row["strip"][-STRIP:]} for row in rows.to_dicts()]
    return {"failed": [r for r in found if not r["passed"]], "passed": [r for r in found if r["passed"]]}


def _health(marts: _Marts) -> dict[str, Any]:
    """Sources by stages: what is kept, and how many checks fail there."""
    rows = marts.frame("funnel").filter(pl.col("stage") != "mixed").sort("place", "partition")
    red = {(check["stage"], check["partition"]) for check in _checks(marts)["failed"]}
    cells = {
        (row["partition"], row["stage"]): {**row, "red": (row["stage"], row["partition"]) in red}
        for row in rows.to_dicts()
    }
    return {
        "stages": rows["stage"].unique(maintain_order=True).to_list(),
        "sources": sorted(rows["partition"].unique().to_list()),
        "cells": cells,
    }


def _funnel(marts: _Marts) -> Rows:
    """Each stage over all its partitions, with its reasons and the partitions of each."""
    counts = ["rows_in", "kept", "dropped", "quarantined"]
    stages = marts.frame("funnel").group_by("stage", "place").agg(pl.col(counts).sum()).sort("place")
    reasons = marts.frame("drop_reasons").sort("rows", "partition", descending=[True, False])
    by_stage: dict[str, dict[str, Rows]] = {}
    for row in reasons.to_dicts():
        by_stage.setdefault(row["stage"], {}).setdefault(row["reason"], []).append(row)
    told = []
    for stage in stages.to_dicts():
        found = [
            {"reason": reason, "rows": sum(r["rows"] for r in rows), "where": rows}
            for reason, rows in by_stage.get(stage["stage"], {}).items()
        ]
        told.append({**stage, "reasons": sorted(found, key=lambda r: (-r["rows"], r["reason"]))})
    return told


def _mixes(marts: _Marts) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    for row in marts.rows("mix_ratios", "training_stage", "category"):
        found.setdefault(row["training_stage"], []).append(row)
    return found


def _drift(marts: _Marts) -> Rows:
    frame = marts.frame("drift").filter(pl.col("moved").abs() > 1e-9)
    return (
        frame.sort(pl.col("moved").abs(), "stage", "partition", "code", descending=True)
        .head(MOVES)
        .to_dicts()
    )


def _grid(frame: pl.DataFrame, by: str, most: int) -> dict[str, Any]:
    """Samples by ``by`` and type of question; a pair that no sample has is missing in ``cells``."""
    totals = frame.group_by(by).agg(pl.col("samples").sum()).sort("samples", by, descending=[True, False])
    lines = totals[by].head(most).to_list()
    summed = frame.group_by(by, "question_type").agg(
        pl.col("samples").sum(), pl.col("example").first(), of=pl.col("source").first()
    )
    types = frame.group_by("question_type").agg(pl.col("samples").sum())
    types = types.sort("samples", "question_type", descending=[True, False])
    shown = summed.filter(pl.col(by).is_in(lines))
    columns = types["question_type"].to_list()
    return {
        "lines": lines,
        "columns": columns,
        "cells": {(row[by], row["question_type"]): row for row in shown.to_dicts()},
        "most": shown["samples"].max() or 1,
        "holes": len(lines) * len(columns) - len(shown),
        "hidden": max(len(totals) - most, 0),
    }


def _coverage(marts: _Marts) -> dict[str, Any]:
    return _grid(marts.frame("coverage").filter(pl.col("tag") != "(no tag)").sort("source"), "tag", TAGS)


def _types(marts: _Marts) -> dict[str, Any]:
    return _grid(marts.frame("question_types").sort("source"), "source", ROWS)


def _licences(marts: _Marts) -> Rows:
    counts = ["samples", "kept", "lines"]
    frame = marts.frame("licences").sort("samples", "source", descending=[True, False])
    grouped = frame.group_by("licence", maintain_order=True).agg(
        pl.col(counts).sum(), pl.struct("source", "example", *counts).alias("where")
    )
    return grouped.sort("samples", "licence", descending=[True, False]).to_dicts()


def share(part: float | None, whole: float | None = 1) -> str:
    """Per cent, to a tenth; a dash where there is nothing to divide."""
    return "–" if part is None or not whole else f"{part / whole:.1%}"


def width(part: float | None, whole: float) -> str:
    """Of a bar, as CSS."""
    return f"{100 * (part or 0) / whole if whole else 0:.2f}%"


def number(value: float | None) -> str:
    """With separators; a dash where it was not measured."""
    return "–" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(printable=printable, number=number, share=share)
    environment.globals.update(width=width, share=share)
    return environment
