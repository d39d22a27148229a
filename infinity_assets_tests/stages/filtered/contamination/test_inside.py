"""Short items without pictures inside of longer texts: found in any company, and never by a common phrase."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.stages.benchmark_fingerprints.passages import TEMPLATE
from infinity_assets.stages.filtered.contamination.inside import items_inside
from infinity_assets.stages.filtered.contamination.short_items import MARKERS, SHORT_WORDS
from infinity_assets_tests.stages.filtered.contamination.leaks import batch_of, benchmark_of, drawing, found

EIGHT = "Which element of the table has symbol W?"
SIX = "How many legs has a spider?"
SEVEN = "Is the sun larger than the moon?"
HIT = [(0, "contaminated_text", 0)]


@pytest.mark.parametrize(
    ("item", "asked", "said", "hits"),
    [
        ((EIGHT, "Tungsten"), f"You are a chemist. {EIGHT} Take your time and explain.", "It is W.", HIT),
        ((EIGHT, "Tungsten"), "Which element of the table has symbol W and number 74?", "It is W.", []),
        ((EIGHT, "Tungsten"), "Which element of the table has symbol Na?", "Sodium", []),
        ((EIGHT, "Tungsten"), "Write a riddle.", f"Here is one: {EIGHT} Guess!", []),
        ((EIGHT, "Tungsten"), "Write a riddle.", f"Here is one: {EIGHT} Tungsten!", HIT),
        ((SIX, "It has eight"), f"Be kind. {SIX}", "It has eight, as all of them.", HIT),
        (
            (SIX, "It has eight"),
            f"Quiz: Is it wet? Yes. {SIX} A: It has eight.",
            "?",
            HIT,
        ),
        ((SIX, "It has eight"), f"Quiz: {SIX} Answer: it has eight. Is it wet? Answer: yes.", "?", HIT),
        ((SIX, "It has eight"), f"{SIX} I asked a teacher, and she said that it has eight.", "?", []),
        ((SIX, "It has eight"), f"Be kind. {SIX}", "Look it up.", []),
        ((SIX, "Eight"), f"Quiz: {SIX} Eight. Is it wet? Yes.", "?", []),
        ((SEVEN, "Yes"), f"Be kind. {SEVEN}", "Yes, by far.", HIT),
        ((SEVEN, "Yes"), f"Be kind. {SEVEN}", "No.", []),
        (("Who are you?", "A poet"), "Hello! Who are you? A poet?", "?", []),
        (("表中符号为W的元素是哪个", "钨"), "请看：表中符号为W的元素是哪个？答案：钨。下一题", "?", HIT),
    ],
)
def test_what_stands_inside(item, asked, said, hits) -> None:
    """Lost otherwise: a benchmark in a list of questions; or good data for a phrase that everybody uses."""
    assert found([(*item, [])], [(asked, said, [])]) == hits


@pytest.mark.parametrize("pictures", [([drawing(1)], []), ([], [drawing(1)])])
def test_a_short_text_about_a_picture_is_no_item_without_it(pictures) -> None:
    """Lost otherwise: each sample that asks of its picture what a benchmark asks of another one."""
    of_item, of_sample = pictures
    sample = (f"You are a chemist. {EIGHT} Explain.", "Tungsten", of_sample)
    assert found([(EIGHT, "Tungsten", of_item)], [sample]) == []


def test_a_form_needs_its_answer() -> None:
    """Lost otherwise: every sample that puts the question which a benchmark puts about hidden texts."""
    form = "Is the text in front of you friendly?"
    items = [(form, "Yes, it is friendly", []), (form, "No, it is hostile", [])]
    assert found(items, [(f"Dear friend. {form} Tell me.", "I cannot see it.", [])]) == []
    assert found(items, [(f"Dear friend. {form}", "No, it is hostile, alas.", [])]) == [
        (0, "contaminated_text", 1)
    ]


def test_an_answer_that_many_items_share_with_their_question_is_a_form_too() -> None:
    """Lost otherwise: the same, where a benchmark has two answers for thousands of texts."""
    items = [("Is this one right?", "Yes, this is right", [])] * (TEMPLATE + 1)
    said = [("Look. Is this one right?", "Yes, this is right, I think.", [])]
    assert found(items, said) == []
    assert found(items[1:], said) != []


WORD = st.integers(0, 10**6).map(lambda n: f"w{n}q")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(WORD, min_size=2, max_size=24, unique=True),
    st.lists(WORD, max_size=20),
    st.lists(WORD, max_size=20),
    st.sampled_from([m for m in MARKERS if m.isascii()]),
    st.data(),
)
def test_any_short_exchange_is_found_in_any_company_and_no_other_word_passes(
    words, before, after, marker, data
) -> None:
    """Lost otherwise: a leak of which no example here thought; or a false accusation."""
    cut = data.draw(st.integers(max(1, len(words) - 12), min(12, len(words) - 1)))
    question, answer = words[:cut], words[cut:]
    wanted = benchmark_of([(" ".join(question) + "?", " ".join(answer), [])]).wanted

    def inside(left: list[str], right: list[str]) -> bool:
        text = " ".join([*before, "said.", *left, "?", marker, *right, ".", *after])
        return not items_inside(batch_of([(text, "!", [])])[0], wanted).is_empty()

    assert inside(question, answer) == (len(words) >= SHORT_WORDS)
    place = data.draw(st.integers(0, len(words) - 1))
    other = [*words[:place], "otherword", *words[place + 1 :]]
    # An answer in other words does not matter where the question is long enough to be known by itself.
    known = place >= cut >= SHORT_WORDS
    assert inside(other[:cut], other[cut:]) == known


def test_nothing_is_found_in_nothing() -> None:
    """Lost otherwise: a run that stops at an empty source or a benchmark without such items."""
    some = benchmark_of([(EIGHT, "Tungsten", [])]).wanted
    assert items_inside(batch_of([])[0], some).is_empty()
    assert items_inside(batch_of([(EIGHT, "?", [])])[0], benchmark_of([]).wanted).is_empty()
