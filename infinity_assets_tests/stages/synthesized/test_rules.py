"""Without these, training data states what is not in the picture, and says that annotations bear it out."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.stages.synthesized.facts import Box, Facts
from infinity_assets.stages.synthesized.policy import STYLES
from infinity_assets.stages.synthesized.rules import ASKERS, ask, possible_leaves
from infinity_assets.stages.tagged.taxonomy import load_taxonomy

LABELS = ("apple", "bus", "dog", "glass", "person", "sheep")
W, H = 640, 480


def facts(boxes=(), **more) -> Facts:
    values = {
        "image_id": "0" * 32, "parent_ids": ("s-1",), "licence": "CC0-1.0", "width": W, "height": H,
        "tags": (), "leaves": (), "questions": (), "labels": (), "captions": (),
        "texts": (), "crowded": False,
    }  # fmt: skip
    return Facts(boxes=tuple(boxes), **{**values, **more})


corner = st.tuples(st.integers(0, W - 20), st.integers(0, H - 20), st.integers(8, 300), st.integers(8, 300))
boxes = st.lists(
    st.tuples(st.sampled_from(LABELS), corner).map(
        lambda v: Box(v[0], v[1][0], v[1][1], min(W, v[1][0] + v[1][2]), min(H, v[1][1] + v[1][3]))
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(boxes, st.integers(0, 10**6))
def test_every_answer_is_borne_out_by_the_boxes(drawn, seed):
    """The promise of this engine is truth by construction; each kind of answer is worked out here again."""
    picture = facts(drawn)
    for leaf in possible_leaves(picture, LABELS):
        said = ask(leaf, picture, LABELS, seed)
        assert said is not None and said.question and all(said.answer(style).strip() for style in STYLES)
        check = CHECKS.get(leaf)
        if check is not None:
            check(said, drawn)


def _label_in(question: str, drawn) -> str:
    plurals = {"person": "people", "sheep": "sheep", "bus": "buses", "glass": "glasses"}
    found = [n for n in LABELS if re.search(rf"\b({n}|{plurals.get(n, n + 's')})\b", question)]
    assert len(found) == 1, question
    return found[0]


def _counts(said, drawn):
    label = _label_in(said.question, drawn)
    assert int(said.word) == sum(b.label == label for b in drawn)


def _presence(said, drawn):
    label = _label_in(said.question, drawn)
    assert (said.word == "Yes") == any(b.label == label for b in drawn)
    assert said.sentence.startswith(said.word)


def _location(said, drawn):
    (box,) = [b for b in drawn if b.label == _label_in(said.question.split(":")[0], drawn)]
    share = box.centre[0] / W
    assert said.word == ("Left" if share < 1 / 3 else "Right" if share >= 2 / 3 else "Middle")


def _relative(said, drawn):
    a, b = re.search(r"the (\w+) to the left or to the right of the (\w+)", said.question).groups()
    (first,), (second,) = ([x for x in drawn if x.label == n] for n in (a, b))
    assert said.word == ("Left" if first.centre[0] < second.centre[0] else "Right")


def _largest(said, drawn):
    assert said.word.lower() == max(drawn, key=lambda b: b.area).label


def _box(said, drawn):
    (box,) = [b for b in drawn if b.label == _label_in(said.question, drawn)]
    told = [float(v) for v in said.word.strip("[]").split(", ")]
    assert all(
        abs(t - v) <= 0.0051
        for t, v in zip(told, (box.x0 / W, box.y0 / H, box.x1 / W, box.y1 / H), strict=True)
    )


CHECKS = {
    "people_count": _counts, "animal_count": _counts, "object_count": _counts, "presence": _presence,
    "object_location": _location, "relative_position_of_objects": _relative, "compare_sizes": _largest,
    "bounding_box": _box,
}  # fmt: skip


def test_a_box_around_a_crowd_counts_nothing():
    """COCO draws one box around a group: "one person" would be false."""
    picture = facts([Box("person", 0, 0, 90, 90)], crowded=True)
    assert not {"people_count", "compare_sizes", "scene_objects", "bounding_box"} & possible_leaves(
        picture, LABELS
    )
    assert all(ask("presence", picture, LABELS, seed).word == "Yes" for seed in range(20))


def test_nothing_is_asked_of_a_picture_without_annotations():
    """A question that nothing answers would be answered by a guess."""
    assert possible_leaves(facts(), LABELS) == frozenset()


def test_what_a_caption_names_is_not_said_to_be_absent():
    """Boxes need not be complete: a dog that only the caption knows is there all the same."""
    picture = facts([Box("bus", 0, 0, 90, 90)], captions=("A dog beside a bus.",), tags=("person",))
    asked = [ask("presence", picture, LABELS, seed) for seed in range(60)]
    assert {said.word for said in asked} == {"Yes", "No"}
    assert not any("dog" in said.question or "person" in said.question for said in asked if said.word == "No")


def test_every_asker_is_a_leaf_of_the_tree():
    """A plan by leaves would never ask for it otherwise."""
    assert set(ASKERS) <= set(load_taxonomy(version=1).leaves)
