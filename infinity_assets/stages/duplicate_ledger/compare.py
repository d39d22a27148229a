"""The comparison of all published samples: read, search, join, decide. Writes no table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from infinity_assets.models.copies import CopyDetector
from infinity_assets.similarity.annotations import Marks, marks_of
from infinity_assets.similarity.exchanges import Exchanges
from infinity_assets.similarity.texts import Conversation, conversation_of
from infinity_assets.stages.duplicate_ledger.copies import look_for_copies
from infinity_assets.stages.duplicate_ledger.cropped import crop_pairs
from infinity_assets.stages.duplicate_ledger.edges import (
    edges_of,
    groups_of,
    near_pairs_of,
    scenes_of,
    visual_clusters,
)
from infinity_assets.stages.duplicate_ledger.keys import NONE, Rows, first_equal, rows_in
from infinity_assets.stages.duplicate_ledger.narrow import Mask
from infinity_assets.stages.duplicate_ledger.near_annotations import near_annotations
from infinity_assets.stages.duplicate_ledger.near_images import (
    Memory,
    Witness,
    hash_pairs,
    near_images,
    remembered,
)
from infinity_assets.stages.duplicate_ledger.near_texts import near_texts
from infinity_assets.stages.duplicate_ledger.policy import DuplicatePolicy
from infinity_assets.stages.duplicate_ledger.rows import Barred, decided, ledger_edges
from infinity_assets.stages.duplicate_ledger.samples import (
    Finding,
    Pictures,
    Samples,
    SampleShard,
    join_pictures,
    join_samples,
)
from infinity_assets.stages.duplicate_ledger.shared import shared_turns
from infinity_assets.stages.duplicate_ledger.world import Before, Dropped, Places, World, read_world
from infinity_assets.store.objects import Objects
from infinity_assets.store.tables import Published


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is compared. Sources that take no part are left out."""

    unified: Mapping[str, Published]
    images: Mapping[str, Published]
    priority: Mapping[str, int]
    licence: Finding  #: reason code of a licence that is dropped, or None
    dropped: Dropped  #: by cause and source: the source, and ids that ``filtered`` drops for it
    before: Before | None  #: None where nothing is known, or other rules were in force
    copies: CopyDetector | None = None  #: looks last at pictures that seem the same


@dataclass(frozen=True, slots=True)
class Comparison:
    """All edges of the samples that were decided again; what the slices say of the others is still so."""

    samples: Samples
    pictures: Pictures
    edges: pl.DataFrame  #: see :func:`~.rows.ledger_edges`
    barred: Barred
    shards: Mapping[str, Sequence[SampleShard]]  #: of each source, as ``unified`` has them
    again: Mapping[str, Sequence[Mask]]  #: for each, which of its samples were decided again
    notes: Mapping[str, Any]  #: counts


def compare(inputs: Inputs, policy: DuplicatePolicy, objects: Objects, workers: int) -> Comparison:
    """Compare all samples; a pure function of inputs and policy, whatever was remembered.

    What came, went or is barred since ``inputs.before`` is compared with all; only samples that are connected
    with it are decided again.
    """
    world = read_world(inputs.unified, inputs.images, inputs.dropped, inputs.before, objects)
    hashes = hash_pairs(world.hashes(), policy.phash_radius, objects)
    wholes, parts = world.parts()
    crops = crop_pairs(np.unique(parts), np.unique(wholes), policy.phash_radius, objects)
    keys, signatures, at = world.texts()
    texts = near_texts(
        keys, signatures, _conversations(at, world, inputs.unified), objects, world.texts_gone()
    )
    del signatures  # the largest part of all
    pairs = texts.at_least(policy.text_similarity)
    memory = Memory(objects, "compared_pictures", copies=inputs.copies.key if inputs.copies else "")
    again = world.again(hashes.and_of(crops.of(wholes, parts)), remembered(memory), keys, texts)
    some = not all(mask.all() for mask in again)
    sources = sorted(inputs.unified)
    samples, ids = join_samples(world.samples, again, sources, inputs.priority, inputs.licence)
    pictures = join_pictures(samples, ids, world.pictures)
    witness = _witness(samples, pictures, inputs)
    if some:
        memory = replace(memory, others=_all)
    images = near_images(pictures, hashes, crops, witness, memory, workers)
    nodes = _text_nodes(samples)
    near = pairs.among(rows_in(keys, samples.text[nodes]))
    scene = scenes_of(samples, visual_clusters(pictures, images))
    shared = shared_turns(scene, samples.turn_owner, samples.turn, samples.question)
    groups = groups_of(samples, scene, shared.talk)
    alike = near_annotations(samples, groups, _marks(samples, pictures, inputs))
    near_pairs = near_pairs_of(samples, groups, near, nodes).and_(alike)
    edges = edges_of(samples, pictures, groups, images, near, nodes, near_pairs, shared)
    barred = _barred(samples, inputs.dropped)
    _, deciding = decided(groups, near_pairs, shared, barred.mask, policy)
    shown = pictures.node == np.arange(len(pictures))
    notes = {
        "sources_compared": len(inputs.unified),
        "samples_compared": sum(len(shard.columns) for shard in world.samples),
        "samples_decided_again": len(samples),
        "pictures": int(shown.sum()),
        "pictures_of_low_detail": int((shown & pictures.low_detail).sum()),
        "picture_pairs_within_radius": images.compared,
        "picture_pairs_compared_now": images.new,
        "pictures_in_crowds": images.crowded,
        "texts_long_enough": len(nodes),
        "texts_searched_now": texts.new,
        "texts_alike_that_say_another_thing": int((~near.near).sum()),
        "conversations_in_crowds": shared.crowded,
        "samples_barred": int(barred.mask.sum()),
    }
    named = list(zip(world.samples, again, strict=True))
    return Comparison(
        samples,
        pictures,
        ledger_edges(samples, edges, deciding, barred),
        barred,
        {name: [shard for shard, _ in named if shard.source == name] for name in sources},
        {name: [mask for shard, mask in named if shard.source == name] for name in sources},
        notes,
    )


def _all(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs


def _text_nodes(samples: Samples) -> Rows:
    """The first sample of each distinct text that is long enough."""
    owner = samples.signature_owner
    text = samples.text[owner]
    firsts = first_equal(text[:, 0], text[:, 1]) == np.arange(len(owner)) if len(owner) else owner == 0
    found: Rows = owner[firsts]
    return found


def _barred(samples: Samples, dropped: Dropped) -> Barred:
    """By licence, or since a later stage dropped the sample for a cause that is not the duplicates'.

    What a later stage says of a sample it would say of each with the same content.
    """
    by = samples.barred_by.copy()
    causes = list(samples.causes)
    content = first_equal(samples.content[:, 0], samples.content[:, 1]) if len(samples) else samples.row
    for cause, (source, ids) in sorted(dropped.items()):
        if source not in samples.sources:
            continue
        name = cause.partition("/")[0]
        if name not in causes:
            causes.append(name)
        own = np.flatnonzero(samples.source == samples.sources.index(source))
        found = own[rows_in(samples.ids[own], ids) != NONE]
        hit = np.isin(content, content[found]) & (by == NONE)
        by[hit] = causes.index(name)
    return Barred(by, tuple(causes))


def _witness(samples: Samples, pictures: Pictures, inputs: Inputs) -> Witness:
    def read(column: str, wanted: Rows) -> list[bytes]:
        at = pictures.source[wanted], pictures.row[wanted]
        table = _take(samples.sources, *at, inputs.images, [column])
        found: list[bytes] = table.column(column).to_pylist()
        return found

    copies = partial(look_for_copies, inputs.copies) if inputs.copies else None
    return Witness(lambda wanted: read("signature", wanted), lambda wanted: read("bytes", wanted), copies)


def _conversations(
    texts: Places, world: World, unified: Mapping[str, Published]
) -> Callable[[Rows], list[Conversation]]:
    names = sorted(unified)

    def read(wanted: Rows) -> list[Conversation]:
        source = np.array([names.index(world.samples[i].source) for i in texts.shard[wanted].tolist()])
        table = _take(names, source, texts.row[wanted], unified, ["turns"])
        cut = Exchanges()
        turns = ([(t["role"], t["text"]) for t in row] for row in table.column("turns").to_pylist())
        return [conversation_of(cut.of(row)) for row in turns]

    return read


def _marks(samples: Samples, pictures: Pictures, inputs: Inputs) -> Callable[[Rows], Sequence[Marks | None]]:
    def read(wanted: Rows) -> list[Marks | None]:
        table = _take(
            samples.sources, samples.source[wanted], samples.row[wanted], inputs.unified, ["annotations"]
        )
        low, high = (np.searchsorted(samples.image_owner, wanted, side) for side in ("left", "right"))
        shown = [samples.image[a:b] for a, b in zip(low.tolist(), high.tolist(), strict=True)]
        known = np.unique(np.concatenate(shown))
        known = known[pictures.source[known] != NONE]
        sizes = dict.fromkeys(known.tolist(), (0, 0))
        if len(known):
            columns = ["width", "height"]
            told = _take(samples.sources, pictures.source[known], pictures.row[known], inputs.images, columns)
            both = zip(*(told.column(c).to_pylist() for c in columns), strict=True)
            sizes = {i: (w or 0, h or 0) for i, (w, h) in zip(known.tolist(), both, strict=True)}
        return [
            marks_of(one, [sizes.get(i, (0, 0)) for i in images.tolist()])
            for one, images in zip(table.column("annotations").to_pylist(), shown, strict=True)
        ]

    return read


def _take(
    names: Sequence[str], source: Rows, row: Rows, tables: Mapping[str, Published], columns: list[str]
) -> pa.Table:
    """Rows of several sources' tables, in the order asked for."""
    parts, places = [], []
    for i in np.unique(source).tolist():
        at = np.flatnonzero(source == i)
        parts.append(tables[names[i]].dataset().take(row[at].tolist(), columns=columns))
        places.append(at)
    order = np.argsort(np.concatenate(places))
    return pa.concat_tables(parts).take(pa.array(order))
