"""The pinned seed set as examples: found once for each version of ``tag_associations``, then read by id."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import polars as pl

from infinity_assets.models.vlm.requests import Picture
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.images.stored import StoredPictures
from infinity_assets.stages.synthesized import seeds
from infinity_assets.stages.synthesized.asking import Shot
from infinity_assets.stages.synthesized.facts import Facts
from infinity_assets.stages.synthesized.seeds import Example, Pool, candidates
from infinity_assets.stages.tag_associations.stage import pinned
from infinity_assets.stages.tagged.sending import read_to_send
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Published, Store

BATCH_ROWS: Final = 65_536
_MARKER: Final = re.compile(r"<(?:image|video|audio)>")


class SeedSet:
    """Examples of the seed set that the published associations were counted on.

    Only ids and tags are remembered. Texts and pictures are read from the tables when they are used, so a
    sample that is taken out of its source serves no longer.
    """

    def __init__(self, store: Store, associations: Published | None) -> None:
        self._store = store
        self._pool = Pool({} if associations is None else _pool(store, associations))
        self._by_id = {(leaf, example.sample_id): example for leaf, example in self._pool}

    def nearest(self, facts: Facts, leaf: str, count: int) -> list[str]:
        """Ids of the samples that are to serve for a picture and a leaf."""
        return [example.sample_id for example in self._pool.nearest(facts, leaf, count)]

    def shots(self, lines: Sequence[Mapping[str, Any]]) -> list[list[Shot]]:
        """The examples of planned lines; one that is gone is left out."""
        wanted = [[self._by_id.get((line["instruction_l3"], i)) for i in line["seed_ids"]] for line in lines]
        named = {e for row in wanted for e in row if e is not None}
        asked, pictures = self._questions(named), self._pictures(named)

        def shot(example: Example) -> Shot | None:
            questions = asked.get(example.sample_id, ())
            picture = pictures.get((example.source, example.image_id))
            if picture is None or example.exchange >= len(questions):
                return None
            others = tuple(q for i, q in enumerate(questions) if i != example.exchange)
            return Shot(example.sample_id, picture, questions[example.exchange], others)

        made = {example: shot(example) for example in named}
        return [[s for e in row if e is not None and (s := made[e]) is not None] for row in wanted]

    def _questions(self, named: set[Example]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for source, ids in _by_source(named, "sample_id"):
            unified = self._store.published(UNIFIED, source)
            if unified is not None:
                listed = ", ".join(f"'{i}'" for i in ids)
                rows = unified.read(["sample_id", "turns"], f"sample_id IN ({listed})").to_pylist()
                found |= {row["sample_id"]: _asked(row["turns"]) for row in rows}
        return found

    def _pictures(self, named: set[Example]) -> dict[tuple[str, str], Picture]:
        found: dict[tuple[str, str], Picture] = {}
        for source, ids in _by_source(named, "image_id"):
            images = self._store.published(IMAGES, source)
            if images is not None:
                shown = read_to_send(_stored(self._store, source, images.version), ids)
                found |= {(source, i): picture for i, picture in shown.items()}
        return found


@lru_cache(maxsize=64)
def _stored(store: Store, source: str, version: int) -> StoredPictures:
    """Kept for the groups of lines after this one: it reads all ids of the source."""
    return StoredPictures(store.require(IMAGES, source))


def _by_source(named: set[Example], field: str) -> Iterator[tuple[str, list[str]]]:
    for source in sorted({example.source for example in named}):
        yield source, sorted({getattr(e, field) for e in named if e.source == source})


def _asked(turns: Sequence[Mapping[str, str]]) -> list[str]:
    """The user's turns that say something, as ``tagged`` counts them."""
    said = (_MARKER.sub(" ", turn["text"]).strip() for turn in turns if turn["role"] == "user")
    return [text for text in said if text]


def _pool(store: Store, associations: Published) -> dict[str, list[Example]]:
    """The examples by leaf, from where they are remembered or from the tables."""
    path = f"_synthesis/seeds/{key_of('seeds', seeds.SEEDS_VERSION, associations.data_version)}.json"
    kept = store.objects.get(path)
    if kept is None:
        kept = json.dumps(seeds.to_json(_found(store, associations))).encode()
        store.objects.put(path, kept)
    return seeds.from_json(json.loads(kept))


def _found(store: Store, associations: Published) -> dict[str, list[Example]]:
    tables = {name: pinned(store, name, pin) for name, pin in associations.notes["pins"].items()}
    wanted = candidates(
        (name, rows)
        for name, table in tables.items()
        for rows in _batches(table, ["sample_id", "instruction_l3"])
    )
    by_leaf: dict[str, list[Example]] = {}
    for source, rows in wanted.group_by("source", maintain_order=True):
        name, ids = str(source[0]), rows["sample_id"].unique().implode()
        unified = store.published(UNIFIED, name)
        if unified is None:
            continue
        tags = pl.concat(
            b.filter(pl.col("sample_id").is_in(ids))
            for b in _batches(tables[name], ["sample_id", "image_tags"])
        )
        alone = (pl.col("image_ids").list.len() == 1) & (pl.col("media").list.len() == 1)
        shown = pl.concat(
            b.filter(pl.col("sample_id").is_in(ids) & alone).select(
                "sample_id", image_id=pl.col("image_ids").list.first()
            )
            for b in _batches(unified, ["sample_id", "image_ids", "media"])
        )
        joined = rows.join(tags, on="sample_id").join(shown, on="sample_id")
        for row in joined.iter_rows(named=True):
            example = Example(
                row["sample_id"], name, row["exchange"], row["image_id"], tuple(row["image_tags"])
            )
            by_leaf.setdefault(row["leaf"], []).append(example)
    return by_leaf


def _batches(table: Published, columns: list[str]) -> Iterator[pl.DataFrame]:
    """Rows a batch at a time; one empty one where there are none."""
    yield pl.DataFrame(pl.from_arrow(table.table.schema.empty_table().select(columns)))
    for batch in table.dataset().to_batches(columns=columns, batch_size=BATCH_ROWS):
        yield pl.DataFrame(pl.from_arrow(batch))
