"""What the explorer knows of each sample: one row for each of ``unified`` and ``synthesized``."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

#: Raised when a column is added, removed or changes its meaning: indexes of before are made anew.
INDEX_VERSION: Final = 1
TEXT: Final = 8_000  #: characters of a conversation that are searched (our choice)
QUESTION: Final = 1_000  #: characters of the questions that are compared (our choice)
HASH_BYTES: Final = 40  #: dHash (32) and pHash (8) of a picture

INDEXED: Final = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field(
            "stage", pa.string(), nullable=False
        ),  # that did not keep it, else the last that looked at it
        pa.field("verdict", pa.string(), nullable=False),  # of that stage, like reason and detail
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        # Of each stage that has a row for it: "<stage>", "<stage> <verdict>", and "<stage> <reason>" if any;
        # of ``images`` what any of its pictures has.
        pa.field("history", pa.list_(pa.string()), nullable=False),
        pa.field("findings", pa.list_(pa.string()), nullable=False),  # rules that it fails, dropping or not
        pa.field("tags", pa.list_(pa.string()), nullable=False),  # of its pictures
        pa.field("instructions", pa.list_(pa.string()), nullable=False),  # leaves of the tree
        pa.field("question_type", pa.string()),
        pa.field("language", pa.string()),
        pa.field("licence", pa.string(), nullable=False),
        pa.field("image_id", pa.string()),  # of the first picture that can be shown
        pa.field("picture", pa.list_(pa.uint8(), HASH_BYTES)),  # its dHash, then its pHash
        pa.field("question", pa.string(), nullable=False),  # of all turns of the user, cut
        pa.field("text", pa.string(), nullable=False),  # of all turns, cut
    ]
)

#: Stages whose verdicts stand in ``history``, in pipeline order.
STAGES: Final = ("images", "unified", "deduped", "tagged", "synthesized", "scored", "filtered")
