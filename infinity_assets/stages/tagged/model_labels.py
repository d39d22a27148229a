"""Questions filed by a language model, constrained to the tree; and the leaves that it finds missing.

The model sees the question and no picture, so a question that is asked of thousands of pictures is asked
about once. The method is Infinity-MM's (papers 1.5: GPT-4o labels, and tags are added while labelling); the
prompt is our own. What it proposes changes nothing by itself: a leaf enters by a reviewed change of the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from infinity_assets.models.vlm.prompt_files import Language, fill, language_of, prompt_name, read_prompt
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Message, Request, Sampling
from infinity_assets.stages.tagged.taxonomy import Leaf, Taxonomy
from infinity_assets.stages.tagged.taxonomy.proposals import NewLeaf
from infinity_assets.store.digests import key_of

#: Raised whenever the same replies would give other labels.
LABEL_VERSION: Final = 1

PROMPTS: Final = Path(__file__).with_name("prompts")
PROMPT: Final = ("label", 1)  #: name, and the latest version
REPLY_TOKENS: Final = 96
NONE: Final = "none"  #: no leaf fits

#: Why a question has no label, beside what the engine tells (``PROBLEMS`` of models/vlm).
NO_LEAF: Final = "no_leaf"


@dataclass(frozen=True, slots=True)
class Labelled:
    """What became of one question."""

    leaf: str | None
    problem: str | None  #: why there is no leaf
    proposal: NewLeaf | None = None


def asking_hash() -> str:
    """Of everything but the model and the tree that decides a label."""
    texts = [read_prompt(PROMPTS, *PROMPT, language) for language in ("en", "zh")]
    return key_of("label", LABEL_VERSION, *texts)


@dataclass(frozen=True)
class LabelAsker:
    """Builds requests, and reads what comes back."""

    taxonomy: Taxonomy

    def request(self, question: str) -> Request:
        """What the model is asked. The tree stands first, so that a server works through it once."""
        language = language_of(question)
        words = {"tree": self._trees[language], "question": question}
        return Request(
            (Message("user", (fill(read_prompt(PROMPTS, *PROMPT, language), words),)),),
            Sampling(max_tokens=REPLY_TOKENS),
            prompt_name(*PROMPT, language),
            schema=self._schema,
            tag="label",
        )

    def read(self, reply: Reply) -> Labelled:
        """The leaf of a reply. One that cannot be used is no label, never a guess."""
        if reply.problem is not None or reply.parsed is None:
            return Labelled(None, reply.problem or "unparsable")
        if reply.parsed["leaf"] != NONE:
            return Labelled(reply.parsed["leaf"], None)
        name, group = reply.parsed["new_leaf"], reply.parsed["new_group"]
        known = self.taxonomy.resolve(name)
        if known is not None:  # another name of a leaf that is there
            return Labelled(known, None)
        new = bool(name) and group != NONE and name not in self.taxonomy.retired
        return Labelled(None, NO_LEAF, NewLeaf(name, group) if new else None)

    @cached_property
    def _trees(self) -> Mapping[Language, str]:
        return {
            "en": self._tree(lambda leaf: leaf.name),
            "zh": self._tree(lambda leaf: f"{leaf.name} ({leaf.zh})"),
        }

    def _tree(self, show: Callable[[Leaf], str]) -> str:
        shown = {group: map(show, self.taxonomy.group(group)) for group in self._groups}
        return "\n".join(f"- {group}: {', '.join(leaves)}" for group, leaves in shown.items())

    @cached_property
    def _groups(self) -> Sequence[str]:
        return list(dict.fromkeys(leaf.l2 for leaf in self.taxonomy.leaves.values()))

    @cached_property
    def _schema(self) -> Mapping[str, Any]:
        return {
            "type": "object",
            "properties": {
                "leaf": {"type": "string", "enum": [*self.taxonomy.leaves, NONE]},
                "new_leaf": {"type": "string", "pattern": "^([a-z][a-z0-9_]{2,39})?$"},
                "new_group": {"type": "string", "enum": [*self._groups, NONE]},
            },
            "required": ["leaf", "new_leaf", "new_group"],
            "additionalProperties": False,
        }
