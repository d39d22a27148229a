"""Leaves that a labelling model found missing: collected for a person, who may make a version of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from infinity_assets.stages.tagged.taxonomy import Taxonomy

#: Where they lie in the store, one object for each group of questions that was labelled.
FOLDER: Final = "_taxonomy_proposals"

EXAMPLE_CHARS: Final = 200
EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class NewLeaf:
    """A leaf that the tree lacks, as a model would call it."""

    name: str
    group: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question for which no leaf fitted, and what was proposed."""

    question: str
    proposal: NewLeaf


@dataclass(frozen=True, slots=True)
class Proposed:
    """One proposed leaf, over all sources."""

    name: str
    group: str  #: the one named most often; of equal ones the first by name
    questions: int  #: distinct ones
    sources: tuple[str, ...]
    models: tuple[str, ...]
    examples: tuple[str, ...]  #: the first questions in order, cut


def to_json(asked: Sequence[Asked], source: str, model: str, taxonomy: str) -> dict[str, Any]:
    """What is kept of a group of questions."""
    rows = [[one.proposal.name, one.proposal.group, one.question] for one in asked]
    return {"source": source, "model": model, "taxonomy": taxonomy, "asked": rows}


def collect(found: Iterable[Mapping[str, Any]], taxonomy: Taxonomy, least: int) -> list[Proposed]:
    """Proposed leaves by how many questions ask for them, the most first.

    Args:
        found: what :func:`to_json` made, in any order.
        taxonomy: the tree now. What it knows by now, or has retired, is left out.
        least: questions that a leaf needs.
    """
    by_name: dict[str, list[tuple[str, str, str, str]]] = {}
    for part in found:
        for name, group, question in part["asked"]:
            if taxonomy.resolve(name) is None and name not in taxonomy.retired:
                by_name.setdefault(name, []).append((question, group, part["source"], part["model"]))
    proposed = []
    for name, rows in by_name.items():
        questions = sorted({question for question, *_ in rows})
        if len(questions) < least:
            continue
        groups = sorted(group for _, group, *_ in set(rows))
        proposed.append(
            Proposed(
                name,
                max(dict.fromkeys(groups), key=groups.count),
                len(questions),
                tuple(sorted({source for *_, source, _ in rows})),
                tuple(sorted({model for *_, model in rows})),
                tuple(question[:EXAMPLE_CHARS] for question in questions[:EXAMPLES]),
            )
        )
    return sorted(proposed, key=lambda one: (-one.questions, one.name))


def draft(proposed: Sequence[Proposed], unused: Sequence[str], taxonomy: Taxonomy) -> str:
    """A file of changes for the next version, to be worked on: whoever agrees fills in the reviewer.

    Args:
        proposed: leaves to add.
        unused: leaves that no published label leads to; they stand there as comments.
        taxonomy: the tree now.
    """
    lines = [
        "# Drafted from what labelling models proposed. Strike out what is not wanted or means the same,",
        "# fill in zh and reviewer, then: infinity taxonomy check <this file>",
        f"name: {taxonomy.name}",
        f"version: {taxonomy.version + 1}",
        "changes:",
    ]
    for one in proposed:
        reason = f"asked by {one.questions} questions of {', '.join(one.sources)}"[:80]
        change = {"action": "propose", "leaf": one.name, "group": one.group, "zh": "", "reason": reason}
        lines += [f"  # {_quoted(example)}" for example in one.examples]
        lines.append(
            "  - "
            + yaml.safe_dump(
                {**change, "reviewer": ""},
                sort_keys=False,
                allow_unicode=True,
                default_flow_style=True,
                width=1 << 20,
            ).strip()
        )
    lines += [f"  # no label leads to {leaf}: retire it?" for leaf in unused]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """One line that no YAML parser and no terminal takes for anything else."""
    return "".join(c if c.isprintable() else " " for c in text)
