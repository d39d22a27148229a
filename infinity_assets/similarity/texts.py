"""Near texts: what is alike, and what says the same.

Two conversations are *alike* where the sets of their runs of three words have a Jaccard similarity of
:data:`NEAR` at least. They are *near* where besides both sides say the same:

- a side of fewer than :data:`MIN_WORDS` words says the same only if it is equal in normal form: of "How many
  red circles are there?" and "How many blue circles are there?" one word in six differs, and it is all that
  is asked;
- a longer question may differ in words that ask nothing (articles, "please", "in the picture"), in no other;
- a longer answer may differ, but not in numbers, signs, denials, colours, places, comparisons
  (``telling.yaml``).

Below 29 words a single replaced word takes three-word runs below .8 anyway. Our choices; measured by
``benchmarks/dedup_texts.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from infinity_assets.similarity import minhash
from infinity_assets.similarity.banding import candidates
from infinity_assets.similarity.exchanges import Exchange
from infinity_assets.similarity.meaning import MEANING_VERSION, answer_meaning, question_meaning
from infinity_assets.similarity.ngrams import runs_of
from infinity_assets.similarity.shingles import (
    SHINGLE_VERSION,
    Hashes,
    figure_hashes,
    ngram_hashes,
    text_hashes,
    word_hashes,
)

#: Words in a run.
SHINGLE_WORDS = 3

#: Words from which a text may be near another without being equal.
MIN_WORDS = 30

#: Least Jaccard similarity of texts that are alike; common practice (GPT-3, RefinedWeb, FineWeb use .75 to
#: .8).
NEAR = 0.8

#: Raised when the same text gives another signature, or the same two texts another similarity or verdict.
SIGNATURE_VERSION = (SHINGLE_VERSION, minhash.MINHASH_VERSION)
NEAR_TEXT_VERSION = (*SIGNATURE_VERSION, MEANING_VERSION)

#: Least estimate of a pair whose texts are looked at: .8 less 3.4 standard deviations of 48 places.
_MIN_ESTIMATE = 0.6

#: Characters of a conversation that its signature covers: bounds memory. Pairs are verified whole.
SIGNED_CHARS = 1 << 20

_PAIRS_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True)
class Conversation:
    """Both sides of a conversation in normal form, one turn a line."""

    question: str
    answer: str

    @property
    def text(self) -> str:
        """Both sides; the only one where the other is empty."""
        return (
            f"{self.question}\n{self.answer}"
            if self.question and self.answer
            else self.question or self.answer
        )


@dataclass(frozen=True, slots=True)
class TextPairs:
    """Pairs of texts that are alike: ``left < right``, each pair once, sorted by (left, right)."""

    left: npt.NDArray[np.int64]  #: ``(pairs,)``, index into the input
    right: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float64]  #: Jaccard, 0 to 1
    near: npt.NDArray[np.bool_]  #: False where something that matters differs


#: Gives the conversations of the rows with these indices, in their order.
Read = Callable[[npt.NDArray[np.int64]], Sequence[Conversation]]


def conversation_of(exchanges: Sequence[Exchange]) -> Conversation:
    """Both sides of a conversation that was cut into exchanges."""
    question = "\n".join(e.question for e in exchanges)
    return Conversation(question, "\n".join(a for e in exchanges for a in e.answers))


def text_signatures(conversations: Sequence[Conversation]) -> list[bytes | None]:
    """What near texts are found by, 96 bytes each; None where there are fewer than 30 words."""
    found: list[bytes | None] = [None] * len(conversations)
    texts = [c.text[:SIGNED_CHARS] for c in conversations]
    # A word has a letter and a space at least, except where a script puts no spaces.
    long = [i for i, text in enumerate(texts) if len(text) >= MIN_WORDS]
    words = word_hashes([texts[i] for i in long])
    enough = words.lengths >= MIN_WORDS
    packed = minhash.pack(minhash.signatures(ngram_hashes(words, SHINGLE_WORDS)))
    for i, signature, fits in zip(long, packed, enough.tolist(), strict=True):
        found[i] = signature if fits else None
    return found


def text_similarity(left: Sequence[str], right: Sequence[str]) -> npt.NDArray[np.float64]:
    """Jaccard similarity of each text of one and the same of the other, by runs of three words: ``(pairs,)``.

    Texts of fewer than three words have one run. Two texts without words are equal (1).
    """
    texts = _Texts([*left, *right])
    return texts.similarity(texts.ids(left), texts.ids(right))


def near_texts(left: Sequence[Conversation], right: Sequence[Conversation]) -> npt.NDArray[np.bool_]:
    """Whether each conversation of one is near the same of the other, ``(pairs,)``; equal ones are."""
    return _judged(left, right)[1]


def near_text(left: Conversation, right: Conversation) -> bool:
    """Whether two conversations are near."""
    return bool(near_texts([left], [right])[0])


def near_text_pairs(
    signatures: minhash.Signatures, read: Read, fresh: npt.NDArray[np.bool_] | None = None
) -> TextPairs:
    """All pairs of texts that are alike, but for an accident of 2 in 1,000 at a similarity of .8.

    The result is a function of the set of texts: not of their order, nor of what is fresh. Work and memory
    are bounded by :data:`infinity_assets.similarity.banding.CROWD` pairs a text and band: where more texts
    than that share a band they fill in a form, and that band joins none of them.

    Args:
        signatures: ``(texts, 48)``, of distinct texts.
        read: gives the texts of a few rows.
        fresh: ``(texts,)``; pairs without any of these are left out. All by default.
    """
    found: list[TextPairs] = []
    left, right = _likely(signatures, fresh)
    for at in range(0, len(left), _PAIRS_AT_ONCE):
        a, b = left[at : at + _PAIRS_AT_ONCE], right[at : at + _PAIRS_AT_ONCE]
        rows, places = np.unique(np.concatenate((a, b)), return_inverse=True)
        texts = read(rows)
        one = [texts[i] for i in places[: len(a)].tolist()]
        other = [texts[i] for i in places[len(a) :].tolist()]
        similarity, near = _judged(one, other)
        alike = similarity >= NEAR
        found.append(TextPairs(a[alike], b[alike], similarity[alike], near[alike]))
    if not found:
        return TextPairs(left, right, np.empty(0, np.float64), np.empty(0, bool))
    return TextPairs(*(np.concatenate([getattr(f, name) for f in found]) for name in TextPairs.__slots__))


def _likely(
    signatures: minhash.Signatures, fresh: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs whose signatures share a band and are alike, sorted: 16 bytes for each."""
    lefts, rights = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for left, right in candidates(minhash.bands(signatures), fresh):
        for at in range(0, len(left), _PAIRS_AT_ONCE):
            a, b = left[at : at + _PAIRS_AT_ONCE], right[at : at + _PAIRS_AT_ONCE]
            alike = minhash.estimate(signatures[a], signatures[b]) >= _MIN_ESTIMATE
            lefts.append(a[alike])
            rights.append(b[alike])
    left, right = np.concatenate(lefts), np.concatenate(rights)
    order = np.lexsort((right, left))
    return left[order], right[order]


def _judged(
    left: Sequence[Conversation], right: Sequence[Conversation]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The similarity of each pair, and whether it is near."""
    texts = _Texts([part for c in (*left, *right) for part in (c.text, c.question, c.answer)])
    a, b = (texts.ids([c.text for c in side]) for side in (left, right))
    whole = texts.similarity(a, b)
    rows = np.flatnonzero(whole >= NEAR)
    for name, meaning in (("question", question_meaning), ("answer", answer_meaning)):
        x, y = (texts.ids([getattr(side[i], name) for i in rows.tolist()]) for side in (left, right))
        equal = x == y
        if equal.all():
            continue
        long = np.minimum(texts.words.lengths[x], texts.words.lengths[y]) >= MIN_WORDS
        said = meaning(texts.words, texts.figures)
        same = long & (said[x] == said[y])
        same[same] = texts.similarity(x[same], y[same]) >= NEAR
        rows = rows[equal | same]
    near = np.zeros(len(left), bool)
    near[rows] = True
    return whole, near


class _Texts:
    """Some texts, each distinct one hashed once."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._ids = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        self.words = word_hashes(list(self._ids))
        runs = runs_of(self.words, SHINGLE_WORDS)
        self._sets = [_distinct(runs.values[start:end]) for start, end in pairwise(runs.starts.tolist())]

    @cached_property
    def figures(self) -> Hashes:
        """One hash for the figures of each text."""
        return text_hashes(figure_hashes(list(self._ids)))

    def ids(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """The number of each text."""
        return np.fromiter(map(self._ids.__getitem__, texts), np.int64, len(texts))

    def similarity(
        self, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Jaccard similarity of the sets of runs of two numbers each."""
        found = np.ones(len(left))
        for i, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
            if a != b:
                x, y = self._sets[a], self._sets[b]
                if len(x) == 0 or len(y) == 0:
                    found[i] = float(len(x) == len(y))
                    continue
                common = np.count_nonzero(y.take(y.searchsorted(x), mode="clip") == x)
                found[i] = common / (len(x) + len(y) - common)
        return found


def _distinct(values: Hashes) -> Hashes:
    """Sorted in place, without repeats: ``np.unique`` in a third of its time on a hundred values."""
    values.sort()
    return values[np.concatenate(([True], values[1:] != values[:-1]))] if len(values) else values
