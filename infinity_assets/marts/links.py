"""Addresses of the sample pages, for every figure of a snapshot; needs neither tables nor a server."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote, urlencode

from infinity_assets.lineage.ids import IMAGE_ID, SAMPLE_ID

#: What the explorer filters by; a link is its whole view. ``near`` is the id of a sample.
FILTERS: Final = (
    "source",
    "stage",
    "verdict",
    "reason",
    "tag",
    "question_type",
    "language",
    "licence",
    "check",
    "text",
    "near",
)
#: Stages whose rows are no samples, or have no verdict of one: they are listed as they lie in their table.
LISTED: Final = frozenset({"raw", "images", "duplicate_ledger", "synthesis_qa", "scored", "mixed"})
STAGES: Final = frozenset({"unified", "deduped", "tagged", "synthesized", "filtered"}) | LISTED

_NAME: Final = re.compile(r"[a-z0-9_]{1,64}")
_RUN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def explore(base: str, **filters: str | None) -> str:
    """The explorer's page with these filters.

    Args:
        base: ``http://host:port`` of the sample pages.
        filters: by a name of ``FILTERS``; those that are None or empty are left out.

    Raises:
        ValueError: for a filter that the explorer does not have.
    """
    if unknown := set(filters) - set(FILTERS):
        raise ValueError(f"the explorer does not filter by {', '.join(sorted(unknown))}")
    query = urlencode({name: filters[name] for name in FILTERS if filters.get(name)}, quote_via=quote)
    return f"{base.rstrip('/')}/explore" + (f"?{query}" if query else "")


class Addresses:
    """Pages of the sample server; None where it has none of that name."""

    def __init__(self, base: str) -> None:
        self.base = base.rstrip("/")

    def rows(
        self, stage: str, partition: str | None, verdict: str | None = "", reason: str | None = ""
    ) -> str | None:
        """The rows of a stage: of one partition, or of all where the explorer has them."""
        if stage not in STAGES or any(part and not _NAME.fullmatch(part) for part in (partition, reason)):
            return None
        if partition is None and stage in LISTED:
            return f"{self.base}/stage/{stage}"
        if partition is None:
            return explore(self.base, stage=stage, verdict=verdict, reason=reason)
        query = urlencode({k: v for k, v in (("verdict", verdict), ("reason", reason)) if v})
        return f"{self.base}/stage/{stage}/{partition}" + (f"?{query}" if query else "")

    def explore(self, **filters: str | None) -> str:
        """Samples by any filter of the explorer."""
        return explore(self.base, **filters)

    def kept(self, **filters: str | None) -> str:
        """Samples that filtered kept, likewise."""
        return explore(self.base, stage="filtered", verdict="keep", **filters)

    def mixed(self, source: str | None, verdict: str, reason: str | None = None) -> str:
        """Samples of a source that are in a mix, or are not."""
        return explore(self.base, stage="mixed", source=source, verdict=verdict, reason=reason)

    def share(self, stage: str, partition: str, measure: str, code: str) -> str | None:
        """The rows behind a share of the mart ``drift``."""
        if measure in {"language", "question_type"}:
            return explore(self.base, source=partition, stage=stage, verdict="keep", **{measure: code})
        return self.rows(stage, partition, "", code if measure == "reason" else "")

    def check(self, check: dict[str, Any]) -> str | None:
        """The rows that failed a contract's check, as cards; None for dbt's, whose rows are linked."""
        where = (check["stage"], check["partition"], check["name"])
        if check["engine"] != "contract" or not all(part and _NAME.fullmatch(part) for part in where):
            return None
        run = check["run_id"] if _RUN.fullmatch(check["run_id"] or "") else None
        return f"{self.base}/check/{'/'.join(where)}" + (f"?run={run}" if run else "")

    def row(self, partition: str | None, row_id: str | None) -> str | None:
        """The page of a sample, a line or a picture."""
        if row_id is not None and SAMPLE_ID.fullmatch(row_id):
            return f"{self.base}/s/{row_id}"
        if row_id is not None and partition is not None and IMAGE_ID.fullmatch(row_id):
            return f"{self.base}/image/{quote(partition, safe='')}/{row_id}?w=640"
        return None
