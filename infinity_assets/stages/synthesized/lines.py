"""From planned lines to questions and answers, and the verdict on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl
import pyarrow as pa

from infinity_assets.models.vlm.replies import PROBLEMS as REPLY_PROBLEMS
from infinity_assets.similarity.normalize import normal_question
from infinity_assets.similarity.texts import text_similarity
from infinity_assets.stages.synthesized.facts import Facts
from infinity_assets.stages.synthesized.policy import RULES, SynthesisPolicy
from infinity_assets.stages.synthesized.rules import RULES_VERSION, ask
from infinity_assets.stages.synthesized.schema import SYNTHESIS_QA
from infinity_assets.stages.verdicts import DROP, KEEP, QUARANTINE

#: Raised whenever the same lines and facts would get another similarity or verdict.
LINES_VERSION: Final = 2

#: Why a line is not kept: dropped by the policy, in this order; a problem of a step is a quarantine.
DROPPED: Final = {
    "repeated_question": "the picture has a question like it already",
    "irrelevant_question": "a model found that the question does not fit the picture",
    "low_judge_score": "the judge gave the answer less than the policy asks for",
    "high_loss": "the answer surprises the scoring model more than the policy allows",
    "budget_spent": "the policy's budget was spent before the line was done; raise it to go on",
}
PROBLEMS: Final = {
    "unanswerable": "the picture's annotations no longer decide an answer",
    "missing_picture": "the picture is not stored any more",
    **{code: told for code, told in REPLY_PROBLEMS.items() if code not in DROPPED},
}

#: Columns of a line before its verdict: the rest of :data:`SYNTHESIS_QA`. ``detail`` is that of the problem.
LINE_FIELDS: Final = [f for f in SYNTHESIS_QA.schema if f.name not in {"verdict", "reason"}]


def write_by_rules(
    plan: Sequence[Mapping[str, Any]], facts: Mapping[str, Facts], labels: Sequence[str], seed: int
) -> pl.DataFrame:
    """Every planned line with its question and answer, without a verdict.

    Args:
        plan: rows of :data:`SYNTHESIS_PLAN`.
        facts: the pictures by id.
        labels: of all pictures of the source, sorted.
        seed: chooses among wordings and objects.

    Returns:
        The columns of :data:`LINE_FIELDS`, in the plan's order. Nothing is judged and no loss is taken:
        answers follow from annotations.
    """
    rows = []
    for line in plan:
        said = ask(line["instruction_l3"], facts[line["image_id"]], labels, seed)
        rows.append(
            {
                **{name: line[name] for name in ("line_id", "image_id", "instruction_l3", "style")},
                "parent_ids": facts[line["image_id"]].parent_ids,
                "seed_ids": [],
                "question": said.question if said else None,
                "answer": said.answer(line["style"]) if said else None,
                "problem": None if said else "unanswerable",
                "problem_step": None if said else "question",
                "engine": RULES,
                "prompts": [f"rules@{RULES_VERSION}"],
                "requests": [],
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "cost": 0.0,
            }
        )
    for row, near in zip(rows, question_similarity(rows, facts), strict=True):
        row["question_similarity"] = near
    return pl.DataFrame(pl.from_arrow(pa.Table.from_pylist(rows, schema=pa.schema(LINE_FIELDS))))


def question_similarity(lines: Sequence[Mapping[str, Any]], facts: Mapping[str, Facts]) -> list[float | None]:
    """Of each question to the nearest that the picture has, or got by an earlier line; null without one."""
    left: list[str] = []
    right: list[str] = []
    owner: list[int] = []
    earlier: dict[str, list[str]] = {}
    nearest: list[float | None] = [None] * len(lines)
    for i, line in enumerate(lines):
        image_id, question = line["image_id"], line["question"]
        if question is None:
            continue
        nearest[i] = 0.0
        normal = normal_question(question)
        for other in (*facts[image_id].questions, *earlier.setdefault(image_id, [])):
            left.append(normal)
            right.append(normal_question(other))
            owner.append(i)
        earlier[image_id].append(question)
    found = text_similarity(left, right).tolist() if left else []
    for i, a, b, similarity in zip(owner, left, right, found, strict=True):
        nearest[i] = max(nearest[i] or 0.0, 1.0 if a == b else similarity)
    return nearest


def decide(measured: pl.DataFrame, ocr: Sequence[str], policy: SynthesisPolicy) -> pa.Table:
    """Verdicts of lines.

    Args:
        measured: from :func:`write_by_rules` or a model.
        ocr: leaves that read text: another loss is allowed there.
        policy: thresholds. A measure that was not taken (null) passes.

    Returns:
        Rows of :data:`SYNTHESIS_QA`. A problem quarantines, except that of a spent budget, which is the
        policy's and drops; else the first rule that fails drops.
    """
    cut = (
        pl.when(pl.col("instruction_l3").is_in(list(ocr)))
        .then(policy.loss_cut_ocr)
        .otherwise(policy.loss_cut)
    )
    fails = {
        "repeated_question": (pl.col("question_similarity") >= policy.novelty, "question_similarity"),
        "irrelevant_question": (~pl.col("relevant"), "relevant"),
        "low_judge_score": (pl.col("judge_score") < policy.keep_score, "judge_score"),
        "high_loss": (pl.col("loss") > cut, "loss"),
    }
    dropped = pl.coalesce(
        pl.when(test.fill_null(False)).then(pl.lit(code)) for code, (test, _) in fails.items()
    )
    detail = pl.coalesce(
        pl.when(test.fill_null(False)).then(pl.format("{} is {}", pl.lit(name), pl.col(name)))
        for test, name in fails.values()
    )
    failed = pl.col("problem").is_not_null()
    judged = measured.with_columns(
        verdict=pl.when(pl.col("problem") == "budget_spent")
        .then(pl.lit(DROP))
        .when(failed)
        .then(pl.lit(QUARANTINE))
        .when(dropped.is_not_null())
        .then(pl.lit(DROP))
        .otherwise(pl.lit(KEEP)),
        reason=pl.coalesce("problem", dropped),
        detail=pl.when(failed).then(pl.col("detail")).otherwise(detail),
    )
    return judged.select(SYNTHESIS_QA.schema.names).to_arrow().cast(SYNTHESIS_QA.schema)
