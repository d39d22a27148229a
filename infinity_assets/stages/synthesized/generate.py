"""Lines written by a model: question, verdict on it, answer, judge, loss; each step asks for what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import polars as pl
import pyarrow as pa

from infinity_assets.models.vlm.costs import Cost, cost_of
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Picture, Request
from infinity_assets.stages.synthesized.asking import (
    Asker,
    Shot,
    read_answer,
    read_judgement,
    read_loss,
    read_question,
    read_relevance,
)
from infinity_assets.stages.synthesized.facts import Facts
from infinity_assets.stages.synthesized.lines import LINE_FIELDS, question_similarity
from infinity_assets.stages.synthesized.policy import SynthesisPolicy
from infinity_assets.stages.tagged.taxonomy import Taxonomy

Row = dict[str, Any]

#: Lines whose pictures are read together; bounds how many are held.
GROUP: Final = 64

#: Problems of an engine and not of a line: the next run asks again.
PASSING: Final = frozenset({"engine_error", "engine_died"})
#: Not sent at all: the budget was spent.
UNSENT: Final = "budget_spent"


@dataclass(frozen=True, slots=True)
class Written:
    """Lines without a verdict, in the plan's order, and what each of them cost."""

    lines: pl.DataFrame  #: of :data:`~infinity_assets.stages.synthesized.lines.LINE_FIELDS`
    costs_by_line: Sequence[Sequence[Cost]]  #: by request; none by rules

    @property
    def costs(self) -> list[Cost]:
        """Of all requests."""
        return [cost for line in self.costs_by_line for cost in line]


class Voices(Protocol):
    """The models of the three roles."""

    def ask(self, role: str, requests: Iterable[Request]) -> list[Reply]:
        """Replies in order, of ``writer``, ``judge`` or ``scorer``."""

    def model(self, role: str) -> str | None:
        """Name and revision; null where nobody has the role."""


#: Pictures as they are sent, by the ids of the stored ones.
Shown = Callable[[Iterable[str]], Mapping[str, Picture]]
#: The examples that a line was planned with.
Shots = Callable[[Sequence[Mapping[str, Any]]], Sequence[Sequence[Shot]]]


def write_by_model(
    plan: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Facts],
    shown: Shown,
    shots: Shots,
    asker: Asker,
    voices: Voices,
    taxonomy: Taxonomy,
    policy: SynthesisPolicy,
) -> Written:
    """Every planned line as far as it came, without a verdict.

    A line that fails at a step is asked nothing further: its question is not new, or not relevant, its score
    too low, or a reply cannot be used. Nothing is paid for what would be dropped all the same.

    Args:
        plan: rows of :data:`SYNTHESIS_PLAN`.
        facts: the pictures by id.
        shown: gives pictures; one that is missing makes a ``missing_picture``.
        shots: gives the examples of some lines.
        asker: builds requests.
        voices: the models.
        taxonomy: the tree.
        policy: thresholds.

    Raises:
        EngineError: an engine as a whole does not work. What was answered is kept.
    """
    rows = [_begun(line, voices, asker, policy) for line in plan]
    work = _Work(rows, shown, voices)
    leaves = [taxonomy.leaves[row["instruction_l3"]] for row in rows]
    known = [facts[row["image_id"]].questions for row in rows]

    def question(places: Sequence[int], pictures: Sequence[Picture]) -> Iterator[Request]:
        examples = shots([plan[i] for i in places])
        for i, picture, example in zip(places, pictures, examples, strict=True):
            rows[i]["seed_ids"] = [shot.sample_id for shot in example]
            yield asker.question(leaves[i], picture, known[i], example)

    def each(build: Callable[[int, Picture], Request]) -> Build:
        return lambda places, pictures: (build(i, p) for i, p in zip(places, pictures, strict=True))

    def said(i: int) -> str:
        return str(rows[i]["question"])

    everything = list(range(len(rows)))
    asked = work.step("question", "writer", everything, question, lambda i, reply: read_question(reply))
    for row, near in zip(rows, question_similarity(rows, facts), strict=True):
        row["question_similarity"] = near
    new = [i for i in asked if rows[i]["question_similarity"] < policy.novelty]
    relevance = each(lambda i, picture: asker.relevance(leaves[i], picture, said(i)))
    fit = work.step("relevance", "writer", new, relevance, lambda i, reply: read_relevance(reply))
    fit = [i for i in fit if rows[i]["relevant"]]
    answer = each(lambda i, picture: asker.answer(leaves[i], picture, said(i), rows[i]["style"]))
    told = work.step("answer", "writer", fit, answer, lambda i, reply: read_answer(reply))
    judge = each(lambda i, picture: asker.judge(leaves[i], picture, said(i), rows[i]["answer"]))
    judged = work.step("judge", "judge", told, judge, lambda i, reply: read_judgement(reply))
    good = [i for i in judged if rows[i]["judge_score"] >= policy.keep_score]
    if voices.model("scorer") is not None:
        loss = each(lambda i, picture: asker.loss(picture, said(i), rows[i]["answer"]))
        work.step("loss", "scorer", good, loss, lambda i, reply: read_loss(reply, rows[i]["answer"]))
    table = pa.Table.from_pylist(rows, schema=pa.schema(LINE_FIELDS))
    return Written(pl.DataFrame(pl.from_arrow(table)), work.costs)


Build = Callable[[Sequence[int], Sequence[Picture]], Iterator[Request]]


class _Work:
    """The rows, filled in step by step."""

    def __init__(self, rows: Sequence[Row], shown: Shown, voices: Voices) -> None:
        self._rows, self._shown, self._voices = rows, shown, voices
        self.costs: list[list[Cost]] = [[] for _ in rows]

    def step(
        self,
        step: str,
        role: str,
        places: Sequence[int],
        build: Build,
        read: Callable[[int, Reply], Mapping[str, Any]],
    ) -> list[int]:
        """Ask about some rows; gives those that went well. Requests are made as they are sent."""
        sent: list[tuple[int, str]] = []

        def requests() -> Iterator[Request]:
            for first in range(0, len(places), GROUP):
                group = places[first : first + GROUP]
                pictures = self._shown({self._rows[i]["image_id"] for i in group})
                there = [i for i in group if self._rows[i]["image_id"] in pictures]
                for i in set(group) - set(there):
                    gone = "its picture is not stored any more"
                    self._rows[i] |= {"problem": "missing_picture", "problem_step": step, "detail": gone}
                shown = [pictures[self._rows[i]["image_id"]] for i in there]
                for i, request in zip(there, build(there, shown), strict=True):
                    sent.append((i, request.prompt))
                    yield request

        replies, model = self._voices.ask(role, requests()), self._voices.model(role) or ""
        for (i, prompt), reply in zip(sent, replies, strict=True):
            row = self._rows[i]
            if reply.problem != UNSENT:
                row["prompts"].append(prompt)
                row["requests"].append(reply.request_hash)
                row["prompt_tokens"] += reply.usage.prompt_tokens
                row["completion_tokens"] += reply.usage.completion_tokens
                row["cost"] += reply.paid
                self.costs[i].append(cost_of(prompt, model, reply))
            row |= read(i, reply)
            if row["problem"] is not None:
                row["problem_step"] = step
        return [i for i, _ in sent if self._rows[i]["problem"] is None]


def _begun(line: Mapping[str, Any], voices: Voices, asker: Asker, policy: SynthesisPolicy) -> Row:
    """A planned line before anything was asked."""
    row: Row = dict.fromkeys(field.name for field in LINE_FIELDS)
    kept = ("line_id", "image_id", "parent_ids", "instruction_l3", "style")
    row |= {name: line[name] for name in kept}
    return row | {
        "seed_ids": [],
        "engine": policy.engine,
        "model": voices.model("writer"),
        "judge_model": voices.model("judge"),
        "scorer_model": voices.model("scorer"),
        "sampling": asker.told,
        "prompts": [],
        "requests": [],
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "cost": 0.0,
    }
