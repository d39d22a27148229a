"""Questions and answers by rule, from boxes, labels and captions: true as far as the annotations are.

Nothing is guessed: a leaf is possible for a picture only where its annotations decide the answer. Counts need
boxes of single objects; positions and sizes need a margin, so that no eye would disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from infinity_assets.stages.synthesized.facts import Box, Facts
from infinity_assets.stages.synthesized.wording import counted, indefinite, listed, plural
from infinity_assets.store.digests import key_of

#: Raised whenever the same facts would give another question or answer.
RULES_VERSION: Final = 1

MAX_COUNT: Final = 9  #: above it an annotator's count is not to be relied on
SIDE_MARGIN: Final = 1 / 16  #: of the width, between two centres that are called left and right
AREA_RATIO: Final = 1.25  #: of two boxes that are called larger and smaller

MIN_CAPTION: Final = 8  #: characters; a shorter one describes nothing

_PEOPLE: Final = frozenset({"person", "people", "man", "woman", "child", "boy", "girl"})
_ANIMALS: Final = frozenset(
    {"animal", "bear", "bird", "cat", "cow", "dog", "elephant", "fish", "giraffe", "horse", "sheep", "zebra"}
)


@dataclass(frozen=True, slots=True)
class Said:
    """A question with the parts that its answer is made of."""

    question: str
    word: str  #: the short answer
    sentence: str  #: the answer as a sentence
    because: str  #: what is to be seen that decides it

    def answer(self, style: str) -> str:
        """In one of the three styles: the word, the sentence, or what decides it and then the sentence."""
        if style == "short":
            return self.word
        if style == "brief":
            return self.sentence
        return f"{self.because} {self.sentence}"


T = TypeVar("T")
Asker = Callable[[Facts, int, Sequence[str]], Said | None]


def possible_leaves(facts: Facts, labels: Sequence[str]) -> frozenset[str]:
    """The leaves that the picture's annotations decide.

    Args:
        facts: the picture.
        labels: of all pictures of its source, sorted: what may be asked for and not be there.
    """
    return frozenset(leaf for leaf, ask in ASKERS.items() if ask(facts, 0, labels) is not None)


def ask(leaf: str, facts: Facts, labels: Sequence[str], seed: int) -> Said | None:
    """A question of a leaf about a picture; None where its annotations decide none.

    Args:
        leaf: a key of :data:`ASKERS`.
        facts: the picture.
        labels: of all pictures of its source, sorted.
        seed: chooses among wordings and objects.
    """
    return ASKERS[leaf](facts, int(key_of(seed, facts.image_id, leaf)[:8], 16), labels)


def _counted(facts: Facts) -> Counter[str]:
    return Counter() if facts.crowded else Counter(box.label for box in facts.boxes)


def _single(facts: Facts) -> list[Box]:
    counts = _counted(facts)
    return [box for box in facts.boxes if counts[box.label] == 1]


def _pick(values: Sequence[T], at: int) -> T:
    return values[at % len(values)]


def _all_there_is(facts: Facts) -> str:
    counts = _counted(facts)
    return listed([counted(min(n, MAX_COUNT), label) for label, n in sorted(counts.items())])


def _count_of(fits: Callable[[str], bool]) -> Asker:
    def asker(facts: Facts, at: int, labels: Sequence[str]) -> Said | None:
        counts = {k: n for k, n in sorted(_counted(facts).items()) if n <= MAX_COUNT and fits(k)}
        if not counts:
            return None
        label = _pick(list(counts), at)
        n = counts[label]
        question = _pick(
            (
                f"How many {plural(label)} are in the picture?",
                f"Count the {plural(label)} in the image.",
                f"What is the number of {plural(label)} shown?",
            ),
            at // 7,
        )
        verb = "is" if n == 1 else "are"
        named = f"one {label}" if n == 1 else counted(n, label)
        return Said(
            question,
            str(n),
            f"There {verb} {named} in the picture.",
            f"The picture shows {_all_there_is(facts)}.",
        )

    return asker


def _presence(facts: Facts, at: int, labels: Sequence[str]) -> Said | None:
    there = sorted({box.label for box in facts.boxes})
    if not there:
        return None
    said = " ".join((*facts.captions, *facts.tags, *facts.labels)).lower()
    absent = [label for label in labels if label not in there and label.lower() not in said]
    asks_for_what_is_there = at % 2 == 0 or not absent or facts.crowded
    label = _pick(there if asks_for_what_is_there else absent, at // 2)
    question = _pick(
        (f"Is there {indefinite(label)} in the picture?", f"Does this image show {indefinite(label)}?"),
        at // 11,
    )
    because = f"The picture shows {listed([indefinite(name) for name in there])}."
    if asks_for_what_is_there:
        return Said(question, "Yes", f"Yes, there is {indefinite(label)} in the picture.", because)
    return Said(question, "No", f"No, there is no {label} in the picture.", because)


def _bounding_box(facts: Facts, at: int, labels: Sequence[str]) -> Said | None:
    single = _single(facts)
    if not single:
        return None
    box = _pick(single, at)
    corners = (box.x0 / facts.width, box.y0 / facts.height, box.x1 / facts.width, box.y1 / facts.height)
    if not all(-0.005 <= c <= 1.005 for c in corners):
        return None
    shown = "[" + ", ".join(f"{min(1.0, max(0.0, c)):.2f}" for c in corners) + "]"
    question = f"Give the bounding box of the {box.label} as shares of width and height."
    return Said(
        question,
        shown,
        f"The {box.label} is at {shown}.",
        f"There is one {box.label}; left, top, right and bottom are given from 0 to 1.",
    )


def _location(facts: Facts, at: int, labels: Sequence[str]) -> Said | None:
    sides = ("left", "middle", "right")
    placed = []
    for box in _single(facts):
        share = box.centre[0] / facts.width
        third = min(2, max(0, int(3 * share)))
        if min(abs(share - 1 / 3), abs(share - 2 / 3)) >= SIDE_MARGIN / 2:
            placed.append((box, sides[third]))
    if not placed:
        return None
    box, side = _pick(placed, at)
    where = "in the middle" if side == "middle" else f"on the {side}"
    return Said(
        f"Where in the picture is the {box.label}: left, middle or right?",
        side.capitalize(),
        f"The {box.label} is {where} of the picture.",
        f"There is one {box.label} to look for.",
    )


def _relative(facts: Facts, at: int, labels: Sequence[str]) -> Said | None:
    single = _single(facts)
    pairs = [
        (a, b)
        for a in single
        for b in single
        if a is not b and abs(a.centre[0] - b.centre[0]) >= SIDE_MARGIN * facts.width
    ]
    if not pairs:
        return None
    a, b = _pick(pairs, at)
    side = "left" if a.centre[0] < b.centre[0] else "right"
    return Said(
        f"Is the {a.label} to the left or to the right of the {b.label}?",
        side.capitalize(),
        f"The {a.label} is to the {side} of the {b.label}.",
        f"There is one {a.label} and one {b.label} in the picture.",
    )


def _largest(facts: Facts, at: int, labels: Sequence[str]) -> Said | None:
    ranked = sorted(_single(facts), key=lambda box: -box.area)
    if facts.crowded or len(ranked) < 2 or len(ranked) != len(facts.boxes):
        return None
    if ranked[0].area < AREA_RATIO * ranked[1].area:
        return None
    question = _pick(
        ("Which object takes up the most space in the picture?", "What is the largest object in the image?"),
        at,
    )
    top, all_of_them = ranked[0].label, listed([indefinite(box.label) for box in ranked])
    return Said(
        question,
        top.capitalize(),
        f"The {top} takes up the most space.",
        f"Of {all_of_them}, the first covers the largest part of the picture.",
    )


def _more(facts: Facts, at: int, labels: Sequence[str]) -> Said | None:
    counts = sorted((k, n) for k, n in _counted(facts).items() if n <= MAX_COUNT)
    pairs = [(a, b) for a in counts for b in counts if a[0] < b[0] and a[1] != b[1]]
    if not pairs:
        return None
    (a, n), (b, m) = _pick(pairs, at)
    top = a if n > m else b
    return Said(
        f"Compare the number of {plural(a)} with that of {plural(b)}: of which are there more?",
        plural(top).capitalize(),
        f"There are more {plural(top)}.",
        f"The picture shows {counted(n, a)} and {counted(m, b)}.",
    )


def _objects(facts: Facts, at: int, labels: Sequence[str]) -> Said | None:
    there = sorted({box.label for box in facts.boxes})
    if len(there) < 2 or facts.crowded:
        return None
    question = _pick(("What objects are in the picture?", "Which things can be seen in this image?"), at)
    all_of_them = listed([indefinite(name) for name in there])
    return Said(
        question, ", ".join(there), f"The picture shows {all_of_them}.", f"It holds {_all_there_is(facts)}."
    )


def _description(facts: Facts, at: int, labels: Sequence[str]) -> Said | None:
    captions = [caption for caption in facts.captions if len(caption) >= MIN_CAPTION]
    if not captions:
        return None
    caption = _pick(captions, at)
    question = _pick(("Describe the picture.", "What does the scene look like? Describe it."), at // 5)
    because = (
        f"The picture shows {_all_there_is(facts)}." if _counted(facts) else "This is what is to be seen."
    )
    return Said(question, caption, caption, because)


def _category(facts: Facts, at: int, labels: Sequence[str]) -> Said | None:
    if len(facts.labels) != 1:
        return None
    label = facts.labels[0].replace("_", " ")
    question = _pick(
        ("What kind of thing does the picture show?", "Which category does the image belong to?"), at
    )
    return Said(
        question, label.capitalize(), f"It shows {indefinite(label)}.", "One thing stands in the picture."
    )


def _printed(facts: Facts, at: int, labels: Sequence[str]) -> Said | None:
    if len(facts.texts) != 1:
        return None
    text = facts.texts[0]
    return Said(
        "What text is written in the picture?", text, f"It says: {text}", "There is one piece of text."
    )


#: Leaf -> what asks it.
ASKERS: Final[Mapping[str, Asker]] = {
    "people_count": _count_of(lambda label: label.lower() in _PEOPLE),
    "animal_count": _count_of(lambda label: label.lower() in _ANIMALS),
    "object_count": _count_of(lambda label: label.lower() not in _PEOPLE | _ANIMALS),
    "presence": _presence,
    "bounding_box": _bounding_box,
    "object_location": _location,
    "relative_position_of_objects": _relative,
    "compare_sizes": _largest,
    "compare_quantities": _more,
    "scene_objects": _objects,
    "scene_description": _description,
    "category": _category,
    "printed_text": _printed,
}
