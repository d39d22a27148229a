"""What each column is made from in earlier tables (``columns.yaml``), and means (``meanings.yaml``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from infinity_assets.stages.benchmark_fingerprints.schema import BENCHMARK_FINGERPRINTS
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.exported.formats import EXPORTERS
from infinity_assets.stages.exported.schema import exported_spec
from infinity_assets.stages.filtered.contamination.kinds import CONTAMINATION
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.scored.schema import SCORED
from infinity_assets.stages.synthesized.schema import SYNTHESIS_PLAN, SYNTHESIS_QA, SYNTHESIZED
from infinity_assets.stages.tag_associations.schema import TAG_ASSOCIATIONS
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.shards import TableSpec

ROWS: Final = "rows"  #: stands for which rows a table has
EXPORTED: Final = "exported"  #: stands for the table of every format, which are alike
EVERYWHERE: Final = "every"  #: stands for any table that says nothing else of a column

#: What lies outside the tables.
OUTSIDE: Final[Mapping[str, str]] = {
    "@files": "raw files",
    "@catalogue": "catalogue",
    "@policy": "policies and mixes",
    "@models": "models",
    "@code": "code",
}

#: Every table but those of exports, in pipeline order.
EVERY: Final[tuple[TableSpec, ...]] = (
    RAW,
    IMAGES,
    UNIFIED,
    DUPLICATE_LEDGER,
    BENCHMARK_FINGERPRINTS,
    DEDUPED,
    TAGGED,
    TAG_ASSOCIATIONS,
    SYNTHESIS_PLAN,
    SYNTHESIS_QA,
    SYNTHESIZED,
    SCORED,
    CONTAMINATION,
    FILTERED,
    MIXED,
)


@dataclass(frozen=True, slots=True, order=True)
class Column:
    """One column of one table, or something outside: its table is empty then."""

    table: str
    name: str

    def __str__(self) -> str:
        return f"{self.table}.{self.name}" if self.table else OUTSIDE[self.name]


Made = Mapping[str, tuple[Column, ...]]


def tables() -> Mapping[str, TableSpec]:
    """Every table by name, in pipeline order."""
    exports = (exported_spec(name) for name in EXPORTERS)
    return {spec.name: spec for spec in (*EVERY, *exports)}


@cache
def declared() -> Mapping[str, Made]:
    """By table and column what it is made from; ``rows`` comes first, the others as the schema has them."""
    found = {table: dict(_columns(told)) for table, told in _read("columns.yaml").items()}
    result = {}
    for name, spec in tables().items():
        told = found[_declared_as(name)]
        result[name] = {column: told[column] for column in (ROWS, *spec.schema.names)}
    return result


@cache
def meanings(table: str) -> Mapping[str, str]:
    """What each column of a table means, in a line of text.

    Raises:
        KeyError: if there is no such table.
    """
    told = _read("meanings.yaml")
    every, own = told[EVERYWHERE], told[_declared_as(table)]
    return {name: own[name] if name in own else every[name] for name in tables()[table].schema.names}


@cache
def _read(name: str) -> Mapping[str, Mapping[str, str]]:
    text = Path(__file__).with_name(name).read_text("utf-8")
    found: Mapping[str, Mapping[str, str]] = yaml.load(text, yaml.CSafeLoader)
    return found


def _declared_as(table: str) -> str:
    return EXPORTED if table.startswith(f"{EXPORTED}_") else table


def made_from(table: str) -> Made:
    """What each column of a table is made from.

    Raises:
        KeyError: if there is no such table.
    """
    return declared()[table]


def used_in(table: str) -> Mapping[str, tuple[Column, ...]]:
    """The columns of other tables that are made from each column of one, where there are any."""
    found: dict[str, list[Column]] = {}
    for later, made in declared().items():
        for name, sources in made.items():
            for source in sources:
                if source.table == table and later != table:
                    found.setdefault(source.name, []).append(Column(later, name))
    return {name: tuple(columns) for name, columns in found.items()}


def _columns(told: Mapping[str, str]) -> Iterator[tuple[str, tuple[Column, ...]]]:
    for names, sources in told.items():
        made = tuple(Column(*_split(source)) for source in sources.split())
        for name in names.split(","):
            yield name.strip(), made


def _split(source: str) -> tuple[str, str]:
    if source in OUTSIDE:
        return "", source
    table, _, name = source.partition(".")
    return table, name


Edge = tuple[Column, Column]


def around(table: str) -> list[Edge]:
    """What the columns of a table are made from, and what is made from them, one step each way."""
    before = [(s, Column(table, name)) for name, made in made_from(table).items() for s in made]
    after = [(Column(table, name), later) for name, users in used_in(table).items() for later in users]
    return [edge for edge in (*before, *after) if edge[0].table != edge[1].table]


def trace(table: str, name: str) -> list[Edge]:
    """Every step from outside the tables to one column, each once.

    Raises:
        KeyError: if there is no such column.
    """
    edges: dict[Edge, None] = {}
    reached = [Column(table, name)]
    for column in reached:
        for source in made_from(column.table)[column.name]:
            edges[source, column] = None
            if source.table and source not in reached:
                reached.append(source)
    return list(edges)
