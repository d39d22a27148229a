"""Kept lines of one picture become a conversation: easy to hard, never longer than the policy allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import blake3
import pyarrow as pa

from infinity_assets.readers.base import MARKERS, Turn
from infinity_assets.stages.synthesized.facts import Facts
from infinity_assets.stages.synthesized.policy import SynthesisPolicy
from infinity_assets.stages.synthesized.schema import SYNTHESIZED
from infinity_assets.stages.tagged.taxonomy import Taxonomy
from infinity_assets.stages.unified.text import count_tokens, identify_languages, text_hash
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.digests import key_of

#: Raised whenever the same lines would become other conversations.
MERGE_VERSION: Final = 1


def merge(
    source: str,
    lines: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Facts],
    taxonomy: Taxonomy,
    policy: SynthesisPolicy,
) -> pa.Table:
    """Conversations of kept lines.

    Args:
        source: its name.
        lines: rows of :data:`SYNTHESIS_QA`; only kept ones are used.
        facts: the pictures by id.
        taxonomy: gives the order, easy to hard.
        policy: whether to merge, and how long a conversation may be.

    Returns:
        Rows of :data:`SYNTHESIZED`, by picture. Each kept line is in exactly one of them. A conversation that
        would be too long is cut into several.
    """
    place = {leaf: (found.difficulty, i) for i, (leaf, found) in enumerate(taxonomy.leaves.items())}
    hardest = (max(difficulty for difficulty, _ in place.values()) + 1, 0)
    kept = sorted(
        (line for line in lines if line["verdict"] == KEEP),
        key=lambda n: (n["image_id"], place.get(n["instruction_l3"], hardest), n["line_id"]),
    )
    rows = [_row(source, group, facts[group[0]["image_id"]]) for group in _groups(kept, policy)]
    table = pa.Table.from_pylist(rows, schema=SYNTHESIZED.schema)
    return _measured(table) if rows else table


def _groups(
    kept: Sequence[Mapping[str, Any]], policy: SynthesisPolicy
) -> Iterator[Sequence[Mapping[str, Any]]]:
    size = policy.max_turns if policy.merge else 1
    for _, found in groupby(kept, key=lambda line: line["image_id"]):
        lines = list(found)
        yield from (lines[at : at + size] for at in range(0, len(lines), size))


def _row(source: str, lines: Sequence[Mapping[str, Any]], facts: Facts) -> dict[str, Any]:
    turns = []
    for i, line in enumerate(lines):
        marker = f"{MARKERS['image']}\n" if i == 0 else ""
        turns += [Turn("user", marker + line["question"]), Turn("assistant", line["answer"])]
    texts = [turn.text for turn in turns]
    made_by = [(line["engine"], line["model"], *line["prompts"]) for line in lines]
    body = text_hash(turns) or ""
    return {
        "sample_id": f"{source}-{key_of('synthetic', facts.parent_ids, facts.image_id, made_by, texts)}",
        "source": source,
        "line_ids": [line["line_id"] for line in lines],
        "parent_ids": list(facts.parent_ids),
        "instruction_l3": [line["instruction_l3"] for line in lines],
        "turns": [{"role": turn.role, "text": turn.text} for turn in turns],
        "media": [{"kind": "image", "ref": None, "embedded": False, "image_id": facts.image_id}],
        "image_ids": [facts.image_id],
        "upstream": "{}",
        "licence": facts.licence,
        "question_tokens": 0,
        "answer_tokens": 0,
        "content_hash": blake3.blake3(f"{body}\n{facts.image_id}".encode()).hexdigest(length=16),
        "verdict": KEEP,
    }


def _measured(table: pa.Table) -> pa.Table:
    """With tokens and language, measured as ``unified`` measures them."""
    spoken: dict[str, list[str]] = {"user": [], "assistant": []}
    for turns in table.column("turns").to_pylist():
        for role, texts in spoken.items():
            said = "\n".join(turn["text"] for turn in turns if turn["role"] == role)
            texts.append(said.replace(MARKERS["image"], "").strip())
    told = identify_languages([f"{q}\n{a}" for q, a in zip(*spoken.values(), strict=True)])
    columns = {
        "language": [t[0] if t else None for t in told],
        "language_score": [t[1] if t else None for t in told],
        "question_tokens": count_tokens(spoken["user"]),
        "answer_tokens": count_tokens(spoken["assistant"]),
    }
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(
            at, table.schema.field(name), pa.array(values, table.schema.field(name).type)
        )
    return table
