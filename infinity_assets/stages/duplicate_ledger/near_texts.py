"""Near texts: pairs of distinct conversations that are near, found by MinHash and read to make sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infinity_assets.similarity import minhash
from infinity_assets.similarity.banding import CROWD
from infinity_assets.similarity.texts import NEAR_TEXT_VERSION, Read, near_text_pairs
from infinity_assets.stages.duplicate_ledger.keys import NONE, Keys, Rows, keys_of_bytes, rows_in
from infinity_assets.stages.duplicate_ledger.known import recall, remember
from infinity_assets.store.digests import key_of
from infinity_assets.store.objects import Objects


@dataclass(frozen=True, slots=True)
class NearTexts:
    """Pairs of texts, as places in what was given, ``(pairs,)`` each; ``left < right``."""

    left: Rows
    right: Rows
    similarity: npt.NDArray[np.float64]  #: Jaccard, 0 to 1
    near: npt.NDArray[np.bool_]  #: False where they are alike and something that matters differs
    new: int  #: texts that no earlier run had searched for

    def at_least(self, similarity: float) -> NearTexts:
        """The pairs that are as alike as this."""
        at = np.flatnonzero(self.similarity >= similarity)
        return NearTexts(self.left[at], self.right[at], self.similarity[at], self.near[at], self.new)


def near_texts(texts: Keys, signatures: npt.NDArray[np.uint8], read: Read, objects: Objects) -> NearTexts:
    """All pairs of near texts; the result follows from the set of texts alone.

    Args:
        texts: ``(texts, 2)``, the hash of each; distinct.
        signatures: ``(texts, bytes)``.
        read: gives conversations by place.
        objects: where earlier runs left what they found.
    """
    version = key_of("near_text", NEAR_TEXT_VERSION, CROWD)
    places = minhash.unpack([row.tobytes() for row in signatures])
    found = recall(objects, "text_pairs", version)
    fresh = np.ones(len(texts), bool)
    known = NearTexts(*_none(), new=0)
    if found is not None:
        searched = keys_of_bytes(found["searched"]["text"])
        # A band that too many share joins nobody. It may do so again when texts are gone: search for all.
        if not (rows_in(searched, texts) == NONE).any():
            fresh = rows_in(texts, searched) == NONE
            known = _still(found["pairs"], texts, minhash.bands(places))
    if fresh.any() or found is None:
        pairs = near_text_pairs(places, read, None if fresh.all() else fresh)
        known = NearTexts(
            np.concatenate((known.left, pairs.left)),
            np.concatenate((known.right, pairs.right)),
            np.concatenate((known.similarity, pairs.similarity)),
            np.concatenate((known.near, pairs.near)),
            int(fresh.sum()),
        )
        remember(objects, "text_pairs", version, _tables(texts, known))
    order = np.lexsort((known.right, known.left))
    return NearTexts(
        known.left[order], known.right[order], known.similarity[order], known.near[order], known.new
    )


def _still(pairs: pa.Table, texts: Keys, bands: npt.NDArray[np.uint64]) -> NearTexts:
    """Pairs of earlier runs that share a band which is not crowded by now."""
    a = rows_in(keys_of_bytes(pairs["left"]), texts)
    b = rows_in(keys_of_bytes(pairs["right"]), texts)
    shared = np.zeros(len(a), bool)
    for band in range(bands.shape[1]):
        values = bands[:, band]
        at = np.flatnonzero((values[a] == values[b]) & ~shared)
        if len(at) == 0:
            continue
        wanted, place = np.unique(values[a[at]], return_inverse=True)
        slot = np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)
        counts = np.bincount(slot[wanted[slot] == values], minlength=len(wanted))
        shared[at[counts[place] <= CROWD]] = True
    left, right = np.minimum(a, b)[shared], np.maximum(a, b)[shared]
    similarity = pairs["similarity"].to_numpy()[shared]
    near = pairs["near"].to_numpy(zero_copy_only=False)[shared] if len(pairs) else np.empty(0, bool)
    return NearTexts(left, right, similarity, near, 0)


def _tables(texts: Keys, pairs: NearTexts) -> dict[str, pa.Table]:
    return {
        "searched": pa.table({"text": _bytes(texts)}),
        "pairs": pa.table(
            {
                "left": _bytes(texts[pairs.left]),
                "right": _bytes(texts[pairs.right]),
                "similarity": pairs.similarity,
                "near": pairs.near,
            }
        ),
    }


def _bytes(keys: Keys) -> pa.Array:
    data = pa.py_buffer(np.ascontiguousarray(keys, ">u8").tobytes())
    return pa.Array.from_buffers(pa.binary(16), len(keys), [None, data])


def _none() -> tuple[Rows, Rows, npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, bool)
