"""Near texts are found whatever their order, and what only looks alike is not called the same."""

from __future__ import annotations

import json
import random
from hashlib import sha256
from importlib.resources import files
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.similarity import banding, minhash
from infinity_assets.similarity.banding import candidates
from infinity_assets.similarity.meaning import MEANING_VERSION
from infinity_assets.similarity.normalize import normal_question
from infinity_assets.similarity.shingles import ngram_hashes, word_hashes
from infinity_assets.similarity.texts import (
    MIN_WORDS,
    NEAR,
    SIGNED_CHARS,
    Conversation,
    near_text,
    near_text_pairs,
    near_texts,
    text_signatures,
    text_similarity,
)

CAPTION = (
    "The picture shows a street in an old town on a sunny morning with a small bakery at the corner"
    " where people wait in a line that reaches the fountain and a dog sleeps beside a bicycle that leans"
    " against the wall of the bakery while a waiter carries chairs out of a cafe across the street"
)
LONG_QUESTION = (
    "Look closely at the table that is shown in the picture where each row is a month and each column a city,"
    " then tell me in which month the rainfall of the city in question was above its mean and by how much it"
    " was so"
)


def made_texts(seed: int, count: int) -> list[str]:
    """Texts of 30 to 80 words, and copies of them with up to four words changed."""
    rng = random.Random(seed)
    words = [f"w{i}" for i in range(400)]
    texts = [" ".join(rng.choices(words, k=rng.randint(30, 80))) for _ in range(count)]
    for text in list(texts):
        cut = text.split()
        for _ in range(rng.randint(1, 4)):
            cut[rng.randrange(len(cut))] = rng.choice(words)
        texts.append(" ".join(cut))
    return texts


def conversations(texts: list[str]) -> list[Conversation]:
    return [Conversation("", text) for text in texts]


def signed(texts: list[str]) -> minhash.Signatures:
    found = text_signatures(conversations(texts))
    return minhash.unpack([s for s in found if s is not None])


def pairs_of(texts: list[str], fresh=None) -> dict[tuple[str, str], float]:
    known = conversations(texts)
    found = near_text_pairs(signed(texts), lambda rows: [known[i] for i in rows], fresh)
    assert (found.left < found.right).all()
    keys = list(zip(found.left.tolist(), found.right.tolist(), strict=True))
    assert keys == sorted(set(keys))
    named = (tuple(sorted((texts[a], texts[b]))) for a, b in keys)
    return dict(zip(named, found.similarity.tolist(), strict=True))


def exact(texts: list[str]) -> dict[tuple[str, str], float]:
    """Every pair compared, by sets of words as Python has them."""
    sets = [{tuple(t.split()[i : i + 3]) for i in range(len(t.split()) - 2)} for t in texts]
    found = {}
    for a, b in combinations(range(len(texts)), 2):
        similarity = len(sets[a] & sets[b]) / len(sets[a] | sets[b])
        if similarity >= NEAR:
            found[tuple(sorted((texts[a], texts[b])))] = similarity
    return found


def test_almost_no_near_text_is_missed_and_none_is_invented():
    texts = made_texts(1, 400)
    found, truth = pairs_of(texts), exact(texts)
    assert len(truth) > 100
    assert {pair: found[pair] for pair in found} == {pair: pytest.approx(truth[pair]) for pair in found}
    assert len(found) >= 0.99 * len(truth)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 50), st.randoms(use_true_random=False))
def test_the_order_of_texts_changes_no_pair(seed, rng):
    texts = list(dict.fromkeys(made_texts(seed, 30)))
    shuffled = rng.sample(texts, len(texts))
    assert pairs_of(shuffled) == pairs_of(texts)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 50), st.randoms(use_true_random=False))
def test_old_pairs_and_the_pairs_of_what_is_new_are_all_pairs(seed, rng):
    texts = list(dict.fromkeys(made_texts(seed, 30)))
    fresh = np.array([rng.random() < 0.3 for _ in texts])
    old = [text for text, new in zip(texts, fresh, strict=True) if not new]
    added = pairs_of(texts, fresh)
    assert {**pairs_of(old), **added} == pairs_of(texts)
    assert not added.keys() & pairs_of(old).keys()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), max_size=30),
    st.integers(1, 6),
    st.data(),
)
def test_candidates_are_what_shares_a_band_that_is_no_crowd(rows, crowd, data):
    bands = np.array(rows, np.uint64).reshape(len(rows), 3)
    fresh = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), bool)
    whole = data.draw(st.booleans())
    expected = set()
    for a, b in combinations(range(len(rows)), 2):
        shared = [i for i in range(3) if bands[a, i] == bands[b, i]]
        if any((bands[:, i] == bands[a, i]).sum() <= crowd for i in shared) and (
            whole or fresh[a] or fresh[b]
        ):
            expected.add((a, b))
    found = [
        pair
        for left, right in candidates(bands, None if whole else fresh, crowd)
        for pair in zip(left.tolist(), right.tolist(), strict=True)
    ]
    assert sorted(found) == sorted(expected)


def test_a_form_filled_in_a_hundred_thousand_times_costs_no_pairs():
    bands = np.zeros((100_000, 12), np.uint64)
    bands[:, 3] = np.arange(100_000) // 2
    assert sum(len(left) for left, _ in candidates(bands)) == 50_000
    assert banding.CROWD < 100_000


def test_estimates_are_as_good_as_those_of_datasketch():
    rng = random.Random(5)
    words = [f"w{i}" for i in range(3_000)]
    errors, reference = [], []
    for _ in range(60):
        left = rng.sample(words, 60)
        right = left[: rng.randint(20, 60)] + rng.sample(words, 20)
        truth = len(set(left) & set(right)) / len(set(left) | set(right))
        found = minhash.signatures(ngram_hashes(word_hashes([" ".join(left), " ".join(right)]), 1))
        errors.append(float(minhash.estimate(found[:1], found[1:])[0]) - truth)
        sketches = [MinHash(num_perm=minhash.PLACES) for _ in range(2)]
        for sketch, text in zip(sketches, (left, right), strict=True):
            sketch.update_batch([word.encode() for word in text])
        reference.append(sketches[0].jaccard(sketches[1]) - truth)
    assert abs(np.mean(errors)) < 0.03, "no bias"
    assert np.std(errors) < 1.3 * max(np.std(reference), 0.05)


def test_too_little_text_has_no_signature_and_is_near_nothing_but_its_equal():
    few = " ".join(f"w{i}" for i in range(MIN_WORDS - 1))
    enough = f"{few} w{MIN_WORDS}"
    assert [s is None for s in text_signatures(conversations([few, enough, "", "图" * 29, "图" * 30]))] == [
        True, False, True, True, False,
    ]  # fmt: skip
    assert near_text(Conversation(few, "x"), Conversation(few, "x"))
    assert not near_text(Conversation("", few), Conversation("", few + " x"))


@pytest.mark.parametrize(
    "one, other",
    [
        (("how many red circles are there", "2"), ("how many blue circles are there", "2")),
        (("is there a red shape", "yes"), ("is there no red shape", "yes")),
        (("what shape is shown", "circle"), ("what shape is shown", "triangle")),
        ((LONG_QUESTION, "May"), (LONG_QUESTION, "June")),
        ((LONG_QUESTION, "May"), (LONG_QUESTION.replace("month", "year", 1), "May")),
        ((LONG_QUESTION, "May"), (LONG_QUESTION.replace("above", "below"), "May")),
        (("describe it", CAPTION), ("describe it", CAPTION.replace("a dog", "two dogs"))),
        (("describe it", CAPTION), ("describe it", CAPTION.replace("small bakery", "red bakery"))),
        (("describe it", CAPTION), ("describe it", CAPTION.replace("a dog sleeps", "no dog sleeps"))),
        (("describe it", CAPTION), ("describe them", CAPTION)),
        (("describe it", CAPTION + " for 5 euros"), ("describe it", CAPTION + " for 6 euros")),
        (("describe it", CAPTION + " at -5"), ("describe it", CAPTION + " at 5")),
        (("solve", CAPTION + " x + y"), ("solve", CAPTION + " x = y")),
        (("", "图" * 20 + "他在左边" + "书" * 20), ("", "图" * 20 + "他在右边" + "书" * 20)),
    ],
)
def test_what_differs_in_something_that_matters_is_not_near(one, other):
    assert not near_text(Conversation(*one), Conversation(*other))
    assert not near_text(Conversation(*other), Conversation(*one))


@pytest.mark.parametrize(
    "one, other",
    [
        (("describe it", CAPTION), ("describe it", CAPTION.replace("waiter", "person"))),
        (("describe it", CAPTION), ("describe it", CAPTION.replace("the fountain", "a fountain"))),
        ((LONG_QUESTION, "May"), (LONG_QUESTION + " please", "May")),
        (
            (LONG_QUESTION, "May"),
            (LONG_QUESTION.replace("shown in the picture", "shown in this image"), "May"),
        ),
    ],
)
def test_what_says_the_same_in_a_word_less_is_near(one, other):
    assert near_text(Conversation(*one), Conversation(*other))
    assert near_text(Conversation(*other), Conversation(*one))


CHANGED = st.lists(st.sampled_from([*CAPTION.split()[:12], "red", "5", "图"]), max_size=45).map(" ".join)


@settings(deadline=None)
@given(st.lists(st.tuples(CHANGED, CHANGED, CHANGED, CHANGED), max_size=6))
def test_pairs_in_a_batch_are_judged_as_each_alone_and_from_either_side(quads):
    left = [Conversation(a, b) for a, b, _, _ in quads]
    right = [Conversation(c, d) for _, _, c, d in quads]
    together = near_texts(left, right).tolist()
    assert together == [near_text(a, b) for a, b in zip(left, right, strict=True)]
    assert together == near_texts(right, left).tolist()
    assert near_texts(left, left).all()
    alike = text_similarity([c.text for c in left], [c.text for c in right])
    assert alike.tolist() == text_similarity([c.text for c in right], [c.text for c in left]).tolist()
    assert ((alike >= 0) & (alike <= 1)).all()


def test_a_signature_does_not_change_without_a_version():
    (signature,) = text_signatures([Conversation("describe it", CAPTION)])
    assert signature is not None and len(signature) == minhash.SIGNATURE_BYTES
    assert signature[:8].hex() == "4e3fbbc322e4022f", "raise MINHASH_VERSION, then put the new bytes here"


def test_a_turn_of_ten_million_characters_is_signed_by_its_first_million():
    huge = "".join(f"w{i} " for i in range(1_300_000))
    whole, cut = text_signatures(conversations([huge, huge[:SIGNED_CHARS]]))
    assert whole == cut is not None


def test_a_signature_of_another_length_is_refused():
    with pytest.raises(ValueError, match="row 1: a text signature has 96 bytes, not 8"):
        minhash.unpack([b"\0" * 96, b"\0" * 8])


@pytest.fixture
def real_data() -> Path:
    root = (Path(__file__).resolve().parents[2].parent / "shared" / "data" / "real").resolve()
    if not root.is_dir():
        pytest.skip("the real data lie beside the repository and are not here")
    return root


def test_questions_from_one_form_are_never_near_in_real_data(real_data):
    """easy-VQA fills in 14 forms, the yes-no items of MME even fewer; none is near another."""
    questions = {
        row[0] for row in json.loads((real_data / "easy_vqa" / "test" / "questions.json").read_text())
    }
    lines = (real_data / "qa_jsonl_images_absent" / "bunny_mme.jsonl").read_text("utf-8").splitlines()
    questions |= {json.loads(line)["text"] for line in lines}
    normal = sorted({normal_question(q) for q in questions})
    asked = [Conversation(question, "yes") for question in normal]
    assert len(asked) > 500
    rng = random.Random(0)
    pairs = [rng.sample(asked, 2) for _ in range(5_000)]
    pairs += pairwise(asked)  # neighbours in the alphabet begin alike
    assert not near_texts([a for a, _ in pairs], [b for _, b in pairs]).any()


def test_the_words_that_tell_do_not_change_without_their_version():
    text = (files("infinity_assets.similarity") / "telling.yaml").read_bytes()
    assert (MEANING_VERSION, sha256(text).hexdigest()[:16]) == (1, "12389f3fae5e6d57"), (
        "raise MEANING_VERSION and the version in telling.yaml, then put both here"
    )
