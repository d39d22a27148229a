"""What training gets: coverage and its holes, mixes asked against realised, and what it costs."""

from __future__ import annotations

import polars as pl
import streamlit as st

from infinity_assets.dashboard import charts
from infinity_assets.dashboard.opened import View
from infinity_assets.dashboard.shown import counts, linked, plain, table
from infinity_assets.marts import figures


def coverage(view: View) -> None:
    """Tags and sources by type of question; what is missing is as visible as what is there."""
    st.title("Coverage")
    st.caption("Samples that filtered keeps; sources of benchmarks do not count. Empty cells are holes.")
    types = figures.question_types(view.marts, view.sources)
    if types.is_empty():
        st.info("No sample was kept yet.")
        return
    st.subheader("Sources by type of question")
    rows = linked(
        types,
        lambda row: view.link.kept(source=row["source"], question_type=row["question_type"]),
    )
    st.altair_chart(charts.grid(plain(rows), "source"))
    st.subheader("Tags by type of question")
    tags = linked(
        figures.coverage(view.marts, view.sources),
        lambda row: view.link.kept(source=view.only, tag=row["tag"], question_type=row["question_type"]),
    )
    if tags.is_empty():
        st.info("No sample has a tag.")
        return
    st.altair_chart(charts.grid(plain(tags), "tag"))
    st.subheader("The largest holes")
    st.caption(
        "Pairs that no sample has, and how many would if types were spread over tags as they are over all."
    )
    missing = linked(
        figures.holes(view.marts, view.sources), lambda row: view.link.kept(source=view.only, tag=row["tag"])
    )
    table(missing, of_tag="samples of the tag", of_type="samples of the type")


def mixes(view: View) -> None:
    """Each training stage: lines asked and realised, by category and source, and why others are left out."""
    st.title("Mixes")
    every = figures.mixes(view.marts)
    if every.is_empty():
        st.info("No mix was published yet.")
        return
    stage = st.selectbox(
        "Training stage",
        every["training_stage"].unique(maintain_order=True).to_list(),
        key="training_stage",
        bind="query-params",
    )
    rows = every.filter(pl.col("training_stage") == stage)
    counts(
        {
            "lines": int(rows["realised"].sum()),
            "asked": int(rows["asked"].sum()),
            "short": int(rows["short"].sum()),
            "tokens": int(rows["tokens"].sum()),
        }
    )
    of_stage = view.link.rows("mixed", stage, "keep")
    long = rows.unpivot(
        on=["asked_share", "realised_share"], index=["category"], variable_name="of", value_name="share"
    ).with_columns(pl.col("of").str.strip_suffix("_share"))
    st.altair_chart(charts.asked_and_realised(plain(linked(long, lambda _: of_stage))))
    shares = ("asked_share", "realised_share")
    table(linked(rows.drop("training_stage"), lambda _: of_stage), shares=shares)
    st.subheader("By source")
    by_source = figures.mix_sources(view.marts, view.sources).filter(pl.col("training_stage") == stage)
    table(
        linked(
            by_source.drop("training_stage"),
            lambda row: view.link.mixed(row["source"], "keep"),
        ),
        shares=shares,
    )
    left_out = figures.reasons(view.marts).filter(
        (pl.col("stage") == "mixed") & (pl.col("partition") == stage)
    )
    if len(left_out):
        st.subheader("Why others are not in it")
        found = linked(
            left_out.select("reason", "rows", "share"),
            lambda row: view.link.rows("mixed", stage, "drop", row["reason"]),
        )
        table(found, shares=("share",))


def cost(view: View) -> None:
    """What models were asked and paid for, for each sample that was kept."""
    st.title("Cost of a kept sample")
    rows = figures.cost(view.marts, view.sources)
    if rows.is_empty():
        st.info("Nothing was written or scored yet.")
        return
    paid, kept = float(rows["cost"].sum()), int(rows.filter(pl.col("cost").is_not_null())["kept"].sum())
    counts(
        {
            "paid": f"{paid:,.4g}",
            "questions kept": kept,
            "a kept question": f"{paid / kept:,.4g}" if kept else "–",
            "tokens": int(rows.select(pl.sum_horizontal("prompt_tokens", "completion_tokens").sum()).item()),
        }
    )
    found = linked(rows, lambda row: view.link.rows(row["stage"], row["source"]))
    if paid:
        st.altair_chart(charts.cost(plain(found.filter(pl.col("cost_per_kept") > 0))))
    else:
        st.caption("Rules cost nothing. A model's price stands in engines.yaml.")
    table(found)
