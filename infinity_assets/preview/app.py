"""The routes. Read-only by construction: GET alone, ids by pattern, no path from input, no script."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infinity_assets.errors import InfinityError
from infinity_assets.explorer.index import SampleIndex
from infinity_assets.explorer.schema import STAGES
from infinity_assets.lineage import columns
from infinity_assets.lineage.ids import IMAGE_ID, SAMPLE_ID
from infinity_assets.lineage.passport import passport
from infinity_assets.lineage.told import measures_of
from infinity_assets.preview import lookups, pages
from infinity_assets.preview.drawing import WIDTH, draw
from infinity_assets.preview.explore import explore
from infinity_assets.sources.model import SOURCE_NAME
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.store.reading import ReadingStore
from infinity_assets.store.tables import Store

SECONDS = 15.0  #: a page may take
READERS = 4  #: pages that are made at the same time
WIDTHS: Final = (160, 320, 640, 1280)  #: thumbnails that can be asked for, so that a cache stays small

#: The only bytes that are handed out as they are: what every browser decodes as a picture and nothing else.
RASTER: Final[Mapping[str, str]] = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
}

_PAGE_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_IMAGE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": _PAGE_POLICY,
}

Work = Callable[[], Response]


def create_app(
    store: Store, hosts: list[str] | None = None, dagster: str | None = None, index: Path | None = None
) -> Starlette:
    """The server over one store.

    Args:
        store: the tables; only read.
        hosts: names under which it may be reached (a page elsewhere must not reach it through a name of its
            own); this machine by default.
        dagster: address of Dagster's pages, for links to runs; runs are not linked without.
        index: folder of the explorer's index, the only thing that is written; no explorer without.
    """
    limiter = anyio.CapacityLimiter(READERS)
    store = ReadingStore(store.root, store.storage_options)
    samples = SampleIndex(store, index) if index is not None else None

    async def bounded(work: Work) -> Response:
        try:
            with anyio.fail_after(SECONDS):
                return await anyio.to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=True)
        except TimeoutError:
            raise HTTPException(503, f"this took longer than {SECONDS:.0f} s; ask for less") from None
        except InfinityError as error:
            raise HTTPException(503, str(error)) from error

    def page(handler: Callable[[Store, Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await bounded(lambda: handler(store, request))

        return endpoint

    app = Starlette(
        routes=[
            Route("/", page(_index), methods=["GET"]),
            Route("/style.css", page(_style), methods=["GET"]),
            Route("/icon.svg", page(_icon), methods=["GET"]),
            Route("/s/{sample_id:str}", page(_sample), methods=["GET"]),
            Route("/explore", page(_explore), methods=["GET"]),
            Route("/lineage/{table:str}", page(_lineage), methods=["GET"]),
            Route("/stage/{stage:str}", page(_index), methods=["GET"]),
            Route("/stage/{stage:str}/{partition:str}", page(_stage), methods=["GET"]),
            Route("/check/{table:str}/{partition:str}/{name:str}", page(_check), methods=["GET"]),
            Route("/image/{source:str}/{image_id:str}", page(_image), methods=["GET"]),
        ],
        middleware=[
            Middleware(_SecurityHeaders),
            Middleware(
                TrustedHostMiddleware,
                allowed_hosts=hosts or ["localhost", "127.0.0.1", "[::1]"],
                www_redirect=False,
            ),
        ],
        exception_handlers={HTTPException: _problem},
    )
    app.state.samples = samples
    app.state.dagster = dagster.rstrip("/") if dagster else None
    return app


class _SecurityHeaders:
    """Adds the headers to every answer, errors included; an answer's own policy wins."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                message["headers"] += [
                    (name.encode(), value.encode())
                    for name, value in _HEADERS.items()
                    if name.encode() not in present
                ]
            await send(message)

        await self.app(scope, receive, with_headers)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    html = pages.render("problem.html", status=error.status_code, message=error.detail)
    return HTMLResponse(html, status_code=error.status_code)


def _index(store: Store, request: Request) -> Response:
    """Every partition of every stage, or of the one that the path names."""
    stages = list(lookups.TABLES)
    if "stage" in request.path_params:
        stages = [_checked(lookups.NAME, request.path_params["stage"], "no such stage")]
        if stages[0] not in lookups.TABLES:
            raise HTTPException(404, "no such stage")
    cells = lookups.overview(store, stages)
    by_row: dict[str, dict[str, lookups.Cell]] = {}
    for cell in cells:
        by_row.setdefault(cell.partition, {})[cell.stage] = cell
    mixes = {name: row for name, row in by_row.items() if "mixed" in row}
    sources = {name: row for name, row in sorted(by_row.items()) if name not in mixes}
    return HTMLResponse(
        pages.render("index.html", stages=[s for s in stages if s != "mixed"], sources=sources, mixes=mixes)
    )


def _style(store: Store, request: Request) -> Response:
    return Response((pages.FOLDER / "static" / "style.css").read_bytes(), media_type="text/css")


def _icon(store: Store, request: Request) -> Response:
    return Response((pages.FOLDER / "static" / "icon.svg").read_bytes(), media_type="image/svg+xml")


def _sample(store: Store, request: Request) -> Response:
    sample_id = _checked(SAMPLE_ID, request.path_params["sample_id"], "no such sample")
    found = passport(store, sample_id)
    if found is None:
        raise HTTPException(404, "no published table has this id")
    page = pages.render(
        "sample.html",
        sample=found,
        row=found.row,
        raster=RASTER,
        measures=measures_of,
        dagster=request.app.state.dagster,
    )
    return HTMLResponse(page)


def _explore(store: Store, request: Request) -> Response:
    index = request.app.state.samples
    if index is None:
        raise HTTPException(404, "this server was started without a folder for the explorer's index")
    return explore(index, request)


def _lineage(store: Store, request: Request) -> Response:
    table, column = request.path_params["table"], request.query_params.get("column", "")
    spec = columns.tables().get(table)
    if spec is None or (column and column not in (columns.ROWS, *spec.schema.names)):
        raise HTTPException(404, "no such table or column")
    made = columns.made_from(table)
    edges = columns.trace(table, column) if column else columns.around(table)
    page = pages.render(
        "lineage.html",
        table=table,
        chosen=column,
        names=list(columns.tables()),
        types={field.name: str(field.type) for field in spec.schema},
        meanings=columns.meanings(table),
        made=made,
        used=columns.used_in(table),
        outside=columns.OUTSIDE,
        drawing=draw(edges, "" if column else table),
        box_width=WIDTH,
    )
    return HTMLResponse(page)


def _stage(store: Store, request: Request) -> Response:
    stage, partition = request.path_params["stage"], request.path_params["partition"]
    if stage not in lookups.TABLES:
        raise HTTPException(404, "no such stage")
    _checked(SOURCE_NAME, partition, "no such partition")
    query: dict[str, Any] = {"verdict": None, "reason": None}
    for name, pattern in (("verdict", lookups.VERDICT), ("reason", lookups.REASON)):
        if value := request.query_params.get(name):
            query[name] = _checked(pattern, value, f"no such {name}")
    number = request.query_params.get("page", "0")
    if not (number.isascii() and number.isdigit() and len(number) < 6 and int(number) <= lookups.MAX_PAGE):
        raise HTTPException(404, f"pages go from 0 to {lookups.MAX_PAGE}")
    listing = lookups.list_rows(store, stage, partition, query["verdict"], query["reason"], int(number))
    if listing is None:
        raise HTTPException(404, f"{stage} of {partition} was never published")
    return HTMLResponse(
        pages.render(
            "stage.html",
            stage=stage,
            partition=partition,
            listing=listing,
            page=int(number),
            last_page=lookups.MAX_PAGE,
            explored=stage in (*STAGES, MIXED.name),
            **query,
        )
    )


def _check(store: Store, request: Request) -> Response:
    table, partition, name = (
        _checked(lookups.NAME, request.path_params[part], f"no such {part}")
        for part in ("table", "partition", "name")
    )
    run = request.query_params.get("run")
    found = lookups.find_check(
        store, table, partition, name, _checked(lookups.RUN, run, "no such run") if run else None
    )
    if found is None:
        raise HTTPException(404, f"no result of the check {name} of {table} / {partition} is kept")
    html = pages.render(
        "check.html", table=table, partition=partition, check=found, dagster=request.app.state.dagster
    )
    return HTMLResponse(html)


def _image(store: Store, request: Request) -> Response:
    source = _checked(SOURCE_NAME, request.path_params["source"], "no such source")
    image_id = _checked(IMAGE_ID, request.path_params["image_id"], "no such picture")
    width = request.query_params.get("w")
    if width is not None and width not in map(str, WIDTHS):
        raise HTTPException(404, f"widths are {', '.join(map(str, WIDTHS))}")
    row = lookups.find_image(store, source, image_id)
    if row is None:
        raise HTTPException(404, "no such picture")
    if width is not None:
        return _picture(lookups.thumbnail(row, int(width)), "image/webp")
    if row["format"] not in RASTER:
        raise HTTPException(404, "not a format that browsers show; ask for a thumbnail (?w=640)")
    return _picture(row["bytes"], RASTER[row["format"]])


def _picture(data: bytes, media_type: str) -> Response:
    # Named by its content, so it never changes; but a take-down must win over a cache within the hour.
    headers = {"content-security-policy": _IMAGE_POLICY, "cache-control": "private, max-age=600"}
    return Response(data, media_type=media_type, headers=headers)


def _checked(pattern: Any, value: str, problem: str) -> str:
    if pattern.fullmatch(value) is None:
        raise HTTPException(404, problem)
    return value
