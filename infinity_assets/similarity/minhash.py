"""MinHash signatures of sets of shingles: how alike two texts are, without the texts.

Broder, On the resemblance and containment of documents, 1997. Of each of 48 hash functions the least value is
kept, in 16 bits; the share of equal places estimates the Jaccard similarity of the sets. Twelve bands of four
places are what near texts are found by: two texts with a similarity s share one with probability 1 - (1 -
s^4)^12, which is .998 at s = .8 and .54 at s = .5.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from infinity_assets.similarity.shingles import Hashes, Ragged, mixed

#: Raised when the same shingles give another signature.
MINHASH_VERSION = 1

PLACES = 48
BAND = 4
BANDS = PLACES // BAND
SIGNATURE_BYTES = 2 * PLACES

Signatures = npt.NDArray[np.uint16]

#: Multipliers of the hash functions: multiply-shift, Dietzfelbinger et al. 1997, on mixed values; any odd
#: will do.
_FACTORS: Hashes = mixed(np.arange(1, PLACES + 1, dtype=np.uint64)) | np.uint64(1)
#: Shingles that are hashed together: bounds memory.
_SHINGLES_AT_ONCE = 1 << 16


def signatures(shingles: Ragged) -> Signatures:
    """``(texts, 48)``; a text without shingles has 0xFFFF everywhere."""
    found = np.full((len(shingles), PLACES), 0xFFFF, np.uint16)
    filled = np.flatnonzero(shingles.lengths)
    starts, ends = shingles.starts[:-1][filled], shingles.starts[1:][filled]
    at = 0
    while at < len(filled):
        end = max(at + 1, int(np.searchsorted(ends, starts[at] + _SHINGLES_AT_ONCE, "right")))
        values = shingles.values[starts[at] : ends[end - 1]]
        offsets = starts[at:end] - starts[at]
        for place, factor in enumerate(_FACTORS):
            least = np.minimum.reduceat(values * factor, offsets)
            found[filled[at:end], place] = mixed(least) >> np.uint64(48)
        at = end
    return found


def pack(found: Signatures) -> list[bytes]:
    """Each signature as :data:`SIGNATURE_BYTES` bytes, little-endian."""
    data = np.ascontiguousarray(found, "<u2").tobytes()
    return [data[i : i + SIGNATURE_BYTES] for i in range(0, len(data), SIGNATURE_BYTES)]


def unpack(data: list[bytes]) -> Signatures:
    """What :func:`pack` gave, ``(texts, 48)``.

    Raises:
        ValueError: if a signature has another length.
    """
    for i, signature in enumerate(data):
        if len(signature) != SIGNATURE_BYTES:
            raise ValueError(f"row {i}: a text signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
    return np.frombuffer(b"".join(data), "<u2").reshape(len(data), PLACES).astype(np.uint16)


def estimate(left: Signatures, right: Signatures) -> npt.NDArray[np.float32]:
    """Estimated Jaccard similarity of each row of one with the same row of the other, ``(pairs,)``."""
    equal: npt.NDArray[np.float32] = np.mean(left == right, axis=1, dtype=np.float32)
    return equal


def bands(found: Signatures) -> Hashes:
    """The twelve bands of each signature as one number each, ``(texts, 12)``."""
    return np.ascontiguousarray(found).view(np.uint64)
