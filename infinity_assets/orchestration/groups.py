"""Names that several assets share: owners, and groups numbered so that the graph reads as the pipeline."""

from __future__ import annotations

from typing import Final

from infinity_assets.stages import publish

INGEST: Final = "s1_ingest"
DEDUPLICATE: Final = "s2_deduplicate"
ENRICH: Final = "s3_enrich"
SELECT: Final = "s4_select"
MIX: Final = "s5_mix"
EXPORT: Final = "s6_export"
QUALITY: Final = "s7_quality"

ENGINEERS: Final = "team:data-engineering"
LEADS: Final = "team:data-lead"

#: Of an asset, as its stage writes it beside what it publishes.
code_version = publish.code_version
