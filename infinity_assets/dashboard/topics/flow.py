"""What becomes of rows: health of stages by source, the funnel and its reasons, measures kept and dropped."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import streamlit as st

from infinity_assets.dashboard import charts
from infinity_assets.dashboard.opened import View
from infinity_assets.dashboard.shown import linked, plain, table
from infinity_assets.marts import figures
from infinity_assets.marts.freshness import FAIL_AFTER, WARN_AFTER, freshness


def health(view: View) -> None:
    """Stages by source: what is kept, and where checks fail."""
    st.title("Stages by source")
    rows = linked(
        figures.health(view.marts, view.sources), lambda row: view.link.rows(row["stage"], row["partition"])
    )
    st.altair_chart(charts.health(plain(rows)))
    with st.expander("As a table"):
        table(rows.drop("place"), shares=("kept_share",), partition="source", kept_share="kept, share")
    st.subheader("How fresh each source is")
    st.caption(
        f"A source that was not looked at for {WARN_AFTER.days} days is worth a look, after {FAIL_AFTER.days}"
        " it is stale. One that waits changed upstream after its samples were last judged. Times are UTC."
    )
    minutes = pl.col("looked_at", "changed_at", "judged_at").dt.strftime("%Y-%m-%d %H:%M")
    fresh = linked(
        freshness(view.marts, datetime.now(UTC), view.sources).with_columns(minutes),
        lambda row: view.link.rows("raw", row["source"]),
    )
    table(
        fresh,
        days="days ago",
        looked_at="looked at upstream",
        changed_at="changed upstream",
        judged_at="samples judged",
    )


def funnel(view: View) -> None:
    """What became of the rows of each stage, and why."""
    st.title("Funnel")
    stages = figures.funnel(view.marts, view.sources).filter(pl.col("stage") != "mixed")
    verdicts = {"kept": "keep", "dropped": "drop", "quarantined": "quarantine"}
    long = stages.unpivot(
        on=list(verdicts), index=["stage", "place"], variable_name="verdict", value_name="rows"
    )
    bars = linked(long, lambda row: view.link.rows(row["stage"], view.only, verdicts[row["verdict"]]))
    st.altair_chart(charts.funnel(plain(bars)))
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
        lambda row: view.link.rows(row["stage"], view.only, row["verdict"], row["reason"]),
    )
    st.altair_chart(charts.reasons(plain(summed)))
    st.subheader("Reasons by source")
    by_source = linked(
        rows,
        lambda row: view.link.rows(row["stage"], row["partition"], row["verdict"], row["reason"]),
    )
    table(by_source.drop("place", "total"), shares=("share",), partition="source", share="share of the stage")


def distributions(view: View) -> None:
    """One measure, kept against dropped; a bar leads to its samples."""
    st.title("Distributions")
    names = figures.measures(view.marts)
    if not names:
        st.info("Nothing was measured yet.")
        return
    first = names.index("tokens") if "tokens" in names else 0
    measure = st.selectbox("Measure", names, index=first, key="measure", bind="query-params")
    bins = figures.distribution(view.marts, measure, view.sources)
    if bins.is_empty():
        st.info("No sample of these sources has it.")
        return
    st.caption("Share of all kept, and of all dropped samples. Choose a bar to see its samples.")
    event = st.altair_chart(charts.distribution(bins), on_select="rerun", key=f"bins of {measure}")
    chosen = [point["low"] for point in event["selection"].get("bar", []) if "low" in point]
    dropped = bins.filter(pl.col("dropped") > 0)
    low = chosen[0] if chosen else (dropped if len(dropped) else bins)["low"][-1]
    bin_ = bins.row(by_predicate=pl.col("low") == low, named=True)
    high, there = bin_["high"], bin_["kept"] + bin_["dropped"]
    st.subheader(f"Samples from {low:g} to below {high:g}" if high else "Samples at 0")
    rows = figures.in_bin(view.marts, measure, low, high, view.sources)
    st.caption(f"{len(rows):,} of {there:,} samples of this bin.")
    table(linked(rows, lambda row: view.link.row(row["source"], row["sample_id"])))
