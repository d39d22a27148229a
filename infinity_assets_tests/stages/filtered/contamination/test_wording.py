"""Text that is a benchmark's must be found in any dress, and a template must accuse nobody."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.similarity.normalize import normal_question
from infinity_assets.similarity.shingles import word_hashes
from infinity_assets.stages.benchmark_fingerprints.passages import TEMPLATE
from infinity_assets.stages.filtered.contamination.wording import held_passages, likeness
from infinity_assets_tests.stages.filtered.contamination.leaks import benchmark_of

WORD = st.integers(0, 10**6).map(lambda n: f"w{n}q")
DRESSES = (
    "{}",
    "<image>\n{} Think step by step, please.",
    "Look at the picture carefully. {}",
    "Question: {}",
    "  {}!! ",
    "{} (one word will do)",
)


def alike(asked: str, item: str) -> float | None:
    return likeness([normal_question(asked)], [normal_question(item)])[0]


@pytest.mark.parametrize("dress", DRESSES)
def test_the_question_in_a_longer_prompt_is_the_question(dress: str) -> None:
    """Lost otherwise: a benchmark that anyone leaks by adding a sentence."""
    assert (
        alike(
            dress.format("How many red cubes are left of the sphere?"),
            "How many red cubes are left of the sphere?",
        )
        == 1
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(WORD, min_size=3, max_size=20, unique=True), st.sampled_from(DRESSES), st.data())
def test_any_question_is_found_in_any_dress_and_no_other_word_passes(words, dress, data) -> None:
    """Lost otherwise: a leak of a question that no example here thought of; or a false accusation."""
    item = " ".join(words).capitalize() + "?"
    assert alike(dress.format(item), item) == 1
    place = data.draw(st.integers(0, len(words) - 1))
    other = " ".join([*words[:place], "otherword", *words[place + 1 :]])
    assert alike(dress.format(f"{other}?"), item) is None


@pytest.mark.parametrize(
    ("asked", "item", "same"),
    [
        ("What is the colour of the car in the picture?", "What colour is the car?", True),
        ("What colour does the car have?", "What colour does this car have in the image?", True),
        ("Which is it? A. cat B. dog", "Which is it?\n(A) cat (B) dog (C) cow", True),
        ("How many red cubes are there?", "How many blue cubes are there?", False),
        ("Is the output of the code '7'?", "Is the output of the code '1'?", False),
        ("", "", True),
        ("", "What is it?", False),
    ],
)
def test_what_asks_the_same(asked: str, item: str, same: bool) -> None:
    """Lost otherwise: samples dropped for a question that only sounds like the item's."""
    assert (alike(asked, item) is not None) == same


@settings(max_examples=40, deadline=None)
@given(
    st.lists(WORD, min_size=13, max_size=120, unique=True),
    st.lists(WORD, max_size=30),
    st.lists(WORD, max_size=30),
    st.data(),
)
def test_a_long_text_is_found_wherever_it_stands(words, before, after, data) -> None:
    """Lost otherwise: a leak in the middle of a longer prompt; or half the training data for one word."""
    benchmark = benchmark_of([(" ".join(words), "", [])])
    whole = " ".join([*before, *words, *after])
    assert held_passages(word_hashes([whole]), benchmark)["share"].to_list() == [1.0]
    place = data.draw(st.integers(0, len(words) - 1))
    edited = " ".join([*words[:place], "otherword", *words[place + 1 :]])
    shares = held_passages(word_hashes([edited]), benchmark)["share"].to_list()
    if len(words) < 30:
        assert shares == []
    elif len(words) >= 65:
        assert len(shares) == 1 and 0.8 <= shares[0] < 1


def test_a_template_accuses_nobody() -> None:
    """Lost otherwise: every sample that begins with the benchmark's own instruction."""
    head = " ".join(f"instruction{i}" for i in range(40))
    items = [(f"{head} subject{i} alpha{i} beta{i}", "", []) for i in range(TEMPLATE + 1)]
    texts = [f"{head} subject99 alpha99 beta99", head, f"{head} subject3 alpha3 beta3"]
    assert held_passages(word_hashes(texts), benchmark_of(items))["row"].to_list() == [2]


def test_nothing_is_found_in_nothing() -> None:
    """Lost otherwise: a run that stops at an empty source or an empty benchmark."""
    assert held_passages(word_hashes([]), benchmark_of([("a " * 20, "", [])])).is_empty()
    assert held_passages(word_hashes(["a " * 20]), benchmark_of([])).is_empty()
    assert likeness([], []) == []
