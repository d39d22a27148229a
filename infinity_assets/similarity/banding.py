"""Which signatures share a band: candidates for near texts, never all pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from infinity_assets.similarity.shingles import Hashes

#: Texts that may share a band; where more do they fill in a form, whose blanks are what matters, and the band
#: joins none of them. It bounds the work by this many pairs a text and band. Our choice.
CROWD = 64

#: Bits of the filter that finds what may share a band with something fresh.
_FILTER_BITS = 24

Rows = npt.NDArray[np.int64]


def candidates(
    bands: Hashes, fresh: npt.NDArray[np.bool_] | None = None, crowd: int = CROWD
) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of rows that share a band which at most ``crowd`` rows share; each pair once, ``left < right``.

    Args:
        bands: ``(rows, bands)``.
        fresh: ``(rows,)``; pairs without any of these are left out. All by default.
        crowd: see :data:`CROWD`; counted over all rows, fresh or not.
    """
    crowded = np.zeros(bands.shape, bool)
    for band in range(bands.shape[1]):
        keys = np.ascontiguousarray(bands[:, band])
        rows = _reachable(keys, fresh)
        order = np.argsort(keys[rows], kind="stable")
        rows, keys = rows[order], keys[rows[order]]
        sizes = np.diff(np.append(_starts(keys), len(keys)))
        size = np.repeat(sizes, sizes)
        crowded[rows[size > crowd], band] = True
        some = (size > 1) & (size <= crowd)
        rows, size = rows[some], size[some]
        # Rows of a group stand together in ascending order: a pair is two places of one group.
        sizes = sizes[(sizes > 1) & (sizes <= crowd)]
        rank = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        for apart in range(1, crowd):
            starts = np.flatnonzero(rank + apart < size)
            if len(starts) == 0:
                break
            left, right = rows[starts], rows[starts + apart]
            if fresh is not None:
                wanted = fresh[left] | fresh[right]
                left, right = left[wanted], right[wanted]
            before = (bands[left, :band] == bands[right, :band]) & ~crowded[left, :band]
            new = ~before.any(axis=1)
            if new.any():
                yield left[new], right[new]


def _starts(keys: Hashes) -> Rows:
    """Where each run of equal keys starts."""
    return np.flatnonzero(np.concatenate((np.ones(min(len(keys), 1), bool), keys[1:] != keys[:-1])))


def _reachable(keys: Hashes, fresh: npt.NDArray[np.bool_] | None) -> Rows:
    """Rows whose key may be that of something fresh: a superset, and small where little is fresh."""
    if fresh is None:
        return np.arange(len(keys), dtype=np.int64)
    place = (keys * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _FILTER_BITS)
    hit = np.zeros(1 << _FILTER_BITS, bool)
    hit[place[fresh]] = True
    return np.flatnonzero(hit[place])
