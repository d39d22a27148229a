"""A picture of column lineage: tables as boxes of columns from left to right, and lines between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from infinity_assets.lineage.columns import OUTSIDE, ROWS, Column, Edge, tables

WIDTH: Final = 216  #: of a box, in pixels, like all lengths here
GAP: Final = 110  #: between two lanes, for the lines
LINE: Final = 20
HEAD: Final = 30
SPACE: Final = 18  #: between two boxes of a lane


@dataclass(frozen=True, slots=True)
class Entry:
    """One column in a box."""

    column: Column
    y: int  #: of its middle


@dataclass(frozen=True, slots=True)
class Box:
    """One table, or what lies outside the tables (its name is empty then)."""

    table: str
    x: int
    y: int
    height: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes and curves, as SVG takes them."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    curves: tuple[str, ...]  #: paths


def draw(edges: Sequence[Edge], middle: str = "") -> Drawing:
    """Lay out what the edges join.

    Args:
        edges: from a column to one that is made from it.
        middle: a table that stands between what it is made from and what is made from it; without one, each
            table stands behind all that it is made from.
    """
    columns: dict[str, list[Column]] = {}
    for column in (end for edge in edges for end in edge):
        known = columns.setdefault(column.table, [])
        if column not in known:
            known.append(column)
    for table, known in columns.items():
        known.sort(key=lambda column: _place(table, column.name))
    lanes = _around(edges, middle) if middle else _behind(edges)
    boxes = _boxes(columns, lanes)
    at = {entry.column: (box.x, entry.y) for box in boxes for entry in box.entries}
    curves = [_curve(at[a], at[b]) for a, b in edges if a.table != b.table]
    width = max((box.x + WIDTH for box in boxes), default=0)
    return Drawing(width, max((b.y + b.height for b in boxes), default=0), boxes, tuple(curves))


def _place(table: str, name: str) -> int:
    return [ROWS, *tables()[table].schema.names].index(name) if table else list(OUTSIDE).index(name)


def _around(edges: Sequence[Edge], middle: str) -> Mapping[str, int]:
    lanes = {middle: 1}
    for source, made in edges:
        lanes.setdefault(source.table, 0 if made.table == middle else 1)
        lanes.setdefault(made.table, 2)
    return lanes


def _behind(edges: Sequence[Edge]) -> Mapping[str, int]:
    order = ["", *tables()]
    pairs = {(a.table, b.table) for a, b in edges if order.index(a.table) < order.index(b.table)}
    lanes: dict[str, int] = {}
    for table in sorted({end.table for edge in edges for end in edge}, key=order.index):
        lanes[table] = max((lanes[a] + 1 for a, b in pairs if b == table), default=0)
    return lanes


def _boxes(columns: Mapping[str, Sequence[Column]], lanes: Mapping[str, int]) -> tuple[Box, ...]:
    order = ["", *tables()]
    below: dict[int, int] = {}
    boxes = []
    for table in sorted(columns, key=order.index):
        lane, known = lanes[table], columns[table]
        y, height = below.get(lane, 0), HEAD + LINE * len(known) + 6
        below[lane] = y + height + SPACE
        entries = tuple(Entry(c, y + HEAD + LINE * i + LINE // 2) for i, c in enumerate(known))
        boxes.append(Box(table, lane * (WIDTH + GAP), y, height, entries))
    return tuple(boxes)


def _curve(start: tuple[int, int], end: tuple[int, int]) -> str:
    """From the right side of one entry to the left side of another; backwards lines go round by the side."""
    (x0, y0), (x1, y1) = start, end
    x0 += WIDTH
    bend = GAP // 2 if x1 > x0 else GAP
    return f"M{x0} {y0}C{x0 + bend} {y0} {x1 - bend} {y1} {x1} {y1}"
