"""Near records that say nothing in words: near pictures with the same boxes and labels. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from infinity_assets.similarity.annotations import Marks, shift
from infinity_assets.stages.duplicate_ledger.edges import Groups, NearPairs
from infinity_assets.stages.duplicate_ledger.keys import NONE, Rows
from infinity_assets.stages.duplicate_ledger.samples import Samples

#: Records about the same pictures that each is compared with, the first ones. Our choice: it bounds the work.
CROWD = 64

#: Gives what the annotations of some samples say.
Read = Callable[[Rows], Sequence[Marks | None]]


def near_annotations(samples: Samples, groups: Groups, read: Read) -> NearPairs:
    """Pairs of :attr:`Groups.pair` without words, about pictures of the same clusters, marked alike.

    Args:
        samples: in the total order.
        groups: of them.
        read: asked for samples that have company only.
    """
    silent = (groups.scene != NONE) & ~(samples.text != 0).any(axis=1)
    nodes = np.flatnonzero(silent & (groups.pair == np.arange(len(samples))))
    _, scene, sizes = np.unique(groups.scene[nodes], return_inverse=True, return_counts=True)
    nodes, scene = nodes[sizes[scene] > 1], scene[sizes[scene] > 1]
    order = np.argsort(scene, kind="stable")
    nodes, scene = nodes[order], scene[order]
    marks = read(nodes) if len(nodes) else []
    later, earlier, similarity = [], [], []
    start = 0
    for at, node in enumerate(nodes.tolist()):
        start = at if at and scene[at] != scene[at - 1] else start
        for before in range(start, min(at, start + CROWD)):
            one, other = marks[at], marks[before]
            moved = None if one is None or other is None else shift(one, other)
            if moved is not None:
                later.append(node)
                earlier.append(int(nodes[before]))
                similarity.append(1 - moved)
    return NearPairs(np.array(later, np.int64), np.array(earlier, np.int64), np.array(similarity, np.float64))
