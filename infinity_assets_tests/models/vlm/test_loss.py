"""Without these, a loss is that of the question, of half an answer, or of nothing at all."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.models.vlm.fake import FakeServer, Fault
from infinity_assets.models.vlm.loss import Loss, loss_request, masked_loss
from infinity_assets.models.vlm.replies import Reply, Token
from infinity_assets.models.vlm.requests import Message
from infinity_assets.models.vlm.wire import decode
from infinity_assets_tests.models.vlm.asking import PICTURE, ask

TEMPLATE = ["<|im_start|>", "user", "\n", "Which?", "<|im_end|>", "\n", "<|im_start|>", "assistant", "\n"]


def measured(pieces: list[str], answer: str, surprise: float = 0.5) -> Loss | None:
    """The loss where the template's tokens cost 9 nats each and the others ``surprise``."""
    tokens = [None, *(Token(t, -9.0) for t in TEMPLATE[1:]), *(Token(p, -surprise) for p in pieces)]
    return masked_loss(replace(Reply("0" * 32, "m"), prompt_logprobs=tuple(tokens)), answer)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufffd"), min_size=1), st.data())
def test_the_answers_tokens_alone_count_however_they_are_cut(answer: str, data: st.DataObject) -> None:
    """Also in the middle of characters, as byte-level vocabularies cut Chinese."""
    raw = answer.encode()
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(raw) - 1)), max_size=8)))
    parts = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True) if raw[a:b]]
    found = measured([part.decode("utf-8", "replace") for part in parts], answer)
    if not answer.strip():
        assert found is None
    elif found is not None:  # a cut inside several characters at once may leave nothing to go by
        assert found.mean == pytest.approx(0.5)
        assert found.tokens <= len(parts)


@pytest.mark.parametrize(
    ("pieces", "answer", "tokens"),
    [
        (["It", " is", " red", "."], "It is red.", 4),
        (["It", "is", "red", "."], "It is red.", 4),  # decoders that drop the space
        (["红", "\ufffd", "\ufffd", "。"], "红色。", 4),
        (["\ufffd", "\ufffd", "\ufffd", "!"], "红!", 4),
        (["re", "d", "\n"], "red", 2),
    ],
)
def test_words_and_cut_characters_are_found(pieces: list[str], answer: str, tokens: int) -> None:
    found = measured(pieces, answer)
    assert found is not None and (found.tokens, found.mean) == (tokens, pytest.approx(0.5))


def test_an_answer_that_the_template_changed_has_no_loss_rather_than_a_wrong_one() -> None:
    assert measured(["It", " is", " red", "."], "It is blue.") is None
    assert measured(["red"], "Which? red and more") is None


def test_a_server_that_fails_or_cannot_measure_gives_null() -> None:
    asked = loss_request((Message("user", (PICTURE, "Which?")), Message("assistant", ("a red bus",))))
    with FakeServer(faults=[None, Fault(status=400)]) as server:
        (first,) = ask(server, asked)
        (second,) = ask(server, asked)
        body = server.requests[0]
    found = masked_loss(first, "a red bus")
    assert found is not None and found.mean == pytest.approx(0.5)
    assert masked_loss(second, "a red bus") is None
    assert body["continue_final_message"] and not body["add_generation_prompt"]
    assert masked_loss(Reply("0" * 32, "m", text="x"), "x") is None


def test_kept_replies_hold_the_answer_and_not_the_thousand_tokens_of_a_picture():
    """Each measured answer would otherwise keep a hundred kilobytes for ever."""
    answer = "Ein 红色 Ball"
    tokens = ["<pad>"] * 1500 + list(answer) + ["\n"]
    body = {
        "choices": [{"message": {"content": ""}, "finish_reason": "stop"}],
        "prompt_logprobs": [None, *({"1": {"decoded_token": t, "logprob": -1.0}} for t in tokens)],
    }
    request = loss_request((Message("user", ("What?",)), Message("assistant", (answer,))))
    reply = decode(orjson.dumps(body), request, "0" * 32, "toy")
    assert reply.prompt_logprobs is not None and len(reply.prompt_logprobs) < 40
    found = masked_loss(reply, answer)
    assert found is not None and (found.mean, found.tokens) == (1.0, len(answer))
