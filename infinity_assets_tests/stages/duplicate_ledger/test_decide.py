"""Who yields to whom, against the definition said in loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.stages.duplicate_ledger import decide as module
from infinity_assets.stages.duplicate_ledger import keys
from infinity_assets.stages.duplicate_ledger.decide import decide
from infinity_assets.stages.duplicate_ledger.keys import first_equal, sequences


def by_definition(group: list[int], joined: set[tuple[int, int]], barred: list[bool]) -> list[int]:
    """In the total order: each yields to the first that it is joined to, that stays and is not barred."""
    winner = [-1] * len(group)
    for later in range(len(group)):
        for earlier in range(later):
            pair = group[later], group[earlier]
            if winner[earlier] == -1 and not barred[earlier] and (pair[0] == pair[1] or pair in joined):
                winner[later] = earlier
                break
    return winner


@st.composite
def duplicates(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, int]], list[bool]]:
    labels = draw(st.lists(st.integers(0, 7), max_size=16))
    first: dict[int, int] = {}
    group = [first.setdefault(label, i) for i, label in enumerate(labels)]
    names = sorted(set(group)) or [0]
    edge = st.tuples(st.sampled_from(names), st.sampled_from(names)).filter(lambda e: e[0] != e[1])
    edges = draw(st.lists(edge, max_size=12, unique=True)) if len(names) > 1 else []
    barred = draw(st.lists(st.booleans(), min_size=len(group), max_size=len(group)))
    return group, edges, barred


@given(duplicates(), st.sampled_from([0, 1, 32]))
@settings(max_examples=400, deadline=None)
def test_a_sample_drops_exactly_if_it_is_joined_to_an_earlier_one_that_stays(
    drawn: tuple[list[int], list[tuple[int, int]], list[bool]], rounds: int
) -> None:
    group, edges, barred = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROUNDS", rounds)
        found = decide(
            np.array(group, np.int64),
            np.array([a for a, _ in edges], np.int64),
            np.array([b for _, b in edges], np.int64),
            np.array(barred, bool),
        )
    assert found.winner.tolist() == by_definition(group, set(edges), barred)
    for sample, (winner, edge) in enumerate(zip(found.winner, found.edge, strict=True)):
        if edge >= 0:
            assert edges[edge] == (group[sample], group[winner]), "the edge named is the one that drops"


def test_a_long_chain_of_frames_is_walked_in_a_moment() -> None:
    """Lost otherwise: a run that takes hours on a film cut into 200,000 near frames."""
    count = 200_000
    frames = np.arange(count)
    found = decide(frames, frames[1:], frames[:-1], np.zeros(count, bool))
    assert found.winner.tolist() == [-1 if i % 2 == 0 else i - 1 for i in range(count)]


@given(st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=12))
@settings(max_examples=200, deadline=None)
def test_equal_sequences_are_named_by_their_first(rows: list[list[int]]) -> None:
    owner = np.array([i for i, row in enumerate(rows) for _ in row], np.int64)
    values = np.array([v for row in rows for v in row], np.int64)
    expected = [rows.index(row) if row else -1 for row in rows]
    assert sequences(owner, values, len(rows)).tolist() == expected


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 2**64 - 1])), min_size=1, max_size=20),
    st.booleans(),
)
def test_equal_rows_are_named_by_their_first(rows: list[tuple[int, int]], collide: bool) -> None:
    """Also where the words that rows are sorted by are equal by chance: every one is here."""
    columns = [np.array(column, kind) for column, kind in zip(zip(*rows, strict=True), "lQ", strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        if collide:
            patch.setattr(keys, "_ODD", np.uint64(0))
        assert first_equal(*columns).tolist() == [rows.index(row) for row in rows]
