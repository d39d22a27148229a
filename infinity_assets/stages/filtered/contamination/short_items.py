"""Short texts of a benchmark's items without pictures, laid out to be looked for inside of longer ones.

A text of 13 words or more is a passage, known by its runs; one that stands alone is known by its hash. What
is left are short questions in a longer prompt, and short questions with their answers in a list of such, in
one turn or as a prompt and its reply:

- a question of :data:`SHORT_WORDS` words or more that stands whole in what is asked, as a sentence or clause
  of its own; not one that the benchmark answers in several ways: that is a form, and needs its answer;
- any question with its answer behind it, :data:`SHORT_WORDS` words in all; :data:`MARKERS` may be between.

Less is in every dataset ("Who are you?").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.similarity.ngrams import NGRAM_WORDS
from infinity_assets.similarity.shingles import Hashes, Ragged, ngram_hashes, word_hashes
from infinity_assets.stages.benchmark_fingerprints.passages import TEMPLATE

#: Words from which a text is known by itself: the least that GPT-3's filter looked for (arXiv 2005.14165,
#: appendix C).
SHORT_WORDS: Final = 8

#: What may stand between a question and its answer, in normal form. Our choice.
MARKERS: Final = ("", "a", "answer", "the answer is", "assistant", "答", "答案")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Runs of words that tell an item where they stand in a text, ``(wanted,)`` each."""

    words: Ragged
    anchor: Hashes  #: of each one run of :data:`SHORT_WORDS` words: that which the fewest others have
    offset: npt.NDArray[np.int64]  #: the word at which it begins
    item: npt.NDArray[np.int64]
    question: Sequence[str | None]  #: what must be a clause of its own; None where the answer follows


def wanted_of(items: pl.DataFrame, exchanges: pl.DataFrame) -> Wanted:
    """What is looked for of a benchmark.

    Args:
        items: ``item`` and how many ``media`` it has.
        exchanges: ``item``, ``question_hash``, ``turn_hash``, ``question``, ``words`` and ``answer_words``.
    """
    plain = items.filter(pl.col("media") == 0).select("item")
    short = (
        exchanges.join(plain, on="item", how="semi")
        .filter((pl.col("words") > 0) & (pl.col("words") < NGRAM_WORDS))
        .with_columns(
            items=pl.col("item").n_unique().over("turn_hash"),
            answers=pl.col("turn_hash").n_unique().over("question_hash"),
            answer_count=pl.col("answer_words").list.len(),
        )
        .unique(["item", "turn_hash"], keep="first", maintain_order=True)
    )
    asked = word_hashes(short["question"].to_list())
    between = word_hashes(MARKERS)
    runs: list[tuple[Hashes, int, str | None]] = []
    for i, row in enumerate(short.iter_rows(named=True)):
        if row["words"] >= SHORT_WORDS and row["answers"] == 1:
            runs.append((asked.row(i), row["item"], row["question"]))
        if row["answer_count"] and row["items"] <= TEMPLATE:
            answer = np.array(row["answer_words"], np.uint64)
            for k in range(len(MARKERS)):
                run = np.concatenate((asked.row(i), between.row(k), answer))
                if row["words"] + row["answer_count"] >= SHORT_WORDS:
                    runs.append((run, row["item"], None))
    words = _ragged([run for run, _, _ in runs])
    anchors = ngram_hashes(words, SHORT_WORDS)
    values, counts = np.unique(anchors.values, return_counts=True)
    common = counts[np.searchsorted(values, anchors.values)]
    offset = np.array([int(np.argmin(common[a:b])) for a, b in _bounds(anchors)], np.int64)
    return Wanted(
        words,
        anchors.values[anchors.starts[:-1] + offset],
        offset,
        np.array([item for _, item, _ in runs], np.int64),
        [question for _, _, question in runs],
    )


def _bounds(runs: Ragged) -> list[tuple[int, int]]:
    return list(zip(runs.starts[:-1].tolist(), runs.starts[1:].tolist(), strict=True))


def _ragged(rows: Sequence[Hashes]) -> Ragged:
    starts = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    return Ragged(np.concatenate(rows) if rows else np.empty(0, np.uint64), starts)
