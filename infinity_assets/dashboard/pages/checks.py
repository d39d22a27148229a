"""Checks: what fails, and what led there."""

from __future__ import annotations

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
