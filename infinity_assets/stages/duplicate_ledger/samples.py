"""All kept samples and their pictures, as columns in the total order: narrow, so that millions fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.stages.duplicate_ledger.keys import (
    NONE,
    Keys,
    Rows,
    first_equal,
    keys_of_bytes,
    keys_of_hex,
    rows_in,
)
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.tables import Published

UNIFIED_COLUMNS = (
    "sample_id",
    "content_hash",
    "text_hash",
    "image_ids",
    "question_hashes",
    "turn_hashes",
    "text_signature",
    "licence",
    "verdict",
)
#: Counted where it lies; the list itself is not read.
MEDIA = {"media": "array_length(media)"}
BATCH_ROWS = 65_536

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
    signature: npt.NDArray[np.uint8]  #: ``(texts long enough, bytes)``

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

    def __len__(self) -> int:
        return len(self.first)


def read_samples(
    unified: Mapping[str, Published], priority: Mapping[str, int], barred: Finding
) -> tuple[Samples, Keys]:
    """The kept samples of these sources.

    Returns:
        The samples, and the ids of the pictures that ``Samples.image`` counts.
    """
    sources = tuple(sorted(unified))
    causes: dict[str, int] = {}
    read = [_read(unified[name], i, len(name) + 1, barred, causes) for i, name in enumerate(sources)]
    parts = [part for found in read for part in found]
    joined = {name: _concat([part[name] for part in parts], name) for name in _EMPTY}
    prior = np.array([priority[name] for name in sources] or [0], np.int64)[joined["source"]]
    ids = joined["ids"]
    # Sources are sorted by name, and "-" sorts before all that names are made of: this is the ids' own order.
    order = np.lexsort((ids[:, 1], ids[:, 0], joined["source"], -joined["exchanges"], prior))
    owner, images = _regroup(order, joined["pictures"], joined["image"])
    turn_owner, turns = _regroup(order, joined["exchanges"], joined["turn"])
    _, questions = _regroup(order, joined["exchanges"], joined["question"])
    has_text = joined["has_signature"].astype(np.int64)
    signature_owner, signatures = _regroup(order, has_text, joined["signature"])
    # Numbered as they are met, so that a picture's number tells which sample shows it first.
    firsts = first_equal(images[:, 0], images[:, 1]) if len(images) else np.empty(0, np.int64)
    met, number = np.unique(firsts, return_inverse=True)
    samples = Samples(
        sources,
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
        signature_owner,
        signatures,
    )
    return samples, images[met]


def read_pictures(samples: Samples, ids: Keys, images: Mapping[str, Published]) -> Pictures:
    """What ``images`` measured of the pictures that samples show.

    Args:
        samples: who shows them.
        ids: theirs, see :func:`read_samples`.
        images: published images by source; a source without is left out.
    """
    count = len(ids)
    first = np.full(count, len(samples), np.int64)
    np.minimum.at(first, samples.image, samples.image_owner)
    pixels, phash = ids.copy(), np.zeros(count, np.uint64)
    low_detail, comparable = np.zeros(count, bool), np.zeros(count, bool)
    source, row = np.full(count, NONE, np.int64), np.full(count, NONE, np.int64)
    for place, name in enumerate(samples.sources):
        if name not in images:
            continue
        seen = 0
        for batch in images[name].dataset().to_batches(columns=list(_NARROW), batch_size=BATCH_ROWS):
            at = rows_in(keys_of_hex(batch.column("image_id")), ids)
            rows = np.arange(seen, seen + batch.num_rows)
            seen += batch.num_rows
            decoded = _mask(pc.is_valid(batch.column("pixel_hash")))
            new = np.flatnonzero((at != NONE) & decoded)
            new = new[source[at[new]] == NONE]
            if len(new) == 0:
                continue
            taken = batch.take(pa.array(new))
            target = at[new]
            source[target], row[target] = place, rows[new]
            pixels[target] = keys_of_hex(taken.column("pixel_hash"))
            hashed = _mask(pc.is_valid(taken.column("phash")))
            low = _mask(pc.fill_null(taken.column("low_detail"), False))
            phash[target] = _words(taken.column("phash"))
            low_detail[target] = low
            comparable[target] = hashed & ~low
    node = first_equal(pixels[:, 0], pixels[:, 1]) if count else np.empty(0, np.int64)
    return Pictures(ids, first, node, pixels, phash, low_detail, comparable, source, row)


_NARROW = ("image_id", "phash", "pixel_hash", "low_detail")

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
    "has_signature": np.empty(0, np.bool_),
    "signature": np.empty((0, 0), np.uint8),
}


def _read(
    unified: Published, source: int, head: int, barred: Finding, causes: dict[str, int]
) -> list[dict[str, Any]]:
    parts, seen = [], 0
    columns = {name: name for name in UNIFIED_COLUMNS} | MEDIA
    for batch in unified.dataset().scanner(columns=columns, batch_size=BATCH_ROWS).to_batches():
        keep = pc.equal(batch.column("verdict"), KEEP)
        rows = seen + np.flatnonzero(_mask(keep))
        seen += batch.num_rows
        kept = batch.filter(keep)
        if kept.num_rows == 0:
            continue
        signatures = kept.column("text_signature")
        parts.append(
            {
                "source": np.full(kept.num_rows, source, np.int64),
                "row": rows,
                "ids": keys_of_hex(pc.utf8_slice_codeunits(kept.column("sample_id"), head)),
                "content": keys_of_hex(kept.column("content_hash")),
                "text": keys_of_hex(kept.column("text_hash")),
                "pictures_only": _mask(pc.equal(kept.column("media"), _lengths(kept.column("image_ids")))),
                "barred_by": _causes(kept.column("licence"), barred, causes),
                "pictures": _lengths(kept.column("image_ids")),
                "image": keys_of_hex(pc.list_flatten(kept.column("image_ids"))),
                "exchanges": _lengths(kept.column("turn_hashes")),
                "turn": keys_of_bytes(pc.list_flatten(kept.column("turn_hashes"))),
                "question": keys_of_bytes(pc.list_flatten(kept.column("question_hashes"))),
                "has_signature": _mask(pc.is_valid(signatures)),
                "signature": _matrix(signatures.drop_null()),
            }
        )
    return parts


def _causes(licences: pa.Array, barred: Finding, causes: dict[str, int]) -> npt.NDArray[np.int8]:
    """Why each row is barred; there are few licences, so each is looked at once a batch."""
    encoded = licences.dictionary_encode()
    codes = []
    for licence in encoded.dictionary.to_pylist():
        cause = barred(licence)
        codes.append(NONE if cause is None else causes.setdefault(cause, len(causes)))
    rows: npt.NDArray[np.int8] = np.array(codes, np.int8)[encoded.indices.to_numpy(zero_copy_only=False)]
    return rows


def _concat(parts: Sequence[npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    filled = [part for part in parts if part.size]
    if not filled:
        return np.asarray(_EMPTY[name]) if not parts else parts[0]
    return np.concatenate(filled)


def _regroup(order: Rows, counts: Rows, values: npt.NDArray[Any]) -> tuple[Rows, npt.NDArray[Any]]:
    """Values that belong to rows, when the rows are put in another order: the new owners, and the values."""
    starts = (np.cumsum(counts) - counts)[order]
    lengths = counts[order]
    owner = np.repeat(np.arange(len(order)), lengths)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return owner, values[np.repeat(starts, lengths) + within]


def _lengths(lists: pa.Array) -> Rows:
    return np.asarray(pc.fill_null(pc.list_value_length(lists), 0), np.int64)


def _mask(values: Any) -> Mask:
    return np.asarray(values.to_numpy(zero_copy_only=False), np.bool_)


def _words(column: pa.Array) -> npt.NDArray[np.uint64]:
    values: Iterable[bytes | None] = column.to_pylist()
    return np.frombuffer(b"".join(v or bytes(8) for v in values), ">u8").astype(np.uint64)


def _matrix(column: pa.Array) -> npt.NDArray[np.uint8]:
    """``(values, bytes)`` of a binary column whose values are equally long."""
    if len(column) == 0:
        return np.empty((0, 0), np.uint8)
    data = b"".join(column.to_pylist())
    return np.frombuffer(data, np.uint8).reshape(len(column), -1)
