"""A question is known again behind any prompt, and no two different questions or answers become one."""

from __future__ import annotations

import time
from hashlib import sha256
from importlib.resources import files

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infinity_assets.readers.base import MARKERS
from infinity_assets.similarity import normalize
from infinity_assets.similarity.normalize import normal_question, normal_text, prompts_version

INSTRUCTIONS = sorted({text for group in normalize._prompts().ends.values() for text in group})
CUES = (*normalize._prompts().before, *normalize._prompts().after, *normalize._prompts().choices)
PIECES = st.sampled_from(
    [
        *INSTRUCTIONS,
        *CUES,
        "<image>",
        "<IMAGE>",
        "(a)",
        "A.",
        " b)",
        "C:",
        "\n",
        " ",
        "?",
        "!",
        "5!",
        "。",
        "ﬁ",
        "İ",
        "\u200b",
        "'",
    ]
)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=8).map("".join),
    st.lists(st.one_of(PIECES, st.text("abc .,:()", max_size=8)), max_size=8).map(" ".join),
)


@settings(deadline=None)
@given(TEXTS)
@example("<ima<image>ge>")
@example("A. (a) b. x")
@example("＜ｉｍａｇｅ＞")
@example("Q: Q: short answer: answer:")
def test_a_normal_form_is_its_own_normal_form(text):
    once = normal_question(text)
    assert normal_question(once) == once
    plain = normal_text(text)
    assert normal_text(plain) == plain


@pytest.mark.parametrize(
    "prompts, written",
    [
        (INSTRUCTIONS, "<image>\n{question}\n{prompt}."),
        (INSTRUCTIONS, "{prompt}.\n{question}<image>"),
        (INSTRUCTIONS, "{question} {prompt}, {prompt}!"),
        (normalize._prompts().before, "{prompt} {question}"),
        (normalize._prompts().after, "{question}\n{prompt}"),
    ],
    ids=["behind", "before", "twice", "cue before", "cue behind"],
)
def test_a_prompt_around_a_question_does_not_hide_it(prompts, written):
    question = "What hangs on the wall?"
    found = {p: normal_question(written.format(question=question, prompt=p.capitalize())) for p in prompts}
    assert found == dict.fromkeys(prompts, "what hangs on the wall")


@pytest.mark.parametrize(
    "one, other",
    [
        ("图中有几个人？请用一个词或短语回答问题。", "图中有几个人"),
        ("请根据图片回答问题：图中有几个人？", "图中有几个人?"),
        ("Question: Who is it? Short answer:", "who is it?"),
        ("<image>\nWho is it?\nAnswer the question using a single word or phrase.", "Who is it"),
        ("Ｗｈｏ ｉｓ ｉｔ？", "who  is\tit?"),
        ("Who is\u200b it?", "who is it"),
        ("Who?\nReference OCR token: PEPSI, 12\nAnswer the question using a single word or phrase.", "who"),
        ("Which?\nA. cat\nB. dog\nAnswer with the option's letter from the given choices directly.", "Which? (A) cat (B) dog"),  # noqa: E501
        ("Which?\nOptions:\nA: cat\nB: dog", "which? a) cat, b) dog."),
        ("选哪个？\n选项：\nA、猫\nB、狗", "选哪个? A. 猫 B. 狗"),
    ],
)  # fmt: skip
def test_one_question_written_in_two_ways_is_one_question(one, other):
    assert normal_question(one) == normal_question(other)


@pytest.mark.parametrize(
    "one, other",
    [
        ("How many red circles are there?", "How many blue circles are there?"),
        ("Which? A. cat B. dog", "Which? A. cat B. cow"),
        ("Which? A. cat B. dog", "Which? A. dog B. cat"),
        ("Is it left?", "Is it not left?"),
        ("Where is the short answer?", "Where is the answer?"),
        ("Answer the question.", "Answer briefly."),
        ("What is 5! ?", "What is 5?"),
        ("What is a short", "What is a short answer:x"),
    ],
)
def test_two_questions_stay_two(one, other):
    assert normal_question(one) != normal_question(other)


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("Yes.", "yes", True),
        ("(A)", "a.", True),
        ('"Yes"', "yes", True),
        ("２", "2", True),
        ("-5", "5", False),
        (".5", "5", False),
        ("5!", "5", False),
        ("f'", "f", False),
        ("(3, 5]", "[3, 5]", False),
        ("5%", "5", False),
        ("?", "!", False),
        ("...", "", False),
    ],
)
def test_an_answer_keeps_what_it_says(one, other, same):
    assert (normal_text(one) == normal_text(other)) == same


@settings(deadline=None)
@given(TEXTS)
def test_nothing_that_says_something_becomes_nothing(text):
    kept = normalize._folded(text)
    assert bool(normal_question(text)) == bool(kept) == bool(normal_text(text))


@pytest.mark.parametrize(
    "text",
    [
        "word " * 2_000_000,
        "<image>" * 300_000,
        "a\u0301" + "\u0301" * 400_000,
        "\u0344" * 200_000,
        "\u200f" * 1_000_000 + "x",
        "\0" * 1_000_000,
        "?" * 1_000_000,
        "a. b. " * 400_000,
        "Answer briefly. " * 100_000,
        "Question: " * 100_000 + "x",
        "short answer: " * 100_000,
        "“" * 100_000 + "x" + "” be brief" * 100_000,
        "问" * 1_000_000,
        "((((" * 200_000,
        "'" * 1_000_001,
        "\ufdfa" * 20_000,
    ],
    ids=lambda text: repr(text[:8]),
)
def test_a_hostile_text_takes_bounded_time(text):
    start = time.process_time()
    normal_question(text)
    normal_text(text)
    assert time.process_time() - start < 20, "far above what any text of this size may take"


def test_markers_are_those_of_the_readers():
    for marker in MARKERS.values():
        assert normal_text(f"a {marker} b") == "a b"


def test_the_list_of_prompts_does_not_change_without_its_version():
    text = (files("infinity_assets.similarity") / "prompts.yaml").read_bytes()
    assert (prompts_version(), sha256(text).hexdigest()[:16]) == (1, "eab35dc67d57cf05"), (
        "raise the version in prompts.yaml, then put both here"
    )
