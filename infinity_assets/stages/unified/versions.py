"""What a row of ``unified`` is made by, apart from the reader of its source."""

from __future__ import annotations

from infinity_assets.stages.publish import code_version
from infinity_assets.stages.unified.draft import DRAFT_VERSION
from infinity_assets.stages.unified.finalize import FINAL_VERSION
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.unified.text import CANONICAL_VERSION, TEXT_MEASURE_VERSION, fingerprint_version


def unified_version() -> str:
    """The stage's code version."""
    return code_version(
        UNIFIED.version,
        DRAFT_VERSION,
        FINAL_VERSION,
        CANONICAL_VERSION,
        TEXT_MEASURE_VERSION,
        *fingerprint_version(),
    )
