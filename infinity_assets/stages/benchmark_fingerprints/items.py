"""From samples of a benchmark to fingerprints. Pure functions on tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
import pyarrow as pa

from infinity_assets.similarity.exchanges import Exchange, Exchanges
from infinity_assets.similarity.ngrams import NGRAM_WORDS
from infinity_assets.similarity.shingles import SHINGLE_VERSION, word_hashes
from infinity_assets.stages.benchmark_fingerprints.passages import TEMPLATE, Said, passages, word_counts
from infinity_assets.stages.benchmark_fingerprints.schema import BENCHMARK_FINGERPRINTS
from infinity_assets.stages.verdicts import KEEP, QUARANTINE

#: Raised when the same item gives other fingerprints.
FINGERPRINT_VERSION: Final = (2, NGRAM_WORDS, TEMPLATE, SHINGLE_VERSION)

#: Columns of ``unified`` that are read.
UNIFIED_COLUMNS: Final = (
    "sample_id",
    "turns",
    "media",
    "image_ids",
    "question_hashes",
    "turn_hashes",
    "verdict",
    "reason",
)
#: Columns of ``images`` that are read.
IMAGE_COLUMNS: Final = ("image_id", "pixel_hash", "phash", "low_detail", "signature")


def fingerprint_items(rows: pa.Table, images: pl.DataFrame) -> pa.Table:
    """The fingerprints of a whole benchmark.

    An item whose picture is missing or broken is quarantined in ``unified``; its text is compared all the
    same. Only an item of which neither a text nor a picture could be read has no fingerprint: it is in
    quarantine here, for the reason that ``unified`` gave.

    Args:
        rows: all rows of the benchmark in ``unified``, with :data:`UNIFIED_COLUMNS`.
        images: :data:`IMAGE_COLUMNS` of its decoded pictures.

    Returns:
        One row for each item, in order, in the schema of ``benchmark_fingerprints``.
    """
    known = {row["image_id"]: row for row in images.iter_rows(named=True) if row["signature"] is not None}
    exchanges = Exchanges()
    said: list[Said] = []
    media: list[tuple[str, ...]] = []
    found: list[dict[str, Any]] = []
    for item, row in enumerate(rows.select(UNIFIED_COLUMNS).to_pylist()):
        spoken = exchanges.of([(turn["role"], turn["text"]) for turn in row["turns"]])
        for exchange, question in zip(spoken, row["question_hashes"], strict=True):
            said.append(Said(item, question, exchange.question, True))
            said += [Said(item, question, answer, False) for answer in exchange.answers]
        media.append(tuple(m["image_id"] or m["ref"] for m in row["media"]))
        found.append(
            {
                "item_id": row["sample_id"],
                **_pictures([known[i] for i in row["image_ids"] if i in known]),
                "media": len(row["media"]),
                "question_hashes": row["question_hashes"],
                "turn_hashes": row["turn_hashes"],
                "questions": [exchange.question for exchange in spoken],
                "question_words": word_counts([exchange.question for exchange in spoken]),
                "answered": [any(exchange.answers) for exchange in spoken],
                "answer_words": _answer_words(spoken),
                **_verdict(row, known),
            }
        )
    for entry, long in zip(found, passages(said, media), strict=True):
        entry["passages"] = long
    return pa.Table.from_pylist(found, BENCHMARK_FINGERPRINTS.schema)


def _answer_words(spoken: list[Exchange]) -> list[list[int]]:
    """Hashes of the words of each answer; none of a long one, which is a passage."""
    words = word_hashes(["\n".join(exchange.answers) for exchange in spoken])
    rows = (words.row(i).tolist() for i in range(len(spoken)))
    return [row if len(row) < NGRAM_WORDS else [] for row in rows]


def _pictures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "decoded_ids": [row["image_id"] for row in rows],
        "pixel_hashes": [row["pixel_hash"] for row in rows],
        "phashes": [row["phash"] for row in rows],
        "low_detail": [bool(row["low_detail"]) for row in rows],
        "signatures": [row["signature"] for row in rows],
    }


def _verdict(row: dict[str, Any], images: Mapping[str, Any]) -> dict[str, Any]:
    if row["turn_hashes"] or any(i in images for i in row["image_ids"]):
        return {"verdict": KEEP, "reason": None, "detail": None}
    reason = row["reason"] or "no_fingerprint"
    return {"verdict": QUARANTINE, "reason": reason, "detail": "neither a text nor a picture to compare"}
