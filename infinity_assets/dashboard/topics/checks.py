"""Checks: what fails, and what led there."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import altair as alt
import polars as pl
import streamlit as st

from infinity_assets.dashboard import charts
from infinity_assets.dashboard.opened import View
from infinity_assets.dashboard.shown import counts, linked, plain, table
from infinity_assets.marts import figures
from infinity_assets.marts.freshness import freshness
from infinity_assets.preview.pages import printable

IDS = 5  #: of a failing check
FAILING = 20  #: failing checks that are shown one by one; all of them stand in the table


def checks(view: View) -> None:
    """Failing checks first, then all of them over their last runs."""
    found = linked(figures.last_checks(view.marts, view.sources), partial(_of_check, view))
    failed = found.filter(~pl.col("passed"))
    number = figures.check_counts(view.marts, view.sources)
    st.title("Checks")
    counts(
        {
            "checks failed": number["failed"],
            "to look at": number["look"],
            "passed": number["passed"],
            "stale sources": _stale(view),
        }
    )
    if failed.is_empty():
        st.success(f"None of {number['passed']:,} checks fails.")
    for check in failed.head(FAILING).iter_rows(named=True):
        _card(view, check)
    st.subheader("Each check over its last runs")
    st.altair_chart(_heat(view, figures.check_heat(view.marts, view.sources), "ago"), width="content")
    st.subheader("Each contract by source")
    st.altair_chart(_heat(view, figures.check_sources(view.marts, view.sources), "partition"))
    with st.expander("All checks"):
        table(
            found.select(
                "passed", "blocking", "stage", "name", "partition", "engine", "failed_rows", "told", "address"
            )
        )


def _stale(view: View) -> int:
    """Sources that the page of health shows first."""
    fresh = freshness(view.marts, datetime.now(UTC), view.sources)
    return len(fresh.filter((pl.col("state") == "failed") | pl.col("waits")))


def _heat(view: View, rows: pl.DataFrame, across: str) -> alt.Chart:
    fine = pl.col("failed") == 0 if across == "ago" else pl.col("passed")
    broken = pl.when("blocking").then(pl.lit("failed")).otherwise(pl.lit("look"))
    state = pl.when(fine).then(pl.lit("ok")).otherwise(broken)
    return charts.checks(plain(linked(rows.with_columns(state=state), partial(_of_check, view))), across)


def _card(view: View, check: dict[str, Any]) -> None:
    """One failing check: what it promises, and links to what broke it."""
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            word, colour = ("failed", "red") if check["blocking"] else ("look", "orange")
            st.badge(word, color=colour)
            where = " / ".join(filter(None, (check["stage"], check["partition"], check["name"])))
            st.text(printable(where), width="stretch")
            if check["address"]:
                st.link_button(f"{check['failed_rows'] or 0:,} rows ↗", check["address"])
        st.text(printable(check["told"] or ""))
        ids = [(i, view.link.row(check["partition"], i)) for i in (check["failing_ids"] or [])[:IDS]]
        with st.container(horizontal=True):
            for row_id, address in ids:
                if address:
                    st.link_button(f"…{row_id[-8:]} ↗", address, type="tertiary")


def _of_check(view: View, check: dict[str, Any]) -> str | None:
    return view.link.check(check) or view.link.rows(check["stage"], check["partition"])
