"""Why a sample is (not) there, as a terminal shows it and as one HTML page. Stored text obeys nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from infinity_assets.errors import one_line
from infinity_assets.explain.edges import Edge, Why, picture_bytes
from infinity_assets.lineage.passport import Passport
from infinity_assets.preview.lookups import thumbnail
from infinity_assets.store.tables import Store

TEXT: Final = 400  #: characters of a conversation that are shown
COLUMNS: Final = 36  #: of a picture in a terminal
PIXELS: Final = 360  #: of a picture in a page
GAP: Final = 4


def as_text(found: Why, store: Store, *, colour: bool) -> Iterator[str]:
    """Lines for a terminal.

    Args:
        found: what is told.
        store: where the pictures are.
        colour: whether pictures are drawn in half blocks of 24-bit colour; without, nothing but plain text.
    """
    sample = found.sample
    yield f"sample   {sample.row['sample_id']}"
    yield f"record   {_place(sample)}"
    for step in sample.steps:
        reason = f" {step.reason}" if step.reason else ""
        detail = f": {one_line(step.detail)}" if step.detail else ""
        yield f"{step.stage:<8} {step.verdict}{reason}{detail}"
    others = "on its own" if found.cluster_size == 1 else f"with {found.cluster_size - 1} more"
    yield f"cluster  {found.cluster} ({others})"
    yield f"winner   {found.winner or 'none: it yields to no other'}"
    yield f"says     {_said(sample)}"
    for edge in found.edges:
        yield ""
        yield _headline(edge)
        if edge.other is None:
            continue
        yield f"  record {_place(edge.other)}"
        yield f"  says   {_said(edge.other)}"
        if colour:
            yield from _side_by_side(store, sample, edge)


def as_html(found: Why, store: Store) -> str:
    """One page that needs no other file, runs no script and asks no server."""
    sample = found.sample
    steps = "".join(
        f"<tr><td>{escape(s.stage)}<td>{escape(s.verdict)}<td>{escape(s.reason or '')}"
        f"<td>{escape(one_line(s.detail or ''))}"
        for s in sample.steps
    )
    edges = "".join(_section(store, sample, edge) for edge in found.edges)
    title = escape(sample.row["sample_id"])
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; img-src data:;"
        " style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>body{{font:15px/1.5 system-ui;margin:2rem;max-width:70rem}}"
        "td{padding:.1rem 1rem .1rem 0;vertical-align:top}figure{display:inline-block;margin:.5rem 1rem 0 0}"
        f"img{{max-width:{PIXELS}px}}pre{{white-space:pre-wrap}}</style>"
        f"<h1>{title}</h1><p>{escape(_place(sample))}<table>{steps}</table>"
        f"<p>Cluster {escape(found.cluster)}, {found.cluster_size} samples. Yields to "
        f"{escape(found.winner or 'no other')}.{_pictures(store, sample)}"
        f"<pre>{escape(_said(sample))}</pre>{edges}</html>\n"
    )


def _section(store: Store, sample: Passport, edge: Edge) -> str:
    told = f"<h2>{escape(_headline(edge))}</h2>"
    if edge.other is None:
        return told
    return (
        f"{told}<p>{escape(_place(edge.other))}<p>{_pictures(store, sample)}{_pictures(store, edge.other)}"
        f"<pre>{escape(_said(edge.other))}</pre>"
    )


def _headline(edge: Edge) -> str:
    row = edge.row
    verb = "drops it" if row["decides"] and edge.later else "dropped by it" if row["decides"] else "recorded"
    if not edge.later and not row["decides"]:
        verb = "recorded, of the later one"
    score = "" if row["score"] is None else f", likeness {row['score']:.2f}"
    detail = f" ({one_line(row['detail'])})" if row["detail"] else ""
    return f"{row['kind']} distance {row['distance']:g}{score}: {edge.other_id}, {verb}{detail}"


def _place(sample: Passport) -> str:
    where = sample.row["locator"]
    named = [f"{k} {where[k]}" for k in ("file", "row", "member", "offset") if where[k] is not None]
    native = sample.row["native_id"]
    return one_line(", ".join(named) + (f"; native id {native}" if native is not None else ""))


def _said(sample: Passport) -> str:
    text = " / ".join(f"{turn['role']}: {turn['text']}" for turn in sample.row["turns"])
    cut = text[:TEXT]
    return one_line(cut if len(text) <= TEXT else f"{cut}...")


def _shown(store: Store, sample: Passport, width: int) -> Iterator[bytes]:
    """WebP thumbnails of the first few pictures."""
    for row in sample.pictures[:4]:
        found = picture_bytes(store, sample.row["source"], row["image_id"]) if row else None
        if found is not None:
            yield thumbnail({"bytes": found[0], "format": found[1]}, width)


def _pictures(store: Store, sample: Passport) -> str:
    caption = escape(sample.row["sample_id"])
    return "".join(
        f'<figure><img alt="" src="data:image/webp;base64,{base64.b64encode(data).decode()}">'
        f"<figcaption>{caption}</figcaption></figure>"
        for data in _shown(store, sample, PIXELS)
    )


def _side_by_side(store: Store, sample: Passport, edge: Edge) -> Iterator[str]:
    assert edge.other is not None
    blocks = [_half_blocks(store, one) for one in (sample, edge.other)]
    if not all(blocks):
        return
    height = max(map(len, blocks))
    for row in range(height):
        sides = [b[row] if row < len(b) else " " * COLUMNS for b in blocks]
        yield "  " + (" " * GAP).join(sides)


def _half_blocks(store: Store, sample: Passport) -> list[str]:
    """The first picture, two pixels a character: numbers are all that it puts into the escapes."""
    for data in _shown(store, sample, 2 * COLUMNS):
        pixels = _pixels(data)
        lines = []
        for y in range(0, len(pixels) - 1, 2):
            cells: list[Any] = []
            for top, bottom in zip(pixels[y].tolist(), pixels[y + 1].tolist(), strict=True):
                cells.append("\x1b[38;2;{};{};{};48;2;{};{};{}m▀".format(*top, *bottom))
            lines.append("".join(cells) + "\x1b[0m")
        return lines
    return []


def _pixels(data: bytes) -> npt.NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
        height = max(2, min(48, round(image.height * COLUMNS / image.width)))
        return np.asarray(image.convert("RGB").resize((COLUMNS, height - height % 2)))
