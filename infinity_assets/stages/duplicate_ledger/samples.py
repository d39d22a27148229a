"""All kept samples and their pictures, as columns in the total order: narrow, so that millions fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infinity_assets.similarity.crops import PARTS
from infinity_assets.stages.duplicate_ledger.keys import (
    NONE,
    Keys,
    Rows,
    first_equal,
    members,
    rows_in,
)
from infinity_assets.stages.duplicate_ledger.narrow import NarrowPictures, NarrowSamples

#: What bars a sample by its licence: a reason code, or None.
Finding = Callable[[str], str | None]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Samples:
    """Every kept sample that takes part, by (priority, more exchanges first, sample id)."""

    sources: tuple[str, ...]  #: names, sorted
    source: Rows  #: ``(samples,)`` each: index into ``sources``
    row: Rows  #: of ``unified``
    ids: Keys  #: the hex of the sample id
    content: Keys
    text: Keys  #: zeros where there are no turns
    pictures_only: Mask  #: no sound, no video
    barred_by: npt.NDArray[np.int8]  #: index into ``causes``, :data:`NONE` for nothing
    causes: tuple[str, ...]
    image_owner: Rows  #: ``(images shown,)``, ascending
    image: Rows  #: what is shown, as an index into :class:`Pictures`
    turn_owner: Rows  #: ``(exchanges,)``, ascending
    turn: Keys  #: question and answers
    question: Keys  #: the question alone
    signature_owner: Rows  #: ``(texts long enough,)``, ascending

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Every picture that a sample shows, in the order in which the samples show them first."""

    ids: Keys  #: ``(pictures,)`` each
    first: Rows  #: the first sample that shows it
    node: Rows  #: the first picture with equal pixels
    pixels: Keys  #: hash of the pixels; of the bytes where nothing was decoded
    phash: npt.NDArray[np.uint64]
    low_detail: Mask  #: its perceptual hashes mean nothing
    comparable: Mask  #: it has perceptual hashes that mean something, and a signature
    source: Rows  #: where its row of ``images`` is, :data:`NONE` for nowhere
    row: Rows
    parts: npt.NDArray[np.uint64]  #: ``(pictures, parts)``: pHashes of its parts

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True, slots=True)
class SampleShard:
    """A shard of ``unified`` that takes part."""

    source: str
    name: str  #: see :func:`~.narrow.shard_name`
    offset: int  #: row of ``unified`` at which it begins
    columns: NarrowSamples


@dataclass(frozen=True, slots=True)
class PictureShard:
    """A shard of ``images`` of a source that takes part."""

    source: str
    name: str  #: see :func:`~.narrow.shard_name`
    offset: int  #: row of ``images`` at which it begins
    columns: NarrowPictures


def join_samples(
    shards: Sequence[SampleShard],
    wanted: Sequence[Mask],
    sources: Sequence[str],
    priority: Mapping[str, int],
    barred: Finding,
) -> tuple[Samples, Keys]:
    """The wanted samples of some shards in the total order.

    Args:
        shards: of these sources.
        wanted: for each shard, which of its samples.
        sources: names, sorted.
        priority: of each source.
        barred: see :data:`Finding`.

    Returns:
        The samples, and the ids of the pictures that ``Samples.image`` counts.
    """
    causes: dict[str, int] = {}
    parts = [
        _part(shard, at, sources.index(shard.source), barred, causes)
        for shard, mask in zip(shards, wanted, strict=True)
        if len(at := np.flatnonzero(mask))
    ]
    joined = {
        name: _concat([part.pop(name) for part in parts], name) for name in _EMPTY
    }  # held once, not twice
    prior = np.array([priority[name] for name in sources] or [0], np.int64)[joined["source"]]
    ids = joined["ids"]
    # Sources are sorted by name, and "-" sorts before all that names are made of: this is the ids' own order.
    order = np.lexsort((ids[:, 1], ids[:, 0], joined["source"], -joined["exchanges"], prior))
    owner, images = _regroup(order, joined["pictures"], joined.pop("image"))
    turn_owner, turns = _regroup(order, joined["exchanges"], joined.pop("turn"))
    _, questions = _regroup(order, joined["exchanges"], joined.pop("question"))
    # Numbered as they are met, so that a picture's number tells which sample shows it first.
    firsts = first_equal(images[:, 0], images[:, 1]) if len(images) else np.empty(0, np.int64)
    met, number = np.unique(firsts, return_inverse=True)
    samples = Samples(
        tuple(sources),
        joined["source"][order],
        joined["row"][order],
        ids[order],
        joined["content"][order],
        joined["text"][order],
        joined["pictures_only"][order],
        joined["barred_by"][order],
        tuple(causes),
        owner,
        number.astype(np.int64),
        turn_owner,
        turns,
        questions,
        np.flatnonzero(joined["signed"][order]),
    )
    return samples, images[met]


def join_pictures(samples: Samples, ids: Keys, shards: Sequence[PictureShard]) -> Pictures:
    """What ``images`` measured of the pictures that samples show.

    Args:
        samples: who shows them.
        ids: theirs, see :func:`join_samples`.
        shards: all of these sources, by source, in the tables' order.
    """
    count = len(ids)
    first = np.full(count, len(samples), np.int64)
    np.minimum.at(first, samples.image, samples.image_owner)
    pixels, phash = ids.copy(), np.zeros(count, np.uint64)
    low_detail, comparable = np.zeros(count, bool), np.zeros(count, bool)
    source, row = np.full(count, NONE, np.int64), np.full(count, NONE, np.int64)
    parts = np.zeros((count, len(PARTS)), np.uint64)
    words = np.unique(ids[:, 0])
    for shard in shards:
        columns = shard.columns
        rows = members(columns.ids[:, 0], words)
        rows = rows[columns.decoded[rows]]
        at = rows_in(columns.ids[rows], ids)
        rows, at = rows[at != NONE], at[at != NONE]
        fresh = source[at] == NONE
        rows, at = rows[fresh], at[fresh]
        source[at], row[at] = samples.sources.index(shard.source), shard.offset + rows
        pixels[at], phash[at] = columns.pixels[rows], columns.phash[rows]
        parts[at] = columns.parts[rows]
        low_detail[at], comparable[at] = columns.low_detail[rows], columns.comparable[rows]
    node = first_equal(pixels[:, 0], pixels[:, 1]) if count else np.empty(0, np.int64)
    return Pictures(ids, first, node, pixels, phash, low_detail, comparable, source, row, parts)


_EMPTY: Mapping[str, Any] = {
    "source": np.empty(0, np.int64),
    "row": np.empty(0, np.int64),
    "ids": np.empty((0, 2), np.uint64),
    "content": np.empty((0, 2), np.uint64),
    "text": np.empty((0, 2), np.uint64),
    "pictures_only": np.empty(0, np.bool_),
    "barred_by": np.empty(0, np.int8),
    "pictures": np.empty(0, np.int64),
    "image": np.empty((0, 2), np.uint64),
    "exchanges": np.empty(0, np.int64),
    "turn": np.empty((0, 2), np.uint64),
    "question": np.empty((0, 2), np.uint64),
    "signed": np.empty(0, np.bool_),
}


def _part(
    shard: SampleShard, at: Rows, source: int, barred: Finding, causes: dict[str, int]
) -> dict[str, npt.NDArray[Any]]:
    """The samples ``at`` these places of a shard."""
    columns = shard.columns
    shown, said = _spans(columns.pictures, at), _spans(columns.exchanges, at)
    return {
        "source": np.full(len(at), source, np.int64),
        "row": shard.offset + columns.row[at],
        "ids": columns.ids[at],
        "content": columns.content[at],
        "text": columns.text[at],
        "pictures_only": columns.pictures_only[at],
        "barred_by": _causes(columns.licences, columns.licence[at], barred, causes),
        "pictures": columns.pictures[at],
        "image": columns.image[shown],
        "exchanges": columns.exchanges[at],
        "turn": columns.turn[said],
        "question": columns.question[said],
        "signed": columns.signed[at],
    }


def _causes(
    licences: Sequence[str], rows: npt.NDArray[np.int32], barred: Finding, causes: dict[str, int]
) -> npt.NDArray[np.int8]:
    """Why each row is barred; there are few licences, so each is looked at once a shard."""
    codes = []
    for licence in licences:
        cause = barred(licence)
        codes.append(NONE if cause is None else causes.setdefault(cause, len(causes)))
    found: npt.NDArray[np.int8] = np.array(codes, np.int8)[rows]
    return found


def _concat(parts: Sequence[npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    filled = [part for part in parts if part.size]
    if not filled:
        return np.asarray(_EMPTY[name]) if not parts else parts[0]
    return np.concatenate(filled)


def _regroup(order: Rows, counts: Rows, values: npt.NDArray[Any]) -> tuple[Rows, npt.NDArray[Any]]:
    """Values that belong to rows, when the rows are put in another order: the new owners, and the values."""
    owner = np.repeat(np.arange(len(order)), counts[order])
    return owner, values[_spans(counts, order)]


def _spans(counts: Rows, rows: Rows) -> Rows:
    """Places of the values of some rows, one row after another; each row has ``counts`` values."""
    starts, lengths = (np.cumsum(counts) - counts)[rows], counts[rows]
    total = np.cumsum(lengths)
    within = np.arange(int(total[-1]) if len(total) else 0) - np.repeat(total - lengths, lengths)
    return np.repeat(starts, lengths) + within
