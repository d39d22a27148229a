"""Which texts of samples are texts of a benchmark: one question and another, and long texts anywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.similarity.meaning import question_meaning
from infinity_assets.similarity.ngrams import NGRAM_WORDS
from infinity_assets.similarity.shingles import (
    Hashes,
    Ragged,
    contains,
    figure_hashes,
    ngram_hashes,
    text_hashes,
    word_hashes,
)
from infinity_assets.stages.benchmark_fingerprints.passages import stem
from infinity_assets.stages.filtered.contamination.benchmark import Benchmark

#: Telling words from which a long text may be the item's without having all of it, and the share that it
#: must have: a name was replaced, a sentence left out. Below, one other word is another question. Our choice;
#: GPT-3 was cleaned by a single run of 13 words (arXiv 2005.14165, appendix C), which finds every text that
#: shares a phrase.
LONG_WORDS = 30
LONG_SHARE = 0.8

#: What may stand before and after a question that is a part of a longer prompt.
_BEFORE = frozenset(".?!:;,。？！：；，、\"'“”‘’「」()（）-–—*#>]")
_AFTER = _BEFORE | frozenset("[<")

Places = npt.NDArray[np.int64]

HELD = {"row": pl.Int64, "passage": pl.Int64, "share": pl.Float32}


def likeness(asked: Sequence[str], items: Sequence[str]) -> list[float | None]:
    """How alike questions are to an item's about the same picture; None where they ask something else.

    The same is asked where the item's question (with or without its choices) stands whole in the prompt, as a
    sentence or a clause of its own, and where the two differ in words that ask nothing ("the", "in the
    picture"). 1 in the first case; else the share of the words of both that both have.

    Args:
        asked: questions in normal form.
        items: the benchmark's, one for each, in normal form.
    """
    short, wanted = [stem(text) for text in asked], [stem(text) for text in items]
    left, right = word_hashes(short), word_hashes(wanted)
    same = _meaning(left, short) == _meaning(right, wanted)
    found: list[float | None] = []
    for i, (text, item) in enumerate(zip(asked, items, strict=True)):
        if not short[i] or not wanted[i]:
            found.append(1.0 if text == item else None)
        elif short[i] == wanted[i] or stands_in(text, item) or stands_in(text, wanted[i]):
            found.append(1.0)
        elif same[i]:
            a, b = set(left.row(i).tolist()), set(right.row(i).tolist())
            found.append(len(a & b) / max(len(a | b), 1))
        else:
            found.append(None)
    return found


def _meaning(words: Ragged, texts: Sequence[str]) -> Hashes:
    return question_meaning(words, text_hashes(figure_hashes(texts)))


def stands_in(text: str, part: str) -> bool:
    """Whether a text has another one in it as a sentence or a clause of its own; both in normal form."""
    at = text.find(part)
    while at >= 0:
        before, after = text[:at].rstrip(" ")[-1:], text[at + len(part) :].lstrip(" ")[:1]
        if (not before or before in _BEFORE) and (not after or after in _AFTER):
            return True
        at = text.find(part, at + 1)
    return False


def held_passages(words: Ragged, benchmark: Benchmark) -> pl.DataFrame:
    """Long texts of the benchmark that texts hold.

    What counts is which of a passage's telling words stand in runs of 13 that the text has too: all of them
    where it has fewer than :data:`LONG_WORDS`, else :data:`LONG_SHARE`.

    Args:
        words: of both sides of conversations, in normal form.
        benchmark: fingerprints.

    Returns:
        ``row`` (of ``words``), ``passage`` and ``share`` of its telling words.
    """
    known, owners = benchmark.ngrams
    if not len(known):
        return pl.DataFrame(schema=HELD)
    runs = ngram_hashes(words, NGRAM_WORDS)
    at = np.flatnonzero(contains(np.unique(known), runs.values))
    values = runs.values[at]
    rows = np.searchsorted(runs.starts, at, "right") - 1
    hits = pl.DataFrame({"row": rows, "ngram": values}).unique()
    pairs = hits.join(pl.DataFrame({"ngram": known, "passage": owners}), on="ngram")
    passages = {p: (np.array(n, np.uint64), np.array(s)) for p, n, s in _narrow(benchmark, pairs)}
    found = []
    for (row, passage), group in pairs.group_by("row", "passage"):
        ngrams, starts = passages[passage]
        telling = _covered(starts)
        share = len(_covered(starts[np.isin(ngrams, group["ngram"].to_numpy())])) / len(telling)
        if share >= (LONG_SHARE if len(telling) >= LONG_WORDS else 1.0):
            found.append((row, passage, share))
    return pl.DataFrame(found, schema=HELD, orient="row").sort("row", "passage")


def _narrow(benchmark: Benchmark, pairs: pl.DataFrame) -> list[tuple[int, list[int], list[int]]]:
    rows = benchmark.passages.join(pairs.select("passage").unique(), on="passage", how="semi")
    return rows.select("passage", "ngrams", "starts").rows()


def _covered(starts: Places) -> Places:
    """The words that runs which begin at these words cover."""
    return np.unique(starts[:, None] + np.arange(NGRAM_WORDS))
