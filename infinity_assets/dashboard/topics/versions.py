"""Two versions of any table side by side: those of this snapshot and of an older one."""

from __future__ import annotations

import polars as pl
import streamlit as st

from infinity_assets.dashboard.opened import View, marts_beside
from infinity_assets.dashboard.shown import counts, linked, table
from infinity_assets.marts import versions as compared
from infinity_assets.marts.published import kept_snapshots

VERDICTS = ("kept", "dropped", "quarantined")


def versions(view: View) -> None:
    """What each table had and has, and what became of the rows of one."""
    st.title("Two versions side by side")
    st.caption(
        "The version of each table that this snapshot holds, and the one that an older one holds. What was"
        " published and replaced between two snapshots is in neither; the last five snapshots are kept."
    )
    older = {s.number: s for s in kept_snapshots(view.home) if s.number != view.snapshot.number}
    if not older:
        st.info("There is no other snapshot yet: the next one can be compared with this.")
        return
    number = st.selectbox("Compared with snapshot", list(older), key="snapshot", bind="query-params")
    marts = marts_beside(str(view.snapshot.folder), str(older[number].folder))
    every = compared.versions(marts)
    if view.sources:
        every = every.filter(pl.col("partition").is_in(view.sources) | (pl.col("stage") == "mixed"))
    changed = every.filter("changed")
    counts({"tables that changed": len(changed), "that did not": len(every) - len(changed)})
    figures = [f"{name}_{at}" for name in ("rows", *VERDICTS) for at in ("before", "now")]
    rows = every.select("changed", "stage", "partition", *figures)
    table(linked(rows, lambda row: view.link.rows(row["stage"], row["partition"])))
    st.subheader("What became of its rows")
    choices = every.filter(pl.col("stage").is_in(list(compared.COMPARED)))
    names = (choices["stage"] + " / " + choices["partition"]).to_list()
    if not names:
        return
    chosen = st.selectbox("Table", names, key="table", bind="query-params")
    stage, partition = chosen.split(" / ")
    moves = compared.became(marts, stage, partition)
    st.caption("Rows that changed stand first; of each change up to five are named.")
    each = moves.explode("ids").rename({"ids": "row"})
    table(linked(each, lambda row: view.link.row(partition, row["row"])))
