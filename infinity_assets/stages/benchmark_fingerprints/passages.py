"""Long texts of a benchmark, and which of their runs of 13 words tell an item from the others.

Instructions and templates ("The following are multiple choice questions about ...") stand in many items: a
run that more than :data:`TEMPLATE` different questions have is no sign of any one of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infinity_assets.similarity.ngrams import NGRAM_WORDS, ngrams
from infinity_assets.similarity.shingles import word_hashes

#: Different questions that may share a run of words. A page of reading has a few questions, a template has
#: dozens. Our choice.
TEMPLATE = 10

#: Where lettered choices begin in a question in normal form.
_CHOICES = " a) "


@dataclass(frozen=True, slots=True)
class Said:
    """One side of one exchange of an item."""

    item: int
    question: bytes  #: hash of the question that it belongs to
    text: str  #: in normal form
    asked: bool  #: a question, else an answer


def stem(question: str) -> str:
    """A question in normal form without its lettered choices; as it is where it has none."""
    at = question.find(_CHOICES)
    return question[:at] if at > 0 else question


def word_counts(texts: Sequence[str]) -> list[int]:
    """Words of each text, as runs of words are counted."""
    counts: list[int] = word_hashes(texts).lengths.tolist()
    return counts


def passages(said: Sequence[Said], media: Sequence[tuple[str, ...]]) -> list[list[dict[str, Any]]]:
    """The long texts of each item, as structs of the column ``passages``.

    Args:
        said: all that the benchmark's items say.
        media: of each item, what it refers to.
    """
    texts = [s for s in said if s.text] + [
        Said(s.item, s.question, stem(s.text), True) for s in said if s.asked and stem(s.text) != s.text
    ]
    counts = word_counts([s.text for s in texts])
    long = sorted(
        {
            (s.item, s.text, s.asked, s.question)
            for s, n in zip(texts, counts, strict=True)
            if n >= NGRAM_WORDS
        }
    )
    runs = ngrams([text for _, text, _, _ in long])
    questions = sorted({question for _, _, _, question in long})
    place = {question: i for i, question in enumerate(questions)}
    owner = np.repeat(np.array([place[q] for _, _, _, q in long], np.int64), runs.lengths)
    pairs = np.unique(np.stack((runs.values, owner.astype(np.uint64)), axis=1), axis=0)
    values, spread = np.unique(pairs[:, 0], return_counts=True)
    shown: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for item, text, _, _ in long:
        shown[text].add(media[item])
    found: list[list[dict[str, Any]]] = [[] for _ in media]
    for i, (item, text, asked, _) in enumerate(long):
        row = runs.row(i)
        telling = np.flatnonzero(spread[np.searchsorted(values, row)] <= TEMPLATE)
        if len(telling):
            found[item].append(
                {
                    "ngrams": row[telling].tolist(),
                    "starts": telling.tolist(),
                    "asked": asked,
                    "generic": len(shown[text]) > 1 and bool(media[item]),
                }
            )
    return found
