"""Which samples a duplicate drops. A pure function of who is equal, who is joined, and who may not win."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infinity_assets.stages.duplicate_ledger.keys import NONE, Rows

#: Rounds in which everything is looked at together, before a long chain is walked link by link.
ROUNDS = 32


@dataclass(frozen=True, slots=True)
class Decision:
    """``(samples,)`` each, in the total order."""

    winner: Rows  #: the sample that this one yields to, :data:`NONE` where it stays
    edge: Rows  #: index of the edge that drops it, :data:`NONE` where the two are of one group


def decide(group: Rows, later: Rows, earlier: Rows, barred: npt.NDArray[np.bool_]) -> Decision:
    """Who yields to whom.

    Samples are numbered in the total order. One drops if it is joined to an earlier one that stays and is
    not barred, and names the first such. Members of a group are all joined with each other; an edge joins
    every member of one group with every member of another, in one direction.

    Of a group only the first member that is not barred can make others yield: those behind it yield to it,
    or to whatever it yields to, since they are joined to the same. So groups are decided, not samples, and
    the work is linear in groups and edges.

    Args:
        group: ``(samples,)``, the first member of each one's group.
        later: groups whose members yield, by first member.
        earlier: groups that they yield to, as far as they precede.
        barred: ``(samples,)``, whether others must not yield to it.
    """
    count = len(group)
    none = np.int64(count)
    speaker = np.full(count, none, np.int64)  # of each group: its first member that is not barred
    free = np.flatnonzero(~barred)
    np.minimum.at(speaker, group[free], free)
    loses = speaker[earlier] < speaker[later]
    wins = _winners(speaker, later[loses], earlier[loses])
    strong = np.where(wins, speaker, none)  # of each group: the sample that others yield to
    best = strong[group]  # first of one's own group, then over the edges
    through = np.full(count, NONE, np.int64)
    own = best < np.arange(count)
    winner = np.where(own, best, none)
    if len(later):
        _over_edges(group, later, strong[earlier], winner, through)
    return Decision(np.where(winner < none, winner, NONE), through)


def _winners(speaker: Rows, later: Rows, earlier: Rows) -> npt.NDArray[np.bool_]:
    """Groups whose speaker stays: no group that it yields to has one that stays and precedes it."""
    wins = np.ones(len(speaker), bool)
    open_ = np.zeros(len(speaker), bool)
    open_[later] = True
    for _ in range(ROUNDS):
        if len(later) == 0:
            return wins
        beaten = later[~open_[earlier] & wins[earlier]]
        wins[beaten] = False
        open_[beaten] = False
        matters = open_[later] & (open_[earlier] | wins[earlier])
        later, earlier = later[matters], earlier[matters]
        settled = open_.copy()
        settled[later] = False
        open_[settled] = False
    order = np.argsort(speaker[later], kind="stable")
    beaten_by: dict[int, list[int]] = {}
    for one, other in zip(later[order].tolist(), earlier[order].tolist(), strict=True):
        beaten_by.setdefault(one, []).append(other)
    for one, others in beaten_by.items():
        wins[one] = not any(wins[other] for other in others)
    return wins


def _over_edges(group: Rows, later: Rows, strong: Rows, winner: Rows, through: Rows) -> None:
    """Let samples of the groups that have edges yield to the first over all of them; in place."""
    count = len(group)
    edges = np.flatnonzero(strong < count)
    edges = edges[np.lexsort((edges, strong[edges], later[edges]))]
    firsts = np.flatnonzero(np.diff(later[edges], prepend=-1))
    best_edge = np.full(count, NONE, np.int64)
    best_edge[later[edges[firsts]]] = edges[firsts]
    samples = np.flatnonzero(best_edge[group] != NONE)
    edge = best_edge[group[samples]]
    better = (strong[edge] < samples) & (strong[edge] < winner[samples])
    winner[samples[better]] = strong[edge[better]]
    through[samples[better]] = edge[better]
