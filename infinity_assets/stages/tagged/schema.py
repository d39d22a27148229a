"""One row for each kept sample of deduped: what it is about and what kind of question it asks."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from infinity_assets.stages.verdicts import VERDICT_FIELDS
from infinity_assets.store.tables import TableSpec

TAGGED: Final = TableSpec(
    name="tagged",
    version=2,
    key="sample_id",
    schema=pa.schema(
        [
            pa.field("sample_id", pa.string(), nullable=False),
            pa.field("image_tags", pa.list_(pa.string()), nullable=False),  # sorted, of the vocabulary
            pa.field(
                "tag_sources", pa.list_(pa.string()), nullable=False
            ),  # caption, annotation, conversation or picture: one per tag
            pa.field("tag_logits", pa.list_(pa.float32()), nullable=False),  # one per tag; null unless seen
            pa.field("question_type", pa.string()),  # by rule; null where there is no question
            # The three levels of each question's leaf, one for each user turn that says something, in order;
            # null where no rule holds, and where there is nothing to see.
            pa.field("instruction_l1", pa.list_(pa.string()), nullable=False),
            pa.field("instruction_l2", pa.list_(pa.string()), nullable=False),
            pa.field("instruction_l3", pa.list_(pa.string()), nullable=False),
            pa.field("vocabulary", pa.string(), nullable=False),  # name and version of the tag list
            pa.field("taxonomy", pa.string(), nullable=False),  # name and version of the tree of instructions
            *VERDICT_FIELDS,
        ]
    ),
)
