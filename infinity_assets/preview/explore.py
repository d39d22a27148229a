"""The explorer's page: samples of all sources by any filter, as cards; all of its state is in its address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from infinity_assets.explorer.chosen import Chosen, chosen
from infinity_assets.explorer.index import SampleIndex
from infinity_assets.explorer.query import MAX_PAGE, NOT_KEPT, BadQuery, Query
from infinity_assets.explorer.schema import STAGES
from infinity_assets.explorer.search import SECONDS, Clock, Near, View, look, near
from infinity_assets.preview import lookups, pages
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.verdicts import KEEP

#: What a form shows as fields; the other filters are links beside the cards.
TYPED: Final = ("text", "tag", "licence", "language")

Shown = Sequence[Mapping[str, Any]]


def explore(index: SampleIndex, request: Request) -> Response:
    """The page of one view.

    Raises:
        HTTPException: 400 for an address that asks for what cannot be.
    """
    try:
        query = Query.parse(dict(request.query_params))
    except BadQuery as error:
        raise HTTPException(400, str(error)) from None
    progress = index.follow()
    values: dict[str, Any] = {
        "query": query,
        "progress": progress,
        "seconds": SECONDS,
        "typed": TYPED,
        "last_page": MAX_PAGE,
    }
    values |= {"filters": _filters(query), "elsewhere": _elsewhere(query), "columns": []}
    clock = Clock()
    plain, ids = chosen(index.store, query)
    if query.near:
        found = near(index, plain, clock)
        values |= {"near": found, "columns": _likeness(index, found) if found else []}
        values |= {"sample": _cards(index, [found.sample])[0]} if found else {}
    elif query.compare:
        sides = (("kept", plain.but(verdict=KEEP, reason="")), ("not kept", _lost(plain)))
        views = [(title, look(index, side, clock, ids.ids if ids else None)) for title, side in sides]
        values |= {"columns": [(title, view, _cards(index, view.rows)) for title, view in views]}
    else:
        view = look(index, plain, clock, ids.ids if ids else None)
        values |= {"view": view, "cards": _cards(index, view.rows), "unknown": _unknown(ids, view)}
    return HTMLResponse(pages.render("explore.html", **values))


def _lost(query: Query) -> Query:
    """The other side of a comparison: dropped or quarantined, unless one of the two was asked for."""
    return query.but(verdict=query.verdict if query.verdict not in {"", KEEP} else NOT_KEPT)


def _likeness(index: SampleIndex, found: Near) -> list[tuple[str, View, Shown]]:
    sides = (("nearest pictures", found.pictures), ("nearest questions", found.questions))
    return [(title, View(rows, len(rows), cut_at=found.cut_at), _cards(index, rows)) for title, rows in sides]


def _cards(index: SampleIndex, rows: Sequence[Mapping[str, Any]]) -> Shown:
    """Rows with their conversations as they are published now."""
    turns = lookups.conversations(index.store, [row["sample_id"] for row in rows])
    return [{**row, "turns": turns.get(row["sample_id"], [])} for row in rows]


def _unknown(ids: Chosen | None, view: View) -> int:
    """Samples that were chosen by id and that no published table has."""
    return max(len(ids.ids) - view.total, 0) if ids is not None and not view.cut_at else 0


def _filters(query: Query) -> list[tuple[str, str, str]]:
    """Each filter that is set: its name, its value, the address without it."""
    return [
        (field.name, value, query.but(**{field.name: ""}).address)
        for field in fields(query)
        if field.name != "page" and (value := getattr(query, field.name))
    ]


def _elsewhere(query: Query) -> str | None:
    """The list of a table whose rows are no samples."""
    if query.stage and query.stage not in (*STAGES, MIXED.name) and query.stage in lookups.TABLES:
        return f"/stage/{query.stage}" + (f"/{query.source}" if query.source else "")
    return None
