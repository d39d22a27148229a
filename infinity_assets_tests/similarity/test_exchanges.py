"""The same exchange has the same fingerprint in any conversation, and another exchange has another."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.similarity.exchanges import Exchanges

WORDS = st.sampled_from(["who is it", "where", "yes", "no", "a dog", "", "why not", "a\nb", "x,1/y"])
TURNS = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), WORDS), max_size=8)


def prints(*turns):
    exchanges = Exchanges()
    return [exchanges.fingerprints(found) for found in exchanges.of(turns)]


def test_an_exchange_is_known_again_inside_a_longer_conversation_behind_another_prompt():
    short = prints(("user", "<image>\nWho is it?\nAnswer with one word."), ("assistant", "Anna"))
    long = prints(
        ("system", "You are helpful."),
        ("user", "Where?"),
        ("assistant", "Here."),
        ("user", "who is it? Answer the question using a single word or phrase."),
        ("assistant", "anna."),
    )
    assert short[0] == long[1]
    assert short[0] != long[0]


def test_another_answer_is_another_exchange_about_the_same_question():
    (question, turn), (other_question, other_turn) = (
        prints(("user", "Who?"), ("assistant", name))[0] for name in ("Anna", "Bob")
    )
    assert question == other_question and turn != other_turn
    unanswered = prints(("user", "Who?"))[0]
    assert unanswered[0] == question and unanswered[1] not in (turn, other_turn)


def test_questions_in_a_row_are_one_and_so_are_answers():
    exchanges = Exchanges()
    found = exchanges.of(
        [("assistant", "Hello!"), ("user", "Who"), ("user", "is it?"), ("tool", "42"), ("assistant", "Anna.")]
    )
    assert [(e.question, e.answers) for e in found] == [("", ("hello",)), ("who is it", ("42", "anna"))]
    assert exchanges.of([("system", "Be nice.")]) == exchanges.of([]) == []


@settings(deadline=None)
@given(st.lists(TURNS, max_size=4))
def test_what_was_seen_before_changes_no_fingerprint(conversations):
    shared = Exchanges()
    together = [[shared.fingerprints(e) for e in shared.of(turns)] for turns in conversations]
    assert together == [prints(*turns) for turns in conversations]


@settings(deadline=None)
@given(TURNS, TURNS)
def test_only_equal_exchanges_have_equal_fingerprints(left, right):
    exchanges = Exchanges()
    for one in exchanges.of(left):
        for other in exchanges.of(right):
            (q, t), (q2, t2) = exchanges.fingerprints(one), exchanges.fingerprints(other)
            assert (q == q2) == (one.question == other.question)
            assert (t == t2) == (one == other)


def test_a_fingerprint_does_not_change_without_a_version():
    question, turn = prints(("user", "Who is it?"), ("assistant", "Anna."))[0]
    assert (question.hex(), turn.hex()) == (
        "75afaa03789464db96ff6e182d2b1b0b",
        "0fa306bc82157187e3bf0c9fd2e5e7aa",
    ), "raise NORMAL_VERSION, then put the new fingerprints here"
