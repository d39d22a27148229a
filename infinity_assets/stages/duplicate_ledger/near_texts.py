"""Near texts: pairs of distinct conversations that are near, found by MinHash and read to make sure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infinity_assets.similarity import minhash
from infinity_assets.similarity.banding import CROWD
from infinity_assets.similarity.texts import NEAR_TEXT_VERSION, Read, near_text_pairs
from infinity_assets.stages.duplicate_ledger.keys import NONE, Keys, Rows, keys_of_bytes, members, rows_in
from infinity_assets.stages.duplicate_ledger.known import recall, remember
from infinity_assets.store.digests import key_of
from infinity_assets.store.objects import Objects

Signatures = npt.NDArray[np.uint8]
_Columns = tuple[Rows, Rows, npt.NDArray[np.float64], npt.NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class NearTexts:
    """Pairs of texts, as places in what was given, ``(pairs,)`` each; ``left < right``."""

    left: Rows
    right: Rows
    similarity: npt.NDArray[np.float64]  #: Jaccard, 0 to 1
    near: npt.NDArray[np.bool_]  #: False where they are alike and something that matters differs
    new: int  #: texts that no earlier run had searched for
    touched: Rows  #: texts whose pairs may be others now, since a text that shares a band came or went

    def at_least(self, similarity: float) -> NearTexts:
        """The pairs that are as alike as this."""
        at = np.flatnonzero(self.similarity >= similarity)
        return replace(
            self,
            left=self.left[at],
            right=self.right[at],
            similarity=self.similarity[at],
            near=self.near[at],
        )

    def among(self, place: Rows) -> NearTexts:
        """The pairs of some texts, sorted.

        Args:
            place: for each text where it stands among these, :data:`NONE` where it is none of them.
        """
        a, b = place[self.left], place[self.right]
        left, right = np.minimum(a, b), np.maximum(a, b)
        at = np.flatnonzero(left != NONE)
        at = at[np.lexsort((right[at], left[at]))]
        return replace(
            self, left=left[at], right=right[at], similarity=self.similarity[at], near=self.near[at]
        )


def near_texts(
    texts: Keys, signatures: Signatures, read: Read, objects: Objects, gone: tuple[Keys, Signatures]
) -> NearTexts:
    """All pairs of near texts; the pairs follow from the set of texts alone.

    Only what earlier runs did not search is searched, and texts that share a band which a text that came or
    went has made crowded, or has freed.

    Args:
        texts: ``(texts, 2)``, the hash of each; distinct.
        signatures: ``(texts, bytes)``.
        read: gives conversations by place.
        objects: where earlier runs left what they found.
        gone: hashes and signatures of texts that may have been there before; others that were searched and
            are there no more make everything be searched anew.
    """
    version = key_of("near_text", NEAR_TEXT_VERSION, CROWD)
    found = recall(objects, "text_pairs", version)
    bands = minhash.bands(_places(signatures))
    came = np.ones(len(texts), bool)
    went = np.empty((0, minhash.BANDS), np.uint64)
    if found is not None:
        searched = keys_of_bytes(found["searched"]["text"])
        place = rows_in(searched, texts)
        lost = searched[place == NONE]
        at = rows_in(lost, gone[0])
        if (at == NONE).any():
            found = None
        else:
            came[place[place != NONE]] = False
            went = minhash.bands(_places(gone[1][at]))
    fresh, touched = _unsettled(bands, came, went)
    known = _none()
    if found is not None:
        known = _still(found["pairs"], texts, fresh)
    if fresh.any() or len(went) or found is None:
        pairs = near_text_pairs(_places(signatures), read, None if fresh.all() else fresh)
        known = (
            np.concatenate((known[0], pairs.left)),
            np.concatenate((known[1], pairs.right)),
            np.concatenate((known[2], pairs.similarity)),
            np.concatenate((known[3], pairs.near)),
        )
        remember(objects, "text_pairs", version, _tables(texts, *known))
    return NearTexts(*known, new=int(came.sum()), touched=np.flatnonzero(touched))


def _unsettled(
    bands: npt.NDArray[np.uint64], came: npt.NDArray[np.bool_], went: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which texts must be searched, and which share a band with one that came or went.

    A band that too many share joins nobody. So those of a band that became too large, or is so no more, are
    searched like those that came.

    Args:
        bands: of the texts that are there.
        came: which of them were not there before.
        went: bands of those that were and are no more.
    """
    fresh, touched = came.copy(), came.copy()
    if came.all():
        return fresh, touched
    for band in range(bands.shape[1]):
        keys = np.ascontiguousarray(bands[:, band])
        changed = np.unique(np.concatenate((keys[came], went[:, band])))
        at = members(keys, changed)
        now, more, less = (
            np.bincount(np.searchsorted(changed, some), minlength=len(changed))
            for some in (keys[at], keys[came], went[:, band])
        )
        crossed = (now - more + less > CROWD) != (now > CROWD)
        fresh[at[crossed[np.searchsorted(changed, keys[at])]]] = True
        touched[at] = True
    return fresh, touched


def _still(pairs: pa.Table, texts: Keys, fresh: npt.NDArray[np.bool_]) -> _Columns:
    """Pairs of earlier runs whose texts are both there and not searched again."""
    ends = np.concatenate([keys_of_bytes(pairs["left"]), keys_of_bytes(pairs["right"])])
    a, b = np.split(rows_in(ends, texts), 2)
    keep = np.flatnonzero((a != NONE) & (b != NONE) & ~fresh[a] & ~fresh[b])
    near = pairs["near"].to_numpy(zero_copy_only=False).astype(bool)
    a, b = a[keep], b[keep]
    return np.minimum(a, b), np.maximum(a, b), pairs["similarity"].to_numpy()[keep], near[keep]


def _places(signatures: Signatures) -> minhash.Signatures:
    if not len(signatures):
        return np.empty((0, minhash.PLACES), np.uint16)
    return np.ascontiguousarray(signatures).view("<u2").astype(np.uint16, copy=False)


def _tables(
    texts: Keys,
    left: Rows,
    right: Rows,
    similarity: npt.NDArray[np.float64],
    near: npt.NDArray[np.bool_],
) -> dict[str, pa.Table]:
    return {
        "searched": pa.table({"text": _bytes(texts)}),
        "pairs": pa.table(
            {
                "left": _bytes(texts[left]),
                "right": _bytes(texts[right]),
                "similarity": similarity,
                "near": near,
            }
        ),
    }


def _bytes(keys: Keys) -> pa.Array:
    data = pa.py_buffer(np.ascontiguousarray(keys, ">u8").tobytes())
    return pa.Array.from_buffers(pa.binary(16), len(keys), [None, data])


def _none() -> _Columns:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, bool)
