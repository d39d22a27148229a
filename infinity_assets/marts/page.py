"""The page of a snapshot: one HTML file without script or requests; its figures link to their samples."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from infinity_assets.marts import figures
from infinity_assets.marts.freshness import looked_at
from infinity_assets.marts.links import Addresses
from infinity_assets.marts.reader import Marts
from infinity_assets.marts.versions import versions
from infinity_assets.preview.pages import printable

ROWS: Final = 300  #: of a table; what lies beyond is counted and stands in the marts
MOVES: Final = 40  #: of drift, the largest
HOLES: Final = 20  #: of coverage, likewise
RUNS: Final = 12  #: of the last runs of checks

Rows = list[dict[str, Any]]


def write_page(snapshot: Path, number: int, preview_url: str, before: Path | None = None) -> Path:
    """Write ``quality.html`` into the folder of a snapshot whose marts are there.

    Args:
        snapshot: the folder.
        number: of the snapshot.
        preview_url: where the pages of samples are served.
        before: folder of the snapshot that was current until now, to say what changed.
    """
    marts = Marts(snapshot, seconds=300.0, beside=before)
    checks = figures.last_checks(marts)
    page = (
        _environment()
        .get_template("quality.html")
        .render(
            number=number,
            link=Addresses(preview_url),
            checks={
                "failed": checks.filter(~pl.col("passed")).to_dicts(),
                "passed": checks.filter("passed").to_dicts(),
            },
            counts=figures.check_counts(marts),
            heat=_heat(marts),
            health=_health(marts),
            funnel=_funnel(marts),
            distributions=[_distribution(marts, name) for name in figures.measures(marts)],
            mixes=_mixes(marts),
            contamination=figures.contamination(marts).to_dicts(),
            drift=figures.drift(marts).head(MOVES).to_dicts(),
            coverage=_grid(figures.coverage(marts), "tag"),
            holes=figures.holes(marts, most=HOLES).to_dicts(),
            types=_grid(figures.question_types(marts, most=ROWS), "source"),
            licences=_licences(marts),
            cost=figures.cost(marts).to_dicts(),
            changed=versions(marts).filter("changed").to_dicts() if before else None,
            most=ROWS,
        )
    )
    path = snapshot / "quality.html"
    path.write_text(page, encoding="utf-8")
    return path


def _heat(marts: Marts) -> dict[str, Any]:
    """Checks that failed in their last runs, by runs ago; those that never did have no line."""
    rows = figures.check_heat(marts, runs=RUNS)
    failed = rows.filter(pl.col("failed") > 0)["check"].unique(maintain_order=True).to_list()
    cells = {(row["check"], row["ago"]): row for row in rows.to_dicts()}
    return {"lines": failed, "cells": cells, "ago": list(range(RUNS - 1, -1, -1))}


def _health(marts: Marts) -> dict[str, Any]:
    """Sources by stages: what is kept, and how many checks fail there."""
    rows = figures.health(marts)
    return {
        "stages": rows["stage"].unique(maintain_order=True).to_list(),
        "sources": sorted(rows["partition"].unique().to_list()),
        "cells": {(row["partition"], row["stage"]): row for row in rows.to_dicts()},
        "fresh": {row["source"]: row for row in looked_at(marts).to_dicts()},
    }


def _funnel(marts: Marts) -> Rows:
    """Each stage over all its partitions, with its reasons and the partitions of each."""
    by_stage: dict[str, dict[str, Rows]] = {}
    for row in figures.reasons(marts).to_dicts():
        by_stage.setdefault(row["stage"], {}).setdefault(row["reason"], []).append(row)
    told = []
    for stage in figures.funnel(marts).to_dicts():
        found = [
            {"reason": reason, "rows": sum(r["rows"] for r in rows), "where": rows}
            for reason, rows in by_stage.get(stage["stage"], {}).items()
        ]
        told.append({**stage, "reasons": sorted(found, key=lambda r: (-r["rows"], r["reason"]))})
    return told


def _distribution(marts: Marts, measure: str) -> dict[str, Any]:
    bins = figures.distribution(marts, measure)
    highest = bins.select(pl.max_horizontal(pl.col("kept_share", "dropped_share").max())).item()
    return {"measure": measure, "bins": bins.to_dicts(), "highest": highest or 1}


def _mixes(marts: Marts) -> dict[str, dict[str, Rows]]:
    """Categories and sources by training stage."""
    found: dict[str, dict[str, Rows]] = {}
    for row in figures.mixes(marts).to_dicts():
        found.setdefault(row["training_stage"], {"rows": [], "sources": []})["rows"].append(row)
    for row in figures.mix_sources(marts).to_dicts():
        found[row["training_stage"]]["sources"].append(row)
    return found


def _grid(rows: pl.DataFrame, by: str) -> dict[str, Any]:
    """Samples by ``by`` and type of question; a pair that no sample has is missing in ``cells``."""
    there = rows.filter(pl.col("samples") > 0)
    return {
        "by": by,
        "lines": rows[by].unique(maintain_order=True).to_list(),
        "columns": rows["question_type"].unique(maintain_order=True).to_list(),
        "cells": {(row[by], row["question_type"]): row for row in there.to_dicts()},
        "most": there["samples"].max() or 1,
        "holes": len(rows) - len(there),
    }


def _licences(marts: Marts) -> Rows:
    counts = ["samples", "kept", "lines"]
    return (
        figures.licences(marts)
        .group_by("licence", maintain_order=True)
        .agg(pl.col(counts).sum(), pl.struct("source", *counts).alias("where"))
        .to_dicts()
    )


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
