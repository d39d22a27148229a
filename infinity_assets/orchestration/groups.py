"""Names that several assets share: owners, and groups numbered so that the graph reads as the pipeline."""

from __future__ import annotations

from typing import Final

INGEST: Final = "s1_ingest"
DEDUPLICATE: Final = "s2_deduplicate"
ENRICH: Final = "s3_enrich"
SELECT: Final = "s4_select"
MIX: Final = "s5_mix"
EXPORT: Final = "s6_export"

ENGINEERS: Final = "team:data-engineering"
LEADS: Final = "team:data-lead"


def code_version(*parts: int) -> str:
    """Versions of whatever changes what the same input gives, as one: the table's schema first."""
    return ".".join(map(str, parts))
