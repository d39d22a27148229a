"""Rows of ``unified`` as short literals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from infinity_assets.stages.unified.schema import TURN

SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("turns", pa.list_(TURN)),
        ("image_ids", pa.list_(pa.string())),
        ("licence", pa.string()),
        ("language", pa.string()),
        ("language_score", pa.float32()),
        ("question_tokens", pa.int32()),
        ("answer_tokens", pa.int32()),
    ]
)

#: Two good pictures, and one that breaks every rule about pictures.
IMAGES = pl.DataFrame(
    {
        "image_id": ["good", "other", "bad", "unmeasured"],
        "width": [640, 800, 4096, None],
        "height": [480, 600, 200, None],
        "blur": [500.0, 400.0, 1.5, None],
        "entropy": [7.0, 6.5, 0.25, None],
    },
    schema={
        "image_id": pl.String,
        "width": pl.Int32,
        "height": pl.Int32,
        "blur": pl.Float32,
        "entropy": pl.Float32,
    },
)

QUESTION = ("user", "<image>\nWhat is on the table?")
ANSWER = ("assistant", "A red cup and two plates.")


def sample(number: int, *turns: tuple[str, str], **changes: Any) -> dict[str, Any]:
    """One row; a good one unless told otherwise."""
    said = turns or (QUESTION, ANSWER)
    good = {
        "sample_id": f"s-{number:032x}",
        "turns": [{"role": role, "text": text} for role, text in said],
        "image_ids": ["good"] if any("<image>" in text for _, text in said) else [],
        "licence": "CC-BY-4.0",
        "language": "en",
        "language_score": 0.99,
        "question_tokens": 8,
        "answer_tokens": 8,
    }
    return {**good, **changes}


def rows_of(samples: Sequence[dict[str, Any]]) -> pa.Table:
    """As a table."""
    return pa.Table.from_pylist(list(samples), SCHEMA)
