"""A benchmark's text is found in any other text, and how much of that it is."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.similarity.ngrams import ngram_set, ngrams
from infinity_assets.similarity.shingles import contains

TEXTS = st.lists(st.lists(st.sampled_from("abcd图"), max_size=12).map(" ".join), max_size=8)
ITEM = "which of these birds has a longer beak than the one on the left branch"


def by_hand(items: list[str], text: str, n: int, shortest: int) -> float:
    words = text.split()
    covered = [False] * len(words)
    for item in items:
        held = item.split()
        length = min(n, len(held))
        if len(held) < max(shortest, 1):
            continue
        runs = {tuple(held[i : i + length]) for i in range(len(held) - length + 1)}
        for at in range(len(words) - length + 1):
            if tuple(words[at : at + length]) in runs:
                covered[at : at + length] = [True] * length
    return sum(covered) / len(words) if words else 0.0


@settings(deadline=None)
@given(TEXTS, TEXTS, st.integers(1, 5), st.integers(1, 4))
def test_the_share_is_that_of_the_words_in_a_run_of_the_benchmark(items, texts, n, shortest):
    known = ngram_set(items, n, shortest)
    assert known.shares(texts).tolist() == [by_hand(items, text, n, shortest) for text in texts]
    assert known.shares(texts).tolist() == [known.shares([text])[0] for text in texts]


@settings(deadline=None)
@given(TEXTS, st.integers(1, 5))
def test_every_benchmark_holds_itself(items, n):
    assert ngram_set(items, n).shares(items).tolist() == [float(bool(item)) for item in items]


@settings(deadline=None)
@given(TEXTS, st.integers(1, 5))
def test_a_set_is_the_runs_of_its_texts_in_any_order(items, n):
    runs = ngrams(items, n)
    assert ngram_set(items, n).hashes.tolist() == np.unique(runs.values).tolist()
    assert ngram_set(items[::-1], n).hashes.tolist() == ngram_set(items, n).hashes.tolist()
    for i, item in enumerate(items):
        assert runs.row(i).tolist() == ngrams([item], n).row(0).tolist()


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1)), st.lists(st.integers(0, 2**64 - 1)))
def test_membership_is_that_of_a_set(known, wanted):
    found = contains(np.unique(np.array(known, np.uint64)), np.array(wanted, np.uint64))
    assert found.tolist() == [value in set(known) for value in wanted]


def test_an_item_inside_a_longer_text_is_found_and_a_fragment_is_not():
    known = ngram_set([ITEM, "what is this"], shortest=4)
    leaked, fragment, common = known.shares([f"please say {ITEM} now", ITEM[:40], "what is this"])
    assert leaked == 15 / 18 and fragment == common == 0
