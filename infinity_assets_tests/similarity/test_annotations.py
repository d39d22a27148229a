"""Boxes and labels: what counts as the same marks on a picture that is the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.similarity.annotations import TOLERANCE, Marks, marks_of, shift

SIZE = (640, 480)


def box(label: str, *corners: float, **more: Any) -> dict[str, Any]:
    return {"kind": "box", "label": label, "text": None, "box": list(corners), "image": 0, **more}


def marks(annotations: list[dict[str, Any]], size: tuple[int, int] = SIZE) -> Marks:
    found = marks_of(annotations, [size])
    assert found is not None
    return found


boxes = st.lists(
    st.builds(box, st.sampled_from(["cat", "dog"]), *[st.floats(0, 640)] * 4), min_size=1, max_size=6
)


@given(boxes, st.randoms(use_true_random=False), st.floats(0.3, 3))
def test_neither_order_nor_the_size_of_the_copy_matters(
    annotations: list[dict[str, Any]], random: Any, scale: float
) -> None:
    """Lost otherwise: a copy of a record of boxes whose picture was made smaller."""
    copy = [one | {"box": [scale * n for n in one["box"]], "data": "{}"} for one in annotations]
    random.shuffle(copy)
    found = shift(marks(annotations), marks(copy, (round(640 * scale), round(480 * scale))))
    assert found is not None and found <= TOLERANCE


@given(boxes, boxes)
def test_two_are_near_in_both_directions_or_in_none(
    one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> None:
    assert (shift(marks(one), marks(other)) is None) == (shift(marks(other), marks(one)) is None)


@pytest.mark.parametrize(
    "other",
    [
        [box("cat", 10, 10, 90, 90), box("dog", 300, 200, 400, 300)],
        [box("cat", 10, 10, 90, 90)],
        [box("cat", 10, 10, 90, 90), box("cat", 300, 200, 420, 300)],
        [box("cat", 10, 10, 90, 90), box("cat", 300, 200, 400, 300), box("cat", 10, 10, 90, 90)],
        [box("cat", 10, 10, 90, 90), box("cat", 300, 200, 400, 300, text="asleep")],
    ],
    ids=["another label", "one less", "a box moved", "one twice", "a text besides"],
)
def test_other_marks_on_one_picture_stay(other: list[dict[str, Any]]) -> None:
    """Lost otherwise: what somebody else marked on the same picture."""
    assert shift(marks([box("cat", 10, 10, 90, 90), box("cat", 300, 200, 400, 300)]), marks(other)) is None


@pytest.mark.parametrize(
    ("annotations", "sizes"),
    [
        ([], [SIZE]),
        ([box("cat", 1, 1, 2, 2, kind="keypoints")], [SIZE]),
        ([box("cat", 1, 1, 2, 2)], [(0, 0)]),
    ],
    ids=["nothing said", "keypoints", "a picture without a size"],
)
def test_what_cannot_be_compared_is_near_nothing(
    annotations: list[dict[str, Any]], sizes: list[tuple[int, int]]
) -> None:
    """Lost otherwise: pictures without a word, all duplicates of each other."""
    assert marks_of(annotations, sizes) is None
