"""Equal runs of words have equal hashes, however texts are batched; no others do."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.similarity import shingles
from infinity_assets.similarity.shingles import ngram_hashes, text_hashes, word_hashes

TEXTS = st.lists(
    st.one_of(st.text(max_size=30), st.text("ab 图中\u0e01.-_𠀀", max_size=30)), max_size=12
)  # fmt: skip
UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def words_of(text: str) -> list[str]:
    """The words of a text as the module says, one by one."""
    return re.sub(
        r"[\W_]+", " ", UNSPACED.sub(lambda m: f" {m.group()} " if m.group().isalnum() else " ", text)
    ).split()


@settings(deadline=None)
@given(TEXTS)
def test_each_word_has_its_hash_and_only_its_own(texts):
    found = word_hashes(texts)
    expected = [words_of(text) for text in texts]
    assert found.lengths.tolist() == [len(words) for words in expected]
    hashes: dict[str, int] = {}
    for i, words in enumerate(expected):
        for word, value in zip(words, found.row(i).tolist(), strict=True):
            assert hashes.setdefault(word, value) == value
    assert len(set(hashes.values())) == len(hashes)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 5))
def test_runs_are_those_of_each_text_alone(texts, n):
    together = ngram_hashes(word_hashes(texts), n)
    for i, text in enumerate(texts):
        alone = ngram_hashes(word_hashes([text]), n)
        assert together.row(i).tolist() == alone.row(0).tolist()
        assert len(alone.row(0)) == max(0, len(words_of(text)) - n + 1)


@settings(deadline=None)
@given(TEXTS, st.integers(2, 4))
def test_two_runs_are_equal_where_their_words_are(texts, n):
    found = ngram_hashes(word_hashes(texts), n)
    seen: dict[tuple[str, ...], int] = {}
    for i, text in enumerate(texts):
        words = words_of(text)
        for at, value in enumerate(found.row(i).tolist()):
            assert seen.setdefault(tuple(words[at : at + n]), value) == value
    assert len(set(seen.values())) == len(seen)


@settings(deadline=None)
@given(TEXTS)
def test_a_text_is_told_by_its_words_in_order(texts):
    found = text_hashes(word_hashes(texts)).tolist()
    words = [tuple(words_of(text)) for text in texts]
    for a, one in zip(words, found, strict=True):
        for b, other in zip(words, found, strict=True):
            assert (one == other) == (a == b)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_batch_of_any_size_gives_the_same_hashes(monkeypatch, size):
    texts = [f"word {i} " * (i % 9) + "图" * (i % 4) for i in range(60)]
    whole = word_hashes(texts)
    monkeypatch.setattr(shingles, "CHARS_AT_ONCE", size)
    cut = word_hashes(texts)
    assert whole.values.tolist() == cut.values.tolist() and whole.starts.tolist() == cut.starts.tolist()


def test_one_huge_text_beside_small_ones_is_hashed_like_them():
    huge = "alpha beta " * 300_000
    found = word_hashes(["alpha", huge, "beta"])
    assert set(found.row(1).tolist()) == {*found.row(0).tolist(), *found.row(2).tolist()}


def test_a_hash_does_not_change_without_a_version():
    values = ngram_hashes(word_hashes(["what is it in 图中"]), 3).values
    assert int(np.bitwise_xor.reduce(values)) == 15612237009638750278, (
        "raise SHINGLE_VERSION, then put the new value here"
    )
