"""Charts of figures. A mark opens its ``address``, and *back* leads here; names are data, never markup."""

from __future__ import annotations

from typing import Any, Final

import altair as alt
import polars as pl

KEPT, DROPPED, QUARANTINED, SOFT = "#2e9e68", "#d9822b", "#d1495b", "#8b95a5"
VERDICTS: Final = alt.Scale(domain=["kept", "dropped", "quarantined"], range=[KEPT, DROPPED, QUARANTINED])
BOTH: Final = alt.Scale(domain=["kept", "dropped"], range=[KEPT, DROPPED])
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


def checks(rows: pl.DataFrame, across: str) -> alt.Chart:
    """Checks by ``ago`` (runs) or ``partition``; columns as of the figure, state, address."""
    where = {
        "ago": alt.X("ago:O", sort="descending", title="runs ago", scale=GAPS, axis=alt.Axis(labelAngle=0)),
        "partition": alt.X(
            "partition:N",
            title=None,
            scale=GAPS,
            axis=alt.Axis(labelAngle=-50, labelLimit=160, labelOverlap=False, orient="top"),
        ),
    }
    told = {"ago": ["failed:Q", "partitions:Q"], "partition": ["failed_rows:Q"]}
    return (
        _chart(rows, 20)
        .mark_rect(cornerRadius=2)
        .encode(
            x=where[across],
            y=_category("check", None, scale=GAPS),
            color=alt.Color("state:N", scale=STATES, title=None, legend=LEGEND),
            href="address:N",
            tooltip=["check:N", f"{across}:N", *told[across]],
        )
        .properties(width=alt.Step(24) if across == "ago" else "container")
    )


def distribution(rows: pl.DataFrame) -> alt.Chart:
    """Bars of two shares by bin; the selection ``bar`` has the lower edge of the one that was chosen."""
    long = rows.unpivot(
        on=["kept_share", "dropped_share"],
        index=["low", "high", "kept", "dropped"],
        variable_name="verdict",
        value_name="share",
    ).with_columns(pl.col("verdict").str.strip_suffix("_share"))
    bar = alt.selection_point(name="bar", fields=["low"])
    return (
        alt.Chart(long)
        .mark_bar(cursor="pointer")
        .encode(
            x=alt.X("low:O", title="from", axis=alt.Axis(format="~g", labelAngle=-60)),
            xOffset="verdict:N",
            y=alt.Y("share:Q", title="share", axis=alt.Axis(format="%")),
            color=alt.Color("verdict:N", scale=BOTH, title=None, legend=LEGEND),
            opacity=alt.condition(bar, alt.value(1), alt.value(0.4)),
            tooltip=[
                alt.Tooltip("low:Q", format="~g"),
                alt.Tooltip("high:Q", format="~g"),
                "verdict:N",
                alt.Tooltip("share:Q", format=".2%"),
                alt.Tooltip("kept:Q", format=","),
                alt.Tooltip("dropped:Q", format=","),
            ],
        )
        .add_params(bar)
        .properties(width="container", height=360)
    )


def grid(rows: pl.DataFrame, by: str) -> alt.LayerChart:
    """Samples by a line and a type of question; a hole is outlined. Columns as of the figure, and address."""
    base = _chart(rows, 22).encode(
        x=alt.X(
            "question_type:N",
            sort=alt.EncodingSortField("of_column", order="descending"),
            title=None,
            axis=alt.Axis(orient="top", labelAngle=-50, labelOverlap=False),
            scale=GAPS,
        ),
        y=_category(by, alt.EncodingSortField("of_line", order="descending"), scale=GAPS),
        href="address:N",
        tooltip=[f"{by}:N", "question_type:N", alt.Tooltip("samples:Q", format=",")],
    )
    hole = alt.datum.samples == 0
    shade = alt.Color("samples:Q", scale=alt.Scale(scheme="greens", type="symlog"), legend=None)
    cells = base.mark_rect(cornerRadius=2).encode(color=shade).transform_filter(alt.datum.samples > 0)
    empty = base.mark_rect(cornerRadius=2, fillOpacity=0, stroke=QUARANTINED, strokeDash=[2, 3])
    figures = base.mark_text(fontSize=11).encode(
        text=alt.Text("samples:Q", format="~s"),
        color=alt.condition(alt.datum.samples > alt.datum.most / 8, alt.value("white"), alt.value("#123524")),
    )
    most = rows["samples"].max() or 1
    return alt.layer(
        cells,
        empty.transform_filter(hole),
        figures.transform_calculate(most=str(most)).transform_filter(alt.datum.samples > 0),
    )


def asked_and_realised(rows: pl.DataFrame) -> alt.Chart:
    """Two bars for each category; columns category, of, share, address."""
    return _pairs(rows, "category", "share", ["asked", "realised"], ".0%", [SOFT, KEPT])


def licences(rows: pl.DataFrame) -> alt.Chart:
    """Three bars for each licence; columns licence, of, rows, address."""
    return _pairs(rows, "licence", "rows", ["read", "kept", "lines of mixes"], ",d", [SOFT, KEPT, DROPPED])


def _pairs(
    rows: pl.DataFrame, by: str, value: str, names: list[str], form: str, colours: list[str]
) -> alt.Chart:
    scale = alt.Scale(domain=names, range=colours)
    return (
        _chart(rows, 14)
        .mark_bar()
        .encode(
            y=_category(by, None),
            yOffset=alt.YOffset("of:N", sort=names),
            x=alt.X(f"{value}:Q", title=value, axis=alt.Axis(format=form)),
            color=alt.Color("of:N", scale=scale, title=None, legend=LEGEND),
            href="address:N",
            tooltip=[f"{by}:N", "of:N", alt.Tooltip(f"{value}:Q", format=form)],
        )
    )


def cost(rows: pl.DataFrame) -> alt.Chart:
    """Cost of a kept row by source and model; columns as of the figure, and address."""
    return (
        _chart(rows, 22)
        .mark_bar()
        .encode(
            y=_category("source", "-x"),
            x=alt.X("cost_per_kept:Q", title="paid for a kept row"),
            color=alt.Color("model:N", title=None, legend=LEGEND),
            href="address:N",
            tooltip=["source:N", "model:N", "cost:Q", "kept:Q", "cost_per_kept:Q"],
        )
    )


def contamination(rows: pl.DataFrame) -> alt.Chart:
    """Samples found by source, coloured by kind; columns as of the figure, and address."""
    return (
        _chart(rows, 22)
        .mark_bar()
        .encode(
            y=_category("source", "-x"),
            x=alt.X("sum(found):Q", title="samples found", axis=alt.Axis(format=",d", tickMinStep=1)),
            color=alt.Color("kind:N", title=None, legend=LEGEND),
            href="address:N",
            tooltip=["benchmark:N", "source:N", "kind:N", "sum(found):Q", "planned:Q"],
        )
    )


def drift(rows: pl.DataFrame) -> alt.Chart:
    """How far shares moved; columns as of the figure, share_of, address."""
    far = alt.condition("abs(datum.moved) > 0.05", alt.value(QUARANTINED), alt.value(SOFT))
    return (
        _chart(rows, 20)
        .mark_bar()
        .encode(
            y=_category("share_of", None),
            x=alt.X("moved:Q", title="moved by", axis=alt.Axis(format="+%")),
            color=far,
            href="address:N",
            tooltip=[
                "share_of:N",
                *(alt.Tooltip(f"{n}:Q", format=".1%") for n in ("before", "now", "moved")),
            ],
        )
    )


def _category(field: str, sort: Any, **more: Any) -> alt.Y:
    axis = alt.Axis(labelLimit=_LONG, labelOverlap=False, labelPadding=8)
    return alt.Y(f"{field}:N", sort=sort, title=None, axis=axis, **more)


def _chart(rows: pl.DataFrame, step: int) -> alt.Chart:
    """As wide as the page; ``step`` pixels for each line."""
    return alt.Chart(rows).properties(width="container", height={"step": step})
