"""What the same samples are compared by: equal versions give equal edges and decisions."""

from __future__ import annotations

from typing import Final

from infinity_assets.similarity.annotations import ANNOTATIONS_VERSION
from infinity_assets.similarity.crops import CROPS_VERSION
from infinity_assets.similarity.pictures import WITNESS_VERSION
from infinity_assets.similarity.signature import SIGNATURE_VERSION
from infinity_assets.similarity.texts import NEAR_TEXT_VERSION
from infinity_assets.stages.duplicate_ledger.near_images import NEAR_IMAGE_VERSION

#: Raised when the same fingerprints give other edges, or the same edges another decision.
LEDGER_VERSION: Final = 3

MADE_BY: Final = (
    LEDGER_VERSION,
    NEAR_IMAGE_VERSION,
    SIGNATURE_VERSION,
    WITNESS_VERSION,
    CROPS_VERSION,
    ANNOTATIONS_VERSION,
    *NEAR_TEXT_VERSION,
)
