"""What the comparison needs of a shard of ``unified`` or ``images``: fingerprints, read once and then kept.

A shard never changes, so its columns lie in ``_ledger/`` under its key and digest. What is missing or damaged
there is read from the table again.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.similarity.crops import CROPS_VERSION, PARTS, crop_hashes
from infinity_assets.stages.duplicate_ledger.keys import Keys, Rows, keys_of_bytes, keys_of_hex
from infinity_assets.stages.duplicate_ledger.known import FOLDER, recall, remember
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.digests import key_of
from infinity_assets.store.objects import Objects
from infinity_assets.store.tables import Published, Shard

#: Raised when the same shard gives other columns.
NARROW_VERSION: Final = 2

UNIFIED_COLUMNS: Final = (
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
MEDIA: Final = {"media": "array_length(media)"}
IMAGE_COLUMNS: Final = ("image_id", "phash", "pixel_hash", "low_detail", "signature")

_PREFIX = "shard-"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class NarrowSamples:
    """The kept samples of one shard of ``unified``, in its order."""

    row: Rows  #: ``(samples,)`` each: within the shard
    ids: Keys  #: the hex of the sample id
    content: Keys
    text: Keys  #: zeros where there are no turns
    pictures_only: Mask  #: no sound, no video
    licence: npt.NDArray[np.int32]  #: index into ``licences``
    pictures: Rows  #: how many it shows
    exchanges: Rows  #: how many it has
    signed: Mask  #: whether its text is long enough to have a signature
    image: Keys  #: ``(pictures shown,)``
    turn: Keys  #: ``(exchanges,)``: question and answers
    question: Keys  #: ``(exchanges,)``
    signature: npt.NDArray[np.uint8]  #: ``(samples with a signature, bytes)``
    licences: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class NarrowPictures:
    """All pictures of one shard of ``images``, in its order; ``(pictures,)`` each."""

    ids: Keys
    pixels: Keys  #: zeros where nothing was decoded
    phash: npt.NDArray[np.uint64]  #: 0 where there is none
    decoded: Mask
    low_detail: Mask  #: its perceptual hashes mean nothing
    comparable: Mask  #: it has perceptual hashes that mean something
    parts: npt.NDArray[
        np.uint64
    ]  #: ``(pictures, parts)``: see :func:`~infinity_assets.similarity.crops.crop_hashes`

    def __len__(self) -> int:
        return len(self.phash)


def shard_name(shard: Shard) -> str:
    """A name for the content of a shard, whatever the version that lists it."""
    return key_of(shard.key, shard.digest)


def narrow_samples(objects: Objects, unified: Published, shard: Shard) -> NarrowSamples:
    """The fingerprints of one shard of ``unified``."""
    kept = kept_samples(objects, shard_name(shard))
    if kept is None:
        kept = _samples(unified, shard)
        _keep(objects, shard, kept)
    return kept


def narrow_pictures(objects: Objects, images: Published, shard: Shard) -> NarrowPictures:
    """The fingerprints of one shard of ``images``."""
    kept = kept_pictures(objects, shard_name(shard))
    if kept is None:
        kept = _pictures(images, shard)
        _keep(objects, shard, kept)
    return kept


def kept_samples(objects: Objects, name: str) -> NarrowSamples | None:
    """What is kept of a shard of ``unified``, which may be there no more."""
    kept = _recalled(objects, name)
    return None if kept is None else NarrowSamples(**kept | {"licences": tuple(kept["licences"].tolist())})


def kept_pictures(objects: Objects, name: str) -> NarrowPictures | None:
    """What is kept of a shard of ``images``, which may be there no more."""
    kept = _recalled(objects, name)
    return None if kept is None else NarrowPictures(**kept)


def forget_others(objects: Objects, names: set[str]) -> None:
    """Delete what is kept of shards that are not among ``names``."""
    wanted = {f"{_PREFIX}{name}" for name in names}
    for child in objects.children(FOLDER):
        if child.startswith(_PREFIX) and child not in wanted:
            objects.delete(f"{FOLDER}/{child}")


def _recalled(objects: Objects, name: str) -> dict[str, Any] | None:
    found = recall(objects, f"{_PREFIX}{name}", key_of("narrow", NARROW_VERSION, CROPS_VERSION))
    return None if found is None else {column: _array(table) for column, table in found.items()}


def _keep(objects: Objects, shard: Shard, made: NarrowSamples | NarrowPictures) -> None:
    tables = {field.name: _table(getattr(made, field.name)) for field in fields(made)}
    remember(
        objects, f"{_PREFIX}{shard_name(shard)}", key_of("narrow", NARROW_VERSION, CROPS_VERSION), tables
    )


def _table(values: Any) -> pa.Table:
    """A column of its own; of a matrix, one row for each of its rows."""
    if isinstance(values, np.ndarray) and values.ndim == 2:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        if values.shape[1] == 0:
            return pa.table({"values": pa.nulls(len(values), pa.list_(flat.type, 0))})
        return pa.table({"values": pa.FixedSizeListArray.from_arrays(flat, values.shape[1])})
    return pa.table({"values": pa.array(values, pa.string()) if isinstance(values, tuple) else values})


def _array(table: pa.Table) -> npt.NDArray[Any]:
    column = table.column("values").combine_chunks()
    if not pa.types.is_fixed_size_list(column.type):
        values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return values
    width = column.type.list_size
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(-1, width) if width else np.empty((0, 0), np.uint8))


def _samples(unified: Published, shard: Shard) -> NarrowSamples:
    head = len(unified.partition) + 1
    table = unified.read_shard(shard, {name: name for name in UNIFIED_COLUMNS} | MEDIA)
    keep = _mask(pc.equal(table.column("verdict"), KEEP))
    kept = table.filter(pa.array(keep)).combine_chunks()
    column = {name: _chunk(kept, name) for name in kept.schema.names}
    pictures, exchanges = _lengths(column["image_ids"]), _lengths(column["turn_hashes"])
    licence = column["licence"].dictionary_encode()
    return NarrowSamples(
        row=np.flatnonzero(keep),
        ids=keys_of_hex(pc.utf8_slice_codeunits(column["sample_id"], head)),
        content=keys_of_hex(column["content_hash"]),
        text=keys_of_hex(column["text_hash"]),
        pictures_only=np.asarray(column["media"].to_numpy(zero_copy_only=False) == pictures, np.bool_),
        licence=np.asarray(licence.indices.to_numpy(zero_copy_only=False), np.int32),
        pictures=pictures,
        exchanges=exchanges,
        signed=_mask(pc.is_valid(column["text_signature"])),
        image=keys_of_hex(pc.list_flatten(column["image_ids"])),
        turn=keys_of_bytes(pc.list_flatten(column["turn_hashes"])),
        question=keys_of_bytes(pc.list_flatten(column["question_hashes"])),
        signature=_matrix(column["text_signature"].drop_null()),
        licences=tuple(licence.dictionary.to_pylist()),
    )


def _pictures(images: Published, shard: Shard) -> NarrowPictures:
    table = images.read_shard(shard, IMAGE_COLUMNS).combine_chunks()
    column = {name: _chunk(table, name) for name in table.schema.names}
    low = _mask(pc.fill_null(column["low_detail"], False))
    comparable = _mask(pc.is_valid(column["phash"])) & ~low
    return NarrowPictures(
        ids=keys_of_hex(column["image_id"]),
        pixels=keys_of_hex(column["pixel_hash"]),
        phash=_words(column["phash"]),
        decoded=_mask(pc.is_valid(column["pixel_hash"])),
        low_detail=low,
        comparable=comparable,
        parts=_parts(column["signature"], comparable),
    )


def _parts(signatures: pa.Array, comparable: Mask) -> npt.NDArray[np.uint64]:
    parts = np.zeros((len(signatures), len(PARTS)), np.uint64)
    for row in np.flatnonzero(comparable & _mask(pc.is_valid(signatures))).tolist():
        parts[row] = crop_hashes(signatures[row].as_py())
    return parts


def _chunk(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _lengths(lists: pa.Array) -> Rows:
    return np.asarray(pc.fill_null(pc.list_value_length(lists), 0), np.int64)


def _mask(values: Any) -> Mask:
    return np.asarray(values.to_numpy(zero_copy_only=False), np.bool_)


def _words(column: pa.Array) -> npt.NDArray[np.uint64]:
    """Eight bytes each, big-endian; 0 for null."""
    data = pl.Series(pl.from_arrow(column.cast(pa.binary())), dtype=pl.Binary).fill_null(bytes(8))
    return np.frombuffer(b"".join(data.to_list()), ">u8").astype(np.uint64)


def _matrix(column: pa.Array) -> npt.NDArray[np.uint8]:
    """``(values, bytes)`` of a binary column whose values are equally long."""
    if len(column) == 0:
        return np.empty((0, 0), np.uint8)
    return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(len(column), -1)
