"""What a model is asked about a line, step by step, and what is read from its replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson

from infinity_assets.models.vlm.loss import loss_request, masked_loss
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Message, Picture, Request, Sampling
from infinity_assets.stages.synthesized.policy import SynthesisPolicy
from infinity_assets.stages.synthesized.prompt_files import Prompt, Prompts, Step
from infinity_assets.stages.tagged.taxonomy import Leaf

#: Raised whenever the same line would be asked for otherwise, or the same reply be read otherwise.
ASKING_VERSION: Final = 1

#: Questions of a picture that a prompt lists at most: what it must not ask again.
MOST_KNOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Shot:
    """An example: the question that somebody asked about another picture."""

    sample_id: str
    picture: Picture
    question: str
    known: tuple[str, ...] = ()  #: the other questions of that picture


def words_of(leaf: Leaf, language: str) -> dict[str, str]:
    """What a prompt may say of a kind of instruction."""
    kind = leaf.zh if language == "zh" else leaf.title
    return {"leaf": leaf.name, "kind": kind, "group": leaf.l2.replace("_", " ")}


class Asker:
    """Builds requests in one language with one sampling."""

    def __init__(self, prompts: Prompts, policy: SynthesisPolicy) -> None:
        self._prompts, self._policy = prompts, policy

    def sampling(self, step: Step) -> Sampling:
        """Of a step: questions and answers are sampled, verdicts take the likeliest token."""
        most, seed = self._prompts[step].max_tokens, self._policy.seed
        if step in {"question", "answer"}:
            return Sampling(self._policy.sampling.temperature, self._policy.sampling.top_p, most, seed)
        return Sampling(0.0, 1.0, most, seed)

    @property
    def told(self) -> str:
        """The sampling of every step, as JSON."""
        steps: tuple[Step, ...] = ("question", "relevance", "answer", "judge")
        return orjson.dumps({step: asdict(self.sampling(step)) for step in steps}).decode()

    def question(self, leaf: Leaf, picture: Picture, known: Sequence[str], shots: Sequence[Shot]) -> Request:
        """Ask for a question; the examples stand before as turns that went well."""
        prompt = self._prompts["question"]
        words = words_of(leaf, prompt.language)
        turns: list[Message] = []
        for shot in shots:
            asked = prompt.fill(words | {"known": _listed(shot.known, prompt)})
            said = orjson.dumps({"question": shot.question}).decode()
            turns += [Message("user", (shot.picture, asked)), Message("assistant", (said,))]
        return self._request("question", picture, words | {"known": _listed(known, prompt)}, turns)

    def relevance(self, leaf: Leaf, picture: Picture, question: str) -> Request:
        """Ask whether a question fits its picture and its kind."""
        return self._request("relevance", picture, self._words(leaf, question))

    def answer(self, leaf: Leaf, picture: Picture, question: str, style: str) -> Request:
        """Ask for the answer in a style."""
        styles: Mapping[str, str] = self._prompts["answer"].styles or {}  # type: ignore[assignment]
        return self._request("answer", picture, self._words(leaf, question) | {"style": styles[style]})

    def judge(self, leaf: Leaf, picture: Picture, question: str, answer: str) -> Request:
        """Ask for a score of an answer."""
        return self._request("judge", picture, self._words(leaf, question) | {"answer": answer})

    def loss(self, picture: Picture, question: str, answer: str) -> Request:
        """Measure an answer as it will be trained: after the plain question, without any prompt of ours."""
        asked = Message("user", (picture, question))
        return loss_request((asked, Message("assistant", (answer,))), tag="loss")

    def _words(self, leaf: Leaf, question: str) -> dict[str, str]:
        return words_of(leaf, self._prompts.language) | {"question": question}

    def _request(
        self, step: Step, picture: Picture, words: Mapping[str, str], before: Sequence[Message] = ()
    ) -> Request:
        prompt = self._prompts[step]
        system = [Message("system", (prompt.system,))] if prompt.system else []
        last = Message("user", (picture, prompt.fill(words)))
        messages = (*system, *before, last)
        return Request(messages, self.sampling(step), prompt.label, schema=prompt.schema_, tag=step)


def read_question(reply: Reply) -> dict[str, Any]:
    """``question``, or ``problem`` and ``detail``."""
    return _text(reply, "question")


def read_answer(reply: Reply) -> dict[str, Any]:
    """``answer``, or ``problem`` and ``detail``."""
    return _text(reply, "answer")


def read_relevance(reply: Reply) -> dict[str, Any]:
    """``relevant``, or ``problem`` and ``detail``."""
    value = None if reply.problem else reply.parsed["relevant"]  # type: ignore[index]
    return {"relevant": value} if isinstance(value, bool) else _unusable(reply, "relevant is no yes or no")


def read_judgement(reply: Reply) -> dict[str, Any]:
    """``judge_score`` and ``judge_reason``, or ``problem`` and ``detail``."""
    parsed: Mapping[str, Any] = {} if reply.problem else reply.parsed  # type: ignore[assignment]
    score = parsed.get("score")
    if not isinstance(score, int) or not 1 <= score <= 10:
        return _unusable(reply, "the score is no whole number from 1 to 10")
    reason = parsed.get("reason")
    return {"judge_score": score, "judge_reason": reason if isinstance(reason, str) else None}


def read_loss(reply: Reply, answer: str) -> dict[str, Any]:
    """``loss``; null where it could not be measured, which is no fault of the line."""
    found = masked_loss(reply, answer)
    return {"loss": found.mean if found else None}


def _text(reply: Reply, field: str) -> dict[str, Any]:
    value = None if reply.problem else reply.parsed[field]  # type: ignore[index]
    if isinstance(value, str) and value.strip():
        return {field: value.strip()}
    return _unusable(reply, f"the {field} is empty", "empty_answer")


def _unusable(reply: Reply, detail: str, problem: str = "unparsable") -> dict[str, Any]:
    if reply.problem:
        return {"problem": reply.problem, "detail": reply.detail}
    return {"problem": problem, "detail": detail}


def _listed(questions: Sequence[str], prompt: Prompt) -> str:
    shown = [f"- {' '.join(question.split())}" for question in questions[:MOST_KNOWN]]
    return "\n".join(shown) or prompt.none
