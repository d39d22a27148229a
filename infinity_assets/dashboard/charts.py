"""Charts of figures. A mark with an ``address`` opens it; names from outside are data, never markup."""

from __future__ import annotations

from typing import Any, Final

import altair as alt
import polars as pl

KEPT, DROPPED, QUARANTINED, SOFT = "#2e9e68", "#d9822b", "#d1495b", "#8b95a5"
VERDICTS: Final = alt.Scale(domain=["kept", "dropped", "quarantined"], range=[KEPT, DROPPED, QUARANTINED])
STATES: Final = alt.Scale(domain=["ok", "look", "failed"], range=[KEPT, DROPPED, QUARANTINED])
LEGEND: Final = alt.Legend(orient="top")
GAPS: Final = alt.Scale(paddingInner=0.12)
_LONG: Final = 380  #: pixels of a label


def funnel(rows: pl.DataFrame) -> alt.Chart:
    """Stacked bars of a stage's verdicts; columns stage, verdict, rows, address."""
    return (
        _chart(rows, 30)
        .mark_bar()
        .encode(
            y=_category("stage", None),
            x=alt.X("rows:Q", title="rows"),
            color=alt.Color("verdict:N", scale=VERDICTS, title=None, legend=LEGEND),
            order=alt.Order("place:Q"),
            href="address:N",
            tooltip=["stage:N", "verdict:N", alt.Tooltip("rows:Q", format=",")],
        )
    )


def reasons(rows: pl.DataFrame) -> alt.Chart:
    """Bars of reasons; columns reason, stage, verdict, rows, share, address."""
    return (
        _chart(rows, 20)
        .mark_bar()
        .encode(
            y=_category("reason", "-x"),
            x=alt.X("rows:Q", title="rows"),
            color=alt.Color("became:N", scale=VERDICTS, title=None, legend=LEGEND),
            href="address:N",
            tooltip=["stage:N", "reason:N", alt.Tooltip("rows:Q", format=","), "sources:Q"],
        )
    )


def health(rows: pl.DataFrame) -> alt.LayerChart:
    """Stages by source, coloured by state; columns as of the figure, and address."""
    base = _chart(rows, 24).encode(
        x=alt.X(
            "stage:N",
            sort=alt.EncodingSortField("place"),
            title=None,
            axis=alt.Axis(orient="top", labelAngle=0),
            scale=GAPS,
        ),
        y=_category("partition", None, scale=GAPS),
        href="address:N",
        tooltip=[
            "partition:N",
            "stage:N",
            alt.Tooltip("rows:Q", format=","),
            alt.Tooltip("kept:Q", format=","),
            alt.Tooltip("kept_share:Q", format=".1%"),
            "failing:Q",
        ],
    )
    cells = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color("state:N", scale=STATES, title=None, legend=LEGEND),
        opacity=alt.Opacity("kept_share:Q", scale=alt.Scale(domain=[0, 1], range=[0.35, 1]), legend=None),
    )
    return alt.layer(
        cells, base.mark_text(color="white", fontSize=11).encode(text=alt.Text("kept:Q", format=","))
    )


def check_heat(rows: pl.DataFrame) -> alt.Chart:
    """Checks by runs ago; columns check, ago, failed, partitions, state, address."""
    return (
        _chart(rows, 20)
        .mark_rect()
        .encode(
            x=alt.X("ago:O", sort="descending", title="runs ago", scale=GAPS, axis=alt.Axis(labelAngle=0)),
            y=_category("check", None, scale=GAPS),
            color=alt.Color("state:N", scale=STATES, title=None, legend=LEGEND),
            href="address:N",
            tooltip=["check:N", "ago:O", "failed:Q", "partitions:Q"],
        )
        .properties(width=alt.Step(24))
    )


def _category(field: str, sort: Any, **more: Any) -> alt.Y:
    axis = alt.Axis(labelLimit=_LONG, labelOverlap=False, labelPadding=8)
    return alt.Y(f"{field}:N", sort=sort, title=None, axis=axis, **more)


def _chart(rows: pl.DataFrame, step: int) -> alt.Chart:
    """As wide as the page; ``step`` pixels for each line."""
    return alt.Chart(rows).properties(width="container", height={"step": step})
