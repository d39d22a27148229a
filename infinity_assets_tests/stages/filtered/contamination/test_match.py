"""Which samples hold an item, and which only look as if they did."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.stages.filtered.contamination.kinds import KINDS
from infinity_assets.stages.filtered.contamination.match import find_contamination
from infinity_assets_tests.stages.filtered.contamination.leaks import (
    MISSING,
    InMemory,
    batch_of,
    benchmark_of,
    drawing,
    encoded_again,
    found,
    images_of,
)

LONG = (
    "A train leaves the northern station at nine and rides forty miles an hour; when does it pass the bridge,"
    " which lies sixty miles to the south of it?"
)
SHORT = "What is in the picture?"
EIGHT = "Which element of the table has symbol W?"


@pytest.mark.parametrize(
    ("item", "sample", "kinds"),
    [
        ((SHORT, "A cat.", [drawing(1)]), (SHORT, "A dog.", [drawing(1)]), ["contaminated"]),
        (
            ("How many red things?", "3", [drawing(1)]),
            ("How many red things? Answer briefly, please.", "Three.", [encoded_again(drawing(1))]),
            ["contaminated"],
        ),
        ((SHORT, "A cat.", [drawing(1)]), ("Is it day?", "Yes.", [drawing(1)]), ["contaminated_image"]),
        ((SHORT, "A cat.", [drawing(1)]), (SHORT, "A cat.", [drawing(2)]), []),
        ((SHORT, "A cat.", [MISSING]), (SHORT, "A cat.", [drawing(2)]), []),
        ((SHORT, "A cat.", [drawing(1)]), (SHORT, "A cat.", []), []),
        ((LONG, "10:30", [MISSING]), (f"Solve this. {LONG}", "?", [drawing(2)]), ["contaminated_text"]),
        ((LONG, "10:30", [drawing(1)]), (LONG, "?", []), ["contaminated_text"]),
        ((LONG, "10:30", []), (LONG, "?", [drawing(2)]), ["contaminated_text"]),
        ((LONG, "10:30", [drawing(1)]), (LONG, "?", [drawing(2)]), ["contaminated_wording"]),
        (("Tell me.", LONG, []), ("Write something.", LONG, []), ["contaminated_text"]),
        ((EIGHT, "Tungsten", []), (EIGHT, "Wolfram", []), ["contaminated_text"]),
        ((EIGHT, "Tungsten", []), (EIGHT, "Tungsten", [drawing(2)]), []),
        (("Who are you?", "A poet", []), ("Who are you?", "A model", []), []),
        (("Who are you?", "A poet", []), ("Who are you?", "A poet.", []), ["contaminated_text"]),
        (("", "", [drawing(1)]), ("Is it day?", "Yes.", [encoded_again(drawing(1))]), ["contaminated_image"]),
    ],
)
def test_what_counts(item, sample, kinds) -> None:
    """Lost otherwise: a leak that is trained on, or good data that is thrown away."""
    assert found([item], [sample]) == [(0, kind, 0) for kind in kinds]


def test_a_question_that_the_benchmark_asks_about_several_pictures_says_nothing_by_itself() -> None:
    """Lost otherwise: all training data of the benchmark's form, where its pictures are not at hand."""
    items = [(LONG, str(i), [MISSING]) for i in range(2)]
    assert found(items, [(LONG, "?", [drawing(2)])]) == [(0, "contaminated_wording", 0)]


def test_blank_pages_are_no_pictures_of_anything() -> None:
    """Lost otherwise: every sample with a white page, for one item that has one."""
    import numpy as np

    from infinity_assets.demo.parts import png

    blank = png(np.full((200, 200, 3), 255, np.uint8))
    samples = [("Is it day?", "No.", [blank]), ("Is this page empty?", "Yes.", [blank])]
    assert found([("Is this page empty?", "Yes", [blank])], samples) == [(1, "contaminated", 0)]


def test_the_nearest_item_is_named_whatever_the_order() -> None:
    """Lost otherwise: a report that changes from run to run."""
    items = [("How many red things?", "3", [drawing(1)]), ("What is it?", "A car", [drawing(1)])]
    samples = [("What is it? Look well.", "?", [drawing(1)]), ("Is it day?", "?", [drawing(1)])]
    assert found(items, samples) == [(0, "contaminated", 1), (1, "contaminated_image", 0)]
    assert found(items[::-1], samples[::-1]) == [(0, "contaminated_image", 0), (1, "contaminated", 0)]


POOL = [
    (SHORT, "A cat.", [drawing(1)]),
    ("How many red things? Be brief.", "3", [encoded_again(drawing(2))]),
    (SHORT, "A dog.", [drawing(3)]),
    (LONG, "?", []),
    (LONG, "?", [drawing(4)]),
    ("Is it day?", "Yes", [drawing(1), drawing(2)]),
    (EIGHT, "Tungsten", []),
]
ITEMS = [
    (SHORT, "A cat.", [drawing(1)]),
    ("How many red things?", "3", [drawing(2)]),
    (LONG, "10:30", [drawing(5)]),
    (EIGHT, "Tungsten", []),
]


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(len(POOL))), st.integers(0, len(POOL)))
def test_hits_do_not_depend_on_order_or_cut(order, cut) -> None:
    """Lost otherwise: a verdict that hangs on how a source is sharded."""
    benchmark, images = benchmark_of(ITEMS), images_of(ITEMS)

    def kinds(places: list[int]) -> set[tuple[int, str, str]]:
        batch, mine = batch_of([POOL[i] for i in places])
        hits = find_contamination(batch, benchmark, InMemory(mine, images))
        number = pl.col("sample_id").str.slice(-8).str.to_integer(base=16)
        rows = hits.select(number, "kind", "item_id").rows()
        return {(places[row], kind, item) for row, kind, item in rows}

    whole = kinds(list(range(len(POOL))))
    assert {kind for _, kind, _ in whole} == set(KINDS)
    assert kinds(list(order[:cut])) | kinds(list(order[cut:])) == whole
