"""The pages: each draws a few figures of :mod:`infinity_assets.marts.figures` and decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import polars as pl
import streamlit as st

from infinity_assets.dashboard import charts
from infinity_assets.dashboard.opened import View
from infinity_assets.dashboard.shown import counts, linked, plain, show, table
from infinity_assets.marts import figures
from infinity_assets.preview.pages import printable

FAILING = 20  #: failing checks that are shown one by one; all of them stand in the table


def menu(view: View) -> list[tuple[str, str, Callable[[], None]]]:
    """Path, title and function of each page; the first is where one arrives."""
    pages = [("checks", "Checks", checks), ("health", "Health", health), ("funnel", "Funnel", funnel)]
    return [(path, title, partial(draw, view)) for path, title, draw in pages]


def checks(view: View) -> None:
    """Failing checks first, then all of them over their last runs."""
    found = linked(figures.last_checks(view.marts, view.sources), partial(_of_check, view))
    failed = found.filter(~pl.col("passed"))
    broken = failed.filter("blocking")
    st.title("Checks")
    counts(
        {
            "checks failed": len(broken),
            "to look at": len(failed) - len(broken),
            "passed": len(found) - len(failed),
        }
    )
    if failed.is_empty():
        st.success(f"None of {len(found):,} checks fails.")
    for check in failed.head(FAILING).iter_rows(named=True):
        _card(view, check)
    st.subheader("The last runs of each check")
    heat = figures.check_heat(view.marts, view.sources).with_columns(
        state=pl.when(pl.col("failed") == 0)
        .then(pl.lit("ok"))
        .when("blocking")
        .then(pl.lit("failed"))
        .otherwise(pl.lit("look"))
    )
    show(charts.check_heat(plain(linked(heat, partial(_of_check, view)))), width="content")
    with st.expander(f"All {len(found):,} checks"):
        table(
            found.select(
                "passed", "blocking", "stage", "name", "partition", "engine", "failed_rows", "told", "address"
            )
        )


def _card(view: View, check: dict[str, Any]) -> None:
    """One failing check: what it promises, and links to what broke it."""
    with st.container(border=True):
        left, right = st.columns([5, 2], vertical_alignment="center")
        word = "failed" if check["blocking"] else "look"
        left.badge(word, color="red" if check["blocking"] else "orange")
        where = " / ".join(filter(None, (check["stage"], check["partition"], check["name"])))
        left.text(printable(where))
        left.text(printable(check["told"] or ""))
        if check["address"]:
            right.link_button(f"{check['failed_rows'] or 0:,} rows ↗", check["address"])
        ids = [(i, view.link.row(check["partition"], i)) for i in (check["failing_ids"] or [])[:5]]
        for row_id, address in ids:
            if address:
                right.link_button(f"…{row_id[-8:]} ↗", address, type="tertiary")


def _of_check(view: View, check: dict[str, Any]) -> str | None:
    return view.link.check(check) or view.link.rows(check["stage"], check["partition"])


def health(view: View) -> None:
    """Stages by source: what is kept, and where checks fail."""
    st.title("Stages by source")
    rows = linked(
        figures.health(view.marts, view.sources), lambda row: view.link.rows(row["stage"], row["partition"])
    )
    show(charts.health(plain(rows)))
    with st.expander("As a table"):
        table(rows.drop("place"), shares=("kept_share",), partition="source", kept_share="kept, share")


def funnel(view: View) -> None:
    """What became of the rows of each stage, and why."""
    st.title("Funnel")
    stages = figures.funnel(view.marts, view.sources).filter(pl.col("stage") != "mixed")
    only = view.sources[0] if len(view.sources) == 1 else None
    verdicts = {"kept": "keep", "dropped": "drop", "quarantined": "quarantine"}
    long = stages.unpivot(
        on=list(verdicts), index=["stage", "place"], variable_name="verdict", value_name="rows"
    )
    bars = linked(long, lambda row: view.link.rows(row["stage"], only, verdicts[row["verdict"]]))
    show(charts.funnel(plain(bars)))
    st.subheader("Reasons")
    rows = figures.reasons(view.marts, view.sources).filter(pl.col("stage") != "mixed")
    if rows.is_empty():
        st.info("Every row was kept.")
        return
    summed = rows.group_by("stage", "place", "verdict", "reason", maintain_order=True).agg(
        pl.col("rows").sum(), pl.len().alias("sources")
    )
    names = {code: name for name, code in verdicts.items()}
    summed = linked(
        summed.with_columns(became=pl.col("verdict").replace(names)),
        lambda row: view.link.rows(row["stage"], only, row["verdict"], row["reason"]),
    )
    show(charts.reasons(plain(summed)))
    st.subheader("Reasons by source")
    by_source = linked(
        rows,
        lambda row: view.link.rows(row["stage"], row["partition"], row["verdict"], row["reason"]),
    )
    table(by_source.drop("place", "total"), shares=("share",), partition="source", share="share of the stage")
