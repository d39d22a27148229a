"""What the ledger knows, told to people: every edge with both raw places, and one sample's story."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from infinity_assets.errors import StoreError
from infinity_assets.lineage.ids import SAMPLE_ID
from infinity_assets.lineage.passport import Passport, passport
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER, SAME_PICTURES
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.tables import Store

#: Edges that are looked up together.
BATCH: Final = 4096

#: Edges of one sample that are shown.
SHOWN: Final = 200

_COLUMNS: Final = (
    "kind",
    "distance",
    "score",
    "sample_id",
    "winner_id",
    "image_id",
    "winner_image_id",
    "decides",
    "detail",
)


def all_edges(store: Store) -> Iterator[Mapping[str, Any]]:
    """Every edge of every source, by source and in the ledger's order.

    Yields:
        The ledger's columns, with ``locator`` and ``winner_locator`` (file, row, member, offset) for the raw
        places of both samples. One batch is held at a time.
    """
    for name in store.partitions(DUPLICATE_LEDGER):
        ledger = store.require(DUPLICATE_LEDGER, name)
        for batch in ledger.dataset().to_batches(columns=list(_COLUMNS), batch_size=BATCH):
            rows = batch.to_pylist()
            places = locators(store, {r[k] for r in rows for k in ("sample_id", "winner_id")})
            for row in rows:
                yield {
                    **row,
                    "locator": places.get(row["sample_id"]),
                    "winner_locator": places.get(row["winner_id"]),
                }


def count_kinds(store: Store) -> dict[str, dict[str, int]]:
    """Edges by source and kind, from the manifests."""
    found = {name: store.require(DUPLICATE_LEDGER, name) for name in store.partitions(DUPLICATE_LEDGER)}
    return {name: dict(ledger.notes["kinds"]) for name, ledger in found.items()}


def locators(store: Store, sample_ids: set[str]) -> dict[str, Mapping[str, Any]]:
    """Where the raw records of samples stand; samples that are gone are left out."""
    by_source: dict[str, list[str]] = {}
    for sample_id in sorted(sample_ids):
        by_source.setdefault(sample_id.rsplit("-", 1)[0], []).append(sample_id)
    found: dict[str, Mapping[str, Any]] = {}
    for source, ids in by_source.items():
        unified = store.published(UNIFIED, source)
        if unified is None:
            continue
        quoted = ", ".join(f"'{i}'" for i in ids if SAMPLE_ID.fullmatch(i))
        for row in unified.read(["sample_id", "locator"], f"sample_id IN ({quoted})").to_pylist():
            found[row["sample_id"]] = row["locator"]
    return found


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge of a sample, with what stands at its other end."""

    row: Mapping[str, Any]  #: of the ledger
    later: bool  #: whether the sample is the later of the two
    other: Passport | None  #: None where it is gone

    @property
    def other_id(self) -> str:
        """The sample at the other end."""
        return str(self.row["winner_id" if self.later else "sample_id"])


@dataclass(frozen=True, slots=True)
class Why:
    """Everything about one sample that the ledger and the stages know."""

    sample: Passport
    cluster: str  #: the first sample with such pictures
    cluster_size: int  #: samples that stay of it, and its name; 1 for a sample on its own
    winner: str | None  #: the sample that this one yields to
    edges: tuple[Edge, ...]  #: those that decide first, then as the ledger has them


def why(store: Store, sample_id: str) -> Why:
    """What became of a sample, and through which edges.

    Raises:
        StoreError: if no source has the sample, or the id is none.
    """
    sample = passport(store, sample_id)
    if sample is None:
        raise StoreError(f"no source has a sample {sample_id!r}; an id is <source>-<32 hex digits>")
    if sample.kind != "read":
        raise StoreError(f"{sample_id} was not read from a source; `infinity passport` tells what it is")
    pictures = {m["image_id"] for m in sample.row["media"] if m["image_id"]}
    tests = [f"sample_id = '{sample_id}'", f"winner_id = '{sample_id}'"]
    if pictures:
        ids = ", ".join(f"'{i}'" for i in sorted(pictures))
        tests += [f"image_id IN ({ids})", f"winner_image_id IN ({ids})"]
    rows: list[Mapping[str, Any]] = []
    for name in store.partitions(DUPLICATE_LEDGER):
        rows += _matching(store, name, " OR ".join(tests))
    rows.sort(key=lambda r: (not r["decides"], r["sample_id"] != sample_id, r["edge_id"]))
    own = [r for r in rows if r["sample_id"] == sample_id]
    cluster = next((r["winner_id"] for r in own if r["kind"] == SAME_PICTURES), sample_id)
    winner = next((r["winner_id"] for r in own if r["decides"]), None)
    size = 1 + sum(
        _count(store, name, f"kind = '{SAME_PICTURES}' AND winner_id = '{cluster}'")
        for name in store.partitions(DUPLICATE_LEDGER)
    )
    edges = []
    for row in rows[:SHOWN]:
        later = row["sample_id"] == sample_id or row["image_id"] in pictures
        other = passport(store, row["winner_id" if later else "sample_id"])
        edges.append(Edge(row, later, other if other is not None and other.kind == "read" else None))
    return Why(sample, cluster, size, winner, tuple(edges))


def picture_bytes(store: Store, source: str, image_id: str) -> tuple[bytes, str] | None:
    """A picture's file and format, if it was decoded once."""
    images = store.published(IMAGES, source)
    if images is None:
        return None
    where = f"image_id = '{image_id}' AND verdict = 'keep'"
    rows = images.dataset().scanner(columns=["bytes", "format"], filter=where, limit=1).to_table().to_pylist()
    return (rows[0]["bytes"], rows[0]["format"]) if rows and rows[0]["bytes"] is not None else None


def _matching(store: Store, name: str, where: str) -> list[Mapping[str, Any]]:
    ledger = store.require(DUPLICATE_LEDGER, name)
    table: pa.Table = ledger.dataset().scanner(filter=where, limit=SHOWN).to_table()
    rows: list[Mapping[str, Any]] = table.to_pylist()
    return rows


def _count(store: Store, name: str, where: str) -> int:
    return int(store.require(DUPLICATE_LEDGER, name).dataset().count_rows(filter=where))
