"""Three tables, one after the other: what was planned, what was written and judged, what came of it."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from infinity_assets.stages.unified.schema import MEDIUM, TURN
from infinity_assets.stages.verdicts import VERDICT_FIELDS
from infinity_assets.store.tables import TableSpec

LINES_CHECK: Final = "lines_conserved"
LINES_PROMISE: Final = "every kept line is in exactly one conversation"

#: One row for each question to be asked of a picture.
SYNTHESIS_PLAN: Final = TableSpec(
    name="synthesis_plan",
    version=1,
    key="line_id",
    lookup=("line_id",),
    schema=pa.schema(
        [
            pa.field("line_id", pa.string(), nullable=False),  # <source>-<BLAKE3-128 hex>
            pa.field("image_id", pa.string(), nullable=False),  # in the images of the same source
            pa.field("parent_ids", pa.list_(pa.string()), nullable=False),  # samples that show the picture
            pa.field("instruction_l1", pa.string(), nullable=False),
            pa.field("instruction_l2", pa.string(), nullable=False),
            pa.field("instruction_l3", pa.string(), nullable=False),
            pa.field("score", pa.float32(), nullable=False),  # of the picture's tags for this leaf
            pa.field("chosen_by", pa.string(), nullable=False),  # association, or floor: a rare leaf was due
            pa.field("style", pa.string(), nullable=False),  # of the answer: short, brief, detailed
            pa.field("seed_ids", pa.list_(pa.string()), nullable=False),  # samples that serve as examples
        ]
    ),
)

#: One row for each planned question: every intermediate result, null after the step that it did not pass.
SYNTHESIS_QA: Final = TableSpec(
    name="synthesis_qa",
    version=2,
    key="line_id",
    digest_exclude=("cost",),  # what a reply cost when it was asked is no part of what it says
    lookup=("line_id",),
    schema=pa.schema(
        [
            pa.field("line_id", pa.string(), nullable=False),
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("parent_ids", pa.list_(pa.string()), nullable=False),  # samples that show the picture
            pa.field("seed_ids", pa.list_(pa.string()), nullable=False),  # samples that served as examples
            pa.field("instruction_l3", pa.string(), nullable=False),
            pa.field("style", pa.string(), nullable=False),
            pa.field("question", pa.string()),
            pa.field("question_similarity", pa.float32()),  # to the nearest question that the picture has
            pa.field("relevant", pa.bool_()),  # by a model; null where none was asked
            pa.field("answer", pa.string()),
            pa.field("judge_score", pa.int32()),  # 1 to 10; null where none was asked
            pa.field("judge_reason", pa.string()),  # what the judge said before it scored
            pa.field("loss", pa.float32()),  # nats a token of the answer; null where not measured
            pa.field("problem", pa.string()),  # code of what went wrong at a step; null where nothing did
            pa.field("problem_step", pa.string()),  # question, relevance, answer or judge; null likewise
            pa.field("engine", pa.string(), nullable=False),  # rules, or a name of engines.yaml
            pa.field("model", pa.string()),  # that wrote, <name>@<revision>; null by rules
            pa.field("judge_model", pa.string()),  # that judges, likewise
            pa.field("scorer_model", pa.string()),  # that takes the loss, likewise; null where none is named
            # One for each request, in order: <prompt>.<language>@<version>, and its hash in the kept replies.
            pa.field("prompts", pa.list_(pa.string()), nullable=False),
            pa.field("requests", pa.list_(pa.string()), nullable=False),
            pa.field("sampling", pa.string()),  # JSON by step; null by rules
            pa.field("prompt_tokens", pa.int64(), nullable=False),  # of all requests, repairs included
            pa.field("completion_tokens", pa.int64(), nullable=False),
            # Of all requests when they were asked, in the currency of the engine's prices: a replay costs
            # nothing and is told at its first price.
            pa.field("cost", pa.float64(), nullable=False),
            *VERDICT_FIELDS,
        ]
    ),
)

#: One row for each conversation: a sample like those of ``unified``, which later stages read beside them.
SYNTHESIZED: Final = TableSpec(
    name="synthesized",
    version=1,
    key="sample_id",
    lookup=("sample_id",),
    schema=pa.schema(
        [
            pa.field("sample_id", pa.string(), nullable=False),  # <source>-<BLAKE3-128 hex>
            pa.field("source", pa.string(), nullable=False),
            pa.field("line_ids", pa.list_(pa.string()), nullable=False),  # one for each exchange, in order
            pa.field("parent_ids", pa.list_(pa.string()), nullable=False),
            pa.field("instruction_l3", pa.list_(pa.string()), nullable=False),  # likewise
            pa.field("turns", pa.list_(TURN), nullable=False),
            pa.field("media", pa.list_(MEDIUM), nullable=False),
            pa.field("image_ids", pa.list_(pa.string()), nullable=False),
            pa.field("upstream", pa.string(), nullable=False),  # "{}": nothing came from anywhere else
            pa.field("licence", pa.string(), nullable=False),  # of the parents
            pa.field("language", pa.string()),
            pa.field("language_score", pa.float32()),
            pa.field("question_tokens", pa.int32(), nullable=False),
            pa.field("answer_tokens", pa.int32(), nullable=False),
            pa.field("content_hash", pa.string(), nullable=False),  # as in unified
            *VERDICT_FIELDS,
        ]
    ),
)
