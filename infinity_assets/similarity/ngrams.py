"""Which benchmark items a text holds: by runs of 13 words, as GPT-3 did (arXiv 2005.14165, appendix C).

An item of fewer words is looked for as a whole: a text holds it where it has all its words in a row. What
holds for one text holds for any cut of a batch; nothing here depends on the order of texts or items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infinity_assets.similarity.shingles import Hashes, Ragged, contains, ngram_hashes, word_hashes

#: Words in a run, unless a policy says otherwise.
NGRAM_WORDS = 13


@dataclass(frozen=True, slots=True)
class NgramSet:
    """The runs of words of one benchmark."""

    n: int  #: words in a run
    lengths: tuple[int, ...]  #: words in the runs held: ``n``, and fewer where an item is shorter
    hashes: Hashes  #: ``(runs,)``, distinct, sorted; runs of all lengths together

    def shares(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """The share of each text's words that stand in a run of the benchmark, 0 to 1: ``(texts,)``.

        Args:
            texts: in normal form; a text without words has share 0.
        """
        return _shares(self, word_hashes(texts))


def ngrams(texts: Sequence[str], n: int = NGRAM_WORDS) -> Ragged:
    """Hashes of each text's runs of ``n`` words; of all its words where it has fewer, none where it has none.

    Args:
        texts: in normal form.
        n: words in a run, at least 1.
    """
    return runs_of(word_hashes(texts), n)


def runs_of(words: Ragged, n: int) -> Ragged:
    """:func:`ngrams` of texts whose words are hashed already."""
    rows = np.minimum(words.lengths, n)
    values = np.empty(int(np.where(rows > 0, words.lengths - rows + 1, 0).sum()), np.uint64)
    starts = np.concatenate(([0], np.cumsum(np.where(rows > 0, words.lengths - rows + 1, 0)))).astype(
        np.int64
    )
    for length in np.unique(rows[rows > 0]).tolist():
        mine = rows == length
        runs = ngram_hashes(_some(words, mine), length)
        values[_places(starts, mine)] = runs.values
    return Ragged(values, starts)


def ngram_set(texts: Sequence[str], n: int = NGRAM_WORDS, shortest: int = 1) -> NgramSet:
    """The runs of a benchmark's texts.

    Args:
        texts: in normal form.
        n: words in a run.
        shortest: items of fewer words are left out; "what is this" stands in every dataset.
    """
    words = word_hashes(texts)
    held = _some(words, words.lengths >= max(shortest, 1))
    rows = np.minimum(held.lengths, n)
    lengths = np.unique(rows).tolist()
    found = [ngram_hashes(_some(held, rows == length), length).values for length in lengths]
    hashes = np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)
    return NgramSet(n, tuple(lengths), hashes)


def _shares(known: NgramSet, words: Ragged) -> npt.NDArray[np.float64]:
    covered = np.zeros(len(words.values) + 1, np.int64)
    for length in known.lengths:
        runs = ngram_hashes(words, length)
        hit = np.flatnonzero(contains(known.hashes, runs.values))
        if len(hit) == 0:
            continue
        row = np.searchsorted(runs.starts, hit, "right") - 1
        first = hit - runs.starts[row] + words.starts[row]
        np.add.at(covered, first, 1)
        np.add.at(covered, first + length, -1)
    inside = np.concatenate(([0], np.cumsum(np.cumsum(covered[:-1]) > 0)))
    counts = inside[words.starts[1:]] - inside[words.starts[:-1]]
    shares: npt.NDArray[np.float64] = counts / np.maximum(words.lengths, 1)
    return shares


def _some(words: Ragged, rows: npt.NDArray[np.bool_]) -> Ragged:
    lengths = words.lengths[rows]
    return Ragged(
        words.values[np.repeat(rows, words.lengths)],
        np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
    )


def _places(starts: npt.NDArray[np.int64], rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return np.repeat(rows, np.diff(starts))
