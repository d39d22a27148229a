"""Kinds of contamination, their table, and what the policy makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from infinity_assets.store.tables import TableSpec

#: The question of an item about its picture.
CONTAMINATED: Final = "contaminated"
#: A long text of an item where no picture tells it from another, a short one where neither has a picture.
CONTAMINATED_TEXT: Final = "contaminated_text"
#: The picture of an item, asked about otherwise.
CONTAMINATED_IMAGE: Final = "contaminated_image"
#: A long text of an item about other pictures: a template, or a picture that was changed beyond recognition.
CONTAMINATED_WORDING: Final = "contaminated_wording"

#: From the strongest to the weakest, with words for it that a person reads before the item's id.
KINDS: Final[Mapping[str, str]] = {
    CONTAMINATED: "the question and picture of",
    CONTAMINATED_TEXT: "the text of",
    CONTAMINATED_IMAGE: "the picture of",
    CONTAMINATED_WORDING: "the wording, about other pictures, of",
}

CONTAMINATION: Final = TableSpec(
    name="contamination",
    version=1,
    key="hit_id",
    schema=pa.schema(
        [
            pa.field("hit_id", pa.string(), nullable=False),  # <benchmark>:<kind>:<sample_id>
            pa.field("sample_id", pa.string(), nullable=False),
            pa.field("benchmark", pa.string(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("item_id", pa.string(), nullable=False),  # the most alike of the benchmark
            pa.field("score", pa.float32(), nullable=False),  # 1 is equal
        ]
    ),
)

#: A sample's contamination in the table ``filtered``.
FOUND: Final = pa.struct([CONTAMINATION.schema.field(n) for n in ("benchmark", "kind", "item_id", "score")])


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KindPolicy(_Model):
    """What follows from one kind."""

    action: Literal["drop", "annotate"]
    source: str = ""  #: paper section, or "our choice" with the reason


class ContaminationPolicy(_Model):
    """What follows from each kind of contamination. A reason is the name of the kind."""

    contaminated: KindPolicy = KindPolicy(action="drop")
    contaminated_text: KindPolicy = KindPolicy(action="drop")
    contaminated_image: KindPolicy = KindPolicy(action="annotate")
    contaminated_wording: KindPolicy = KindPolicy(action="annotate")

    @property
    def dropping(self) -> tuple[str, ...]:
        """The kinds that drop a sample, from the strongest to the weakest."""
        return tuple(kind for kind in KINDS if getattr(self, kind).action == "drop")
