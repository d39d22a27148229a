"""Tables on a page: names from outside as text, addresses as links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
import streamlit as st

from infinity_assets.preview.pages import printable

ADDRESS = "address"


def linked(rows: pl.DataFrame, address: Callable[[dict[str, Any]], str | None]) -> pl.DataFrame:
    """The rows with the column ``address``: where each leads to."""
    found = [address(row) for row in rows.iter_rows(named=True)]
    return rows.with_columns(pl.Series(ADDRESS, found, dtype=pl.String))


def plain(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with every character that could act made visible, addresses left as they are."""
    texts = [
        pl.col(name).map_elements(printable, return_dtype=pl.String)
        for name, kind in rows.schema.items()
        if kind == pl.String and not name.startswith(ADDRESS)
    ]
    return rows.with_columns(texts)


def table(rows: pl.DataFrame, shares: tuple[str, ...] = (), **titles: str) -> None:
    """A table; its columns that begin with ``address`` open the samples of their row.

    Args:
        rows: shown as they are, in this order.
        shares: columns between 0 and 1, shown as per cent.
        titles: of columns, where the name is not enough.
    """
    columns: dict[str, Any] = {name: st.column_config.Column(title) for name, title in titles.items()}
    columns |= {name: st.column_config.NumberColumn(titles.get(name), format="percent") for name in shares}
    for name in (name for name in rows.columns if name.startswith(ADDRESS)):
        columns[name] = st.column_config.LinkColumn("samples", display_text="open ↗", width="small")
    st.dataframe(plain(rows), column_config=columns, hide_index=True, width="stretch")


def counts(figures: Mapping[str, str | int]) -> None:
    """Large figures side by side."""
    for column, (title, figure) in zip(st.columns(len(figures)), figures.items(), strict=True):
        column.metric(title, f"{figure:,}" if isinstance(figure, int) else figure, border=True)
