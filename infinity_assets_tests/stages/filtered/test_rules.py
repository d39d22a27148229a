"""Without these, a broken sample reaches training, or a good one is lost and nobody can say why."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.stages.filtered.measures import (
    MEASURE_VERSION,
    MEASURES,
    count_answers,
    from_map,
    measure_batch,
    to_map,
)
from infinity_assets.stages.filtered.policy import RULES, Policy, load_policy
from infinity_assets.stages.filtered.rules import balance, decide_again, filter_batch
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets_tests.stages.filtered.samples import ANSWER, IMAGES, QUESTION, rows_of, sample

DEFAULT = load_policy(None)
LOOP = "the cat sat on the mat and then " * 20


def judge(
    *samples: dict[str, Any], policy: Policy = DEFAULT, category: str = "general"
) -> list[dict[str, Any]]:
    table = filter_batch(rows_of(samples), IMAGES, policy, category, ["en"])
    assert table.schema.equals(FILTERED.schema)
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def changed(policy: Policy, code: str, **changes: Any) -> Policy:
    content = policy.model_dump()
    content["rules"][code] |= changes
    return Policy.model_validate(content)


DROPPED = {
    "empty_turn": sample(1, QUESTION, ("assistant", " \n")),
    "roles_not_alternating": sample(1, QUESTION, ("user", "hello?"), ANSWER),
    "repeated_text": sample(1, QUESTION, ("assistant", LOOP)),
    "marker_missing": sample(1, ("user", "What is this?"), ANSWER, image_ids=["good"]),
    "unlicensed": sample(1, licence="Unlicensed"),
}
MARKED = {
    "no_answer": sample(1, QUESTION, question_tokens=8),
    "no_question": sample(1, ("assistant", "A cup.")),
    "no_conversation": sample(1, turns=[], question_tokens=None, answer_tokens=None),
    "question_too_short": sample(1, ("user", "?"), ANSWER, question_tokens=1),
    "turn_too_long": sample(1, answer_tokens=9000),
    "tokens_over": sample(1, answer_tokens=40000),
    "answer_leak": sample(1, ("user", "<image> What is it? Answer: a cup"), ANSWER),
    "boilerplate_answer": sample(1, QUESTION, ("assistant", "As an AI language model, I cannot see images.")),
    "language_mismatch": sample(1, language="fr"),
    "image_too_small": sample(1, image_ids=["bad"]),
    "image_too_large_side": sample(1, image_ids=["bad"]),
    "aspect_too_wide": sample(1, image_ids=["bad"]),
    "blurry": sample(1, image_ids=["bad"]),
    "low_entropy": sample(1, image_ids=["bad"]),
    "licence_noncommercial": sample(1, licence="CC-BY-NC-SA-4.0"),
}


@pytest.mark.parametrize("code", DROPPED)
def test_what_is_broken_is_dropped_with_its_reason_and_the_value(code: str) -> None:
    (row,) = judge(DROPPED[code])
    assert (row["verdict"], row["reason"]) == ("drop", code)
    assert code in row["findings"]
    assert row["detail"]


@pytest.mark.parametrize("code", MARKED)
def test_what_is_only_unusual_is_kept_and_marked(code: str) -> None:
    (row,) = judge(MARKED[code])
    assert row["verdict"] == "keep"
    assert code in row["findings"]


def test_every_rule_of_the_default_policy_is_tried_here() -> None:
    assert set(RULES) <= {*DROPPED, *MARKED}
    assert set(RULES) == set(DEFAULT.rules)


def test_good_samples_have_no_finding() -> None:
    chinese = sample(2, ("user", "<image>桌上有什么？"), ("assistant", "一个红色的杯子。"), question_tokens=4)
    several = sample(3, ("user", "<image><image> Compare."), ANSWER, image_ids=["good", "other"])
    tool = sample(
        4, ("system", "s"), ("user", "call it"), ("assistant", "{}"), ("tool", "{}"), ("assistant", "done")
    )
    rows = judge(sample(1), chinese, several, tool)
    assert [r["findings"] for r in rows] == [[]] * 4


def test_a_measure_that_could_not_be_taken_is_left_out_and_drops_nothing() -> None:
    (row,) = judge(sample(1, image_ids=["unmeasured"], question_tokens=None, language_score=None))
    measured = dict(row["measures"])
    assert "image_blur" not in measured
    assert "tokens" not in measured
    assert row["verdict"] == "keep"


def test_the_category_moves_a_threshold() -> None:
    (row,) = judge(sample(1, image_ids=["bad"]), category="doc_chart")
    assert "blurry" not in row["findings"]


def test_a_new_policy_judges_stored_measures_as_if_it_had_always_been_there() -> None:
    samples = [*DROPPED.values(), *MARKED.values()]
    samples = [dict(s, sample_id=f"s-{i:032x}") for i, s in enumerate(samples)]
    rows = rows_of(samples)
    before = filter_batch(rows, IMAGES, DEFAULT, "general", ["en"])
    stricter = changed(DEFAULT, "image_too_small", action="drop", limit=300)
    again = decide_again(before.select(["sample_id", "measures"]), rows, stricter, "general")
    assert again.equals(filter_batch(rows, IMAGES, stricter, "general", ["en"]))
    assert "image_too_small" in again.column("reason").to_pylist()


def test_measures_survive_being_stored_also_as_a_slice() -> None:
    measures = measure_batch(rows_of([*DROPPED.values(), *MARKED.values()]), IMAGES, ["en"])
    stored = pa.chunked_array([to_map(measures)])
    assert from_map(stored).equals(measures)
    assert from_map(stored.slice(3, 4)).equals(measures.slice(3, 4))


def test_no_rows_give_no_rows() -> None:
    assert judge() == []
    assert count_answers(rows_of([])) == {}


GOLDEN = {
    "empty_turns": 0.0,
    "role_breaks": 0.0,
    "no_question": 0.0,
    "no_answer": 0.0,
    "marker_gap": 0.0,
    "turns": 4.0,
    "repeated_share": 0.5,
    "question_tokens": 20.0,
    "longest_turn_tokens": 26.0,
    "tokens": 46.0,
    "answer_leaks": 1.0,
    "boilerplate_answers": 1.0,
    "foreign_language": 0.75,
    "image_short_side": 480.0,
    "image_long_side": 800.0,
    "image_aspect": 1.3333333730697632,
    "image_blur": 400.0,
    "image_entropy": 6.5,
}


def test_measures_change_only_with_their_version() -> None:
    """A measure that changes unnoticed would mix old and new values in one table."""
    one = "one two three four five six seven eight nine ten eleven "
    row = sample(
        1,
        ("user", "<image><image> Answer: what"),
        ("assistant", one + one + "one two three"),
        ("user", "and now here"),
        ("assistant", "I'm sorry, but I can't."),
        image_ids=["good", "other"],
        language="fr",
        language_score=0.75,
        question_tokens=20,
        answer_tokens=26,
    )
    (measured,) = measure_batch(rows_of([row]), IMAGES, ["en"]).to_dicts()
    shown = {
        k: round(v, 4) for k, v in measured.items() if k not in ("repeated_share", "longest_turn_tokens")
    }
    assert shown == {k: round(v, 4) for k, v in GOLDEN.items() if k in shown}
    assert (MEASURE_VERSION, list(measured)) == (1, list(MEASURES))
    # 25 words have 22 4-grams, of which 11 are new: from the 12th on they come again.
    assert measured["repeated_share"] == pytest.approx(11 / 22)
    said = [len(one + one + "one two three"), len("I'm sorry, but I can't.")]
    assert measured["longest_turn_tokens"] == pytest.approx(26 * said[0] / sum(said))


TEXTS = st.sampled_from(["", " ", "<image> what is it?", "A cup.", LOOP, "Answer: x", "是的", "As an AI, no"])
SAMPLES = st.lists(
    st.builds(
        lambda turns, images, licence, tokens: {
            "turns": turns,
            "image_ids": images,
            "licence": licence,
            "question_tokens": tokens,
        },
        st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), TEXTS), max_size=4),
        st.lists(st.sampled_from(["good", "bad", "unmeasured", "absent"]), max_size=2),
        st.sampled_from(["MIT", "", "CC-BY-NC-4.0", "proprietary"]),
        st.one_of(st.none(), st.integers(0, 9000)),
    ),
    min_size=1,
    max_size=8,
)


def build(drawn: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        sample(i, **{**d, "turns": [{"role": r, "text": t} for r, t in d["turns"]]})
        for i, d in enumerate(drawn)
    ]


@settings(max_examples=40, deadline=None)
@given(SAMPLES)
def test_a_row_has_a_reason_exactly_where_it_is_dropped(drawn: list[dict[str, Any]]) -> None:
    samples = build(drawn)
    rows = judge(*samples)
    assert [r["sample_id"] for r in rows] == [s["sample_id"] for s in samples]
    for row in rows:
        assert (row["verdict"] == "drop") == (row["reason"] is not None) == (row["detail"] is not None)
        assert row["reason"] is None or row["reason"] in row["findings"]


@settings(max_examples=30, deadline=None)
@given(SAMPLES, st.randoms(use_true_random=False))
def test_verdicts_do_not_depend_on_order_or_company(drawn: list[dict[str, Any]], rng: random.Random) -> None:
    samples = build(drawn)
    whole = {r["sample_id"]: r for r in judge(*samples)}
    shuffled = rng.sample(samples, len(samples))
    cut = rng.randint(0, len(shuffled))
    parts = [*judge(*shuffled[:cut]), *judge(*shuffled[cut:])]
    assert {r["sample_id"]: r for r in parts} == whole


@settings(max_examples=30, deadline=None)
@given(SAMPLES, st.sampled_from(sorted(RULES)), st.floats(0, 5000), st.floats(0, 5000))
def test_a_stricter_limit_never_keeps_more(
    drawn: list[dict[str, Any]], code: str, one: float, other: float
) -> None:
    loose, strict = sorted((one, other), reverse=RULES[code].fails == "above")
    samples = build(drawn)
    kept = [
        {r["sample_id"] for r in judge(*samples, policy=p) if r["verdict"] == "keep"}
        for p in (changed(DEFAULT, code, action="drop", limit=x, limits={}) for x in (loose, strict))
    ]
    assert kept[1] <= kept[0]


def test_the_balance_of_answers_is_said_of_the_source_and_drops_nothing() -> None:
    texts = ["Yes, it is."] * 80 + ["no"] * 20 + ["B"] * 40 + ["(A) because"] * 20 + ["Nobody.", "A cat."]
    samples = [sample(i, QUESTION, ("assistant", text)) for i, text in enumerate(texts)]
    answers = count_answers(rows_of(samples))
    assert answers == {"A": 20, "B": 40, "no": 20, "yes": 80}
    said = balance(answers, DEFAULT)
    assert said["yes_share"] == 0.8
    assert said["letter_shares"] == {"A": 0.333333, "B": 0.666667}
    assert said["source_findings"] == ["yes_bias", "letter_bias"]
    assert balance({"yes": 3}, DEFAULT)["source_findings"] == []
    assert balance({}, DEFAULT)["yes_share"] is None


@pytest.mark.parametrize(
    "text",
    [
        "I’m sorry, but I can't.",
        "Sorry, I cannot.",
        "As an AI, no.",
        "作为一个人工智能，我不能。",
        "很抱歉，我无法回答。",
    ],
)
def test_a_refusal_is_told_from_an_answer(text: str) -> None:
    (row,) = judge(sample(1, QUESTION, ("assistant", text)))
    assert "boilerplate_answer" in row["findings"]


@pytest.mark.parametrize(
    "text", ["It was an AI system.", "The ski can't see the image.", "I like the picture."]
)
def test_speaking_of_an_ai_is_no_refusal(text: str) -> None:
    (row,) = judge(sample(1, QUESTION, ("assistant", text)))
    assert "boilerplate_answer" not in row["findings"]
