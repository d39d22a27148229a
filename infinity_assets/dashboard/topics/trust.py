"""Whether the data may be relied on: drift, contamination, licences."""

from __future__ import annotations

import polars as pl
import streamlit as st

from infinity_assets.dashboard import charts
from infinity_assets.dashboard.opened import View
from infinity_assets.dashboard.shown import linked, plain, table
from infinity_assets.marts import figures


def drift(view: View) -> None:
    """Shares that moved since the snapshot before, and what checks of drift say."""
    st.title("Drift")
    checks = figures.drift_checks(view.marts, view.sources)
    found = linked(
        checks.select("passed", "stage", "partition", "name", "told", "engine", "run_id"),
        lambda row: view.link.check(row) or view.link.rows(row["stage"], row["partition"]),
    )
    rows = figures.drift(view.marts, view.sources)
    if rows.is_empty():
        st.info("No share moved, or there is no snapshot before this one.")
    else:
        moved = linked(
            rows.with_columns(share_of=pl.concat_str("stage", "partition", "code", separator=" · ")),
            lambda row: view.link.share(row["stage"], row["partition"], row["measure"], row["code"]),
        )
        st.altair_chart(charts.drift(plain(moved.head(30))))
        with st.expander("As a table"):
            table(moved.drop("share_of", "since"), shares=("before", "now", "moved"))
    st.subheader("Checks of drift")
    table(found.drop("run_id"))


def contamination(view: View) -> None:
    """What sources hold of benchmarks, and how much of it is still planned."""
    st.title("Contamination")
    rows = figures.contamination(view.marts, view.sources)
    if rows.is_empty():
        st.success("Nothing of a benchmark was found, or none was published.")
        return
    found = linked(
        rows,
        lambda row: (
            view.link.rows("filtered", row["source"], "drop", row["kind"])
            if row["drops"]
            else view.link.row(row["source"], row["example"])
        ),
    )
    behind = rows.filter(~pl.col("up_to_date")).select("benchmark", "source").unique()
    if len(behind):
        st.warning(f"{len(behind):,} pairs of benchmark and source were not compared as they are now.")
    planned = rows.filter(pl.col("drops"))["planned"].sum()
    if planned:
        st.error(f"{planned:,} samples that hold an item are still planned in a mix.")
    st.altair_chart(charts.contamination(plain(found)))
    table(
        found.drop("example", "samples"), found="samples found", found_items="items found", items="of items"
    )


def licences(view: View) -> None:
    """Samples by licence: read, kept by filtered, and lines of mixes."""
    st.title("Licences")
    rows = figures.licences(view.marts, view.sources)
    if rows.is_empty():
        st.info("No sample was read yet.")
        return
    stages = {"samples": "read", "kept": "kept", "lines": "lines of mixes"}
    summed = rows.group_by("licence", maintain_order=True).agg(pl.col(list(stages)).sum())
    long = summed.rename(stages).unpivot(
        on=list(stages.values()), index="licence", variable_name="of", value_name="rows"
    )
    bars = linked(long, lambda row: view.link.explore(licence=row["licence"], source=view.only))
    st.altair_chart(charts.licences(plain(bars)))
    found = linked(
        rows.drop("of_licence", "example"),
        lambda row: view.link.explore(licence=row["licence"], source=row["source"]),
    )
    table(found)
