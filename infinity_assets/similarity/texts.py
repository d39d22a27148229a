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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import eq

import numpy as np
import numpy.typing as npt

from infinity_assets.similarity import minhash
from infinity_assets.similarity.banding import candidates
from infinity_assets.similarity.exchanges import Exchange
from infinity_assets.similarity.meaning import MEANING_VERSION, same_answer, same_question
from infinity_assets.similarity.shingles import SHINGLE_VERSION, Ragged, ngram_hashes, word_hashes

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

_PAIRS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class Conversation:
    """Both sides of a conversation in normal form, one turn a line."""

    question: str
    answer: str

    @property
    def text(self) -> str:
        """Both sides."""
        return f"{self.question}\n{self.answer}"


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
    texts = [c.text for c in conversations]
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
    distinct = {text: i for i, text in enumerate(dict.fromkeys([*left, *right]))}
    sets = _shingle_sets(list(distinct))
    a = np.fromiter((distinct[text] for text in left), np.int64, len(left))
    b = np.fromiter((distinct[text] for text in right), np.int64, len(right))
    return _jaccard(sets, a, b)


def near_texts(left: Sequence[Conversation], right: Sequence[Conversation]) -> npt.NDArray[np.bool_]:
    """Whether each conversation of one is near the same of the other, ``(pairs,)``; equal ones are."""
    alike = text_similarity([c.text for c in left], [c.text for c in right]) >= NEAR
    question = _same_side([c.question for c in left], [c.question for c in right], alike, same_question)
    return _same_side([c.answer for c in left], [c.answer for c in right], question, same_answer)


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
    for left, right in _likely(signatures, fresh):
        rows, places = np.unique(np.concatenate((left, right)), return_inverse=True)
        texts = read(rows)
        a = [texts[i] for i in places[: len(left)]]
        b = [texts[i] for i in places[len(left) :]]
        similarity = text_similarity([c.text for c in a], [c.text for c in b])
        keep = np.flatnonzero(similarity >= NEAR)
        near = near_texts([a[i] for i in keep], [b[i] for i in keep])
        found.append(TextPairs(left[keep], right[keep], similarity[keep], near))
    return _sorted(found)


def _likely(
    signatures: minhash.Signatures, fresh: npt.NDArray[np.bool_] | None
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Candidates whose signatures are alike, a few at a time."""
    for left, right in candidates(minhash.bands(signatures), fresh):
        for at in range(0, len(left), _PAIRS_AT_ONCE):
            a, b = left[at : at + _PAIRS_AT_ONCE], right[at : at + _PAIRS_AT_ONCE]
            alike = minhash.estimate(signatures[a], signatures[b]) >= _MIN_ESTIMATE
            if alike.any():
                yield a[alike], b[alike]


def _sorted(found: list[TextPairs]) -> TextPairs:
    if not found:
        none = np.empty(0, np.int64)
        return TextPairs(none, none, np.empty(0, np.float64), np.empty(0, bool))
    left = np.concatenate([f.left for f in found])
    right = np.concatenate([f.right for f in found])
    order = np.lexsort((right, left))
    similarity = np.concatenate([f.similarity for f in found])
    near = np.concatenate([f.near for f in found])
    return TextPairs(left[order], right[order], similarity[order], near[order])


def _same_side(
    left: Sequence[str], right: Sequence[str], wanted: npt.NDArray[np.bool_], same: Callable[[str, str], bool]
) -> npt.NDArray[np.bool_]:
    """Which of the wanted pairs have one side equal, or long, alike and the same in meaning."""
    found: npt.NDArray[np.bool_] = wanted & np.fromiter(map(eq, left, right), bool, len(left))
    rows = np.flatnonzero(wanted & ~found)
    a, b = [left[i] for i in rows.tolist()], [right[i] for i in rows.tolist()]
    long = np.minimum(word_hashes(a).lengths, word_hashes(b).lengths) >= MIN_WORDS
    near = long & (text_similarity(a, b) >= NEAR)
    for i in np.flatnonzero(near).tolist():
        found[rows[i]] = same(a[i], b[i])
    return found


def _shingle_sets(texts: Sequence[str]) -> Ragged:
    """Distinct runs of three words of each text, sorted; of all its words where it has fewer."""
    words = word_hashes(texts)
    runs = ngram_hashes(words, SHINGLE_WORDS)
    row = np.repeat(np.arange(len(texts)), runs.lengths)
    values = runs.values
    short = (words.lengths > 0) & (words.lengths < SHINGLE_WORDS)
    if short.any():
        few = ngram_hashes(words, 1).values[np.repeat(short, words.lengths)]
        row = np.concatenate((row, np.repeat(np.arange(len(texts)), np.where(short, words.lengths, 0))))
        values = np.concatenate((values, few))
    order = np.lexsort((values, row))
    row, values = row[order], values[order]
    distinct = np.ones(len(values), bool)
    distinct[1:] = (values[1:] != values[:-1]) | (row[1:] != row[:-1])
    counts = np.bincount(row[distinct], minlength=len(texts))
    return Ragged(values[distinct], np.concatenate(([0], np.cumsum(counts))).astype(np.int64))


def _jaccard(
    sets: Ragged, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    found = np.ones(len(left))
    for i, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        if a != b:
            x, y = sets.row(a), sets.row(b)
            if len(x) == 0 or len(y) == 0:
                found[i] = float(len(x) == len(y))
                continue
            common = np.count_nonzero(y[np.minimum(np.searchsorted(y, x), len(y) - 1)] == x)
            found[i] = common / (len(x) + len(y) - common)
    return found
