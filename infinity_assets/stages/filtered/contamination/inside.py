"""Which short items of a benchmark stand inside of longer texts: see :mod:`.short_items`."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from infinity_assets.similarity.shingles import contains, ngram_hashes
from infinity_assets.stages.filtered.contamination.batch import Batch
from infinity_assets.stages.filtered.contamination.short_items import SHORT_WORDS, Wanted
from infinity_assets.stages.filtered.contamination.wording import stands_in

INSIDE: Final = {"row": pl.Int64, "item": pl.Int64, "score": pl.Float32}


def items_inside(batch: Batch, wanted: Wanted) -> pl.DataFrame:
    """Samples without pictures and items that stand in them, each pair once.

    Candidates are found by one run of each wanted text, then all of its words are compared.

    Args:
        batch: samples.
        wanted: of a benchmark.

    Returns:
        ``row``, ``item`` and ``score``, which is 1.
    """
    if not len(wanted.anchor):
        return pl.DataFrame(schema=INSIDE)
    said = batch.unpictured
    words = said.words
    runs = ngram_hashes(words, SHORT_WORDS)
    at = np.flatnonzero(contains(np.unique(wanted.anchor), runs.values))
    text = np.searchsorted(runs.starts, at, "right") - 1
    place = words.starts[text] + at - runs.starts[text]
    hits = pl.DataFrame({"anchor": runs.values[at], "text": text, "place": place})
    known = pl.DataFrame({"anchor": wanted.anchor, "wanted": np.arange(len(wanted.anchor))})
    pairs = hits.join(known, on="anchor")
    text, run = pairs["text"].to_numpy(), pairs["wanted"].to_numpy()
    start = pairs["place"].to_numpy() - wanted.offset[run]
    lengths = wanted.words.lengths[run]
    inside = (start >= words.starts[text]) & (start + lengths <= words.starts[text + 1])
    found: set[tuple[int, int]] = set()
    for length in np.unique(lengths[inside]).tolist():
        mine = np.flatnonzero(inside & (lengths == length))
        span = np.arange(length)
        here = words.values[start[mine, None] + span]
        there = wanted.words.values[wanted.words.starts[run[mine], None] + span]
        for i in mine[(here == there).all(axis=1)].tolist():
            question = wanted.question[run[i]]
            if question is None or stands_in(said.asked[text[i]], question):
                found.add((said.rows[text[i]], int(wanted.item[run[i]])))
    return pl.DataFrame([(*pair, 1.0) for pair in sorted(found)], schema=INSIDE, orient="row")
