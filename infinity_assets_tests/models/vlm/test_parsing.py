"""What of a model's text counts as its answer."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.models.vlm.parsing import parse
from infinity_assets_tests.models.vlm.asking import SCHEMA

RIGHT = {"answer": "a\tcat", "score": 7}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(RIGHT),
        '{"answer": "a\tcat", "score": 7}',  # a raw tab, as grammars with maxLength let through
        f"```json\n{json.dumps(RIGHT)}\n```",
        f"Here it is:\n{json.dumps(RIGHT)}\nAnything else?",
    ],
)
def test_what_models_are_known_to_put_around_an_answer_does_not_lose_it(text: str) -> None:
    assert parse(text, SCHEMA) == (RIGHT, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"answer": "a cat", "score": 7',
        '{"answer": "a cat"}',
        '{"answer": "a cat", "score": 11}',
        '{"answer": "a cat", "score": NaN}',
        '{"answer": "\\ud800", "score": 7}',
        '{"answer": "a cat", "score": 7, "more": 1}',
        "[" * 100_000,
        '{"answer": "a cat", "score": 1' + "0" * 5000 + "}",
    ],
)
def test_half_an_answer_is_no_answer(text: str) -> None:
    value, wrong = parse(text, SCHEMA)
    assert value is None
    assert 0 < len(wrong) <= 500


@given(JSON, st.sampled_from(["{}", "```json\n{}\n```"]))
def test_every_json_value_is_read_as_it_is(value: Any, around: str) -> None:
    assert parse(around.replace("{}", orjson.dumps(value).decode(), 1), {}) == (value, "")


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    value, wrong = parse(text, SCHEMA)
    assert (value is None) == bool(wrong)
