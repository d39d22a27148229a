"""Addresses of the sample pages and the dashboard, for metadata: the event log holds ids and links alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg

from infinity_assets.explorer.schema import STAGES
from infinity_assets.lineage.columns import tables
from infinity_assets.lineage.ids import IMAGE_ID, SAMPLE_ID
from infinity_assets.preview.lookups import REASON, TABLES
from infinity_assets.stages.mixed.schema import MIXED

#: Pages of the dashboard, where an asset has a better one than the health of all stages.
_PAGES: Final = {
    "deduped": "funnel",
    "filtered": "funnel",
    "quality_marts": "checks",
    "quality_snapshot": "checks",
    "unified": "funnel",
}


@dataclass(frozen=True, slots=True)
class Links:
    """Links to one preview server."""

    base: str  #: ``http://host:port``
    dashboard: str | None = None  #: likewise; nothing leads there without

    def listing(self, table: str, partition: str, verdict: str = "", reason: str = "") -> str | None:
        """The rows of a stage; None where the server has no pages of that table."""
        if table not in TABLES:
            return None
        query = "&".join(f"{k}={v}" for k, v in (("verdict", verdict), ("reason", reason)) if v)
        return f"{self.base.rstrip('/')}/stage/{table}/{partition}" + (f"?{query}" if query else "")

    def asset(self, name: str) -> dict[str, dg.UrlMetadataValue]:
        """What the page of an asset leads to, before anything is materialized."""
        base, found = self.base.rstrip("/"), {}
        if name in TABLES:
            found["samples"] = f"{base}/stage/{name}"
        if name in (*STAGES, MIXED.name):
            found["explorer"] = self.explorer(name)
        if name in tables():
            found["columns"] = f"{base}/lineage/{name}"
        if self.dashboard is not None:
            found["dashboard"] = f"{self.dashboard.rstrip('/')}/{_PAGES.get(name, 'health')}"
        return {key: dg.MetadataValue.url(address) for key, address in found.items()}

    def led(self, spec: dg.AssetSpec) -> dg.AssetSpec:
        """An asset whose page leads on: by links under its description, and as metadata."""
        found = self.asset(spec.key.to_user_string())
        told = " · ".join(f"[{name}]({address.url})" for name, address in found.items())
        described = f"{spec.description or ''}\n\n{told}" if told else spec.description
        return spec.merge_attributes(metadata=found).replace_attributes(description=described)

    def explorer(self, table: str, partition: str = "") -> str:
        """The samples of a stage as cards that can be filtered and searched."""
        source = f"source={partition}&" if partition else ""
        return f"{self.base.rstrip('/')}/explore?{source}stage={table}"

    def check(self, table: str, partition: str, name: str, run_id: str) -> str:
        """The rows that failed a check in a run, as cards."""
        return f"{self.base.rstrip('/')}/check/{table}/{partition}/{name}?run={run_id}"

    def row(self, partition: str, row_id: str) -> str | None:
        """The page of one row: a sample's card or a picture; None where it has none (a file, a shard)."""
        base = self.base.rstrip("/")
        if SAMPLE_ID.fullmatch(row_id):
            return f"{base}/s/{row_id}"
        return f"{base}/image/{partition}/{row_id}?w=640" if IMAGE_ID.fullmatch(row_id) else None

    def rows(self, table: str, partition: str, ids: Sequence[str]) -> dg.MarkdownMetadataValue:
        """A list of links, and one to all rows of the stage."""
        lines = []
        for row_id in ids:
            link = self.row(partition, row_id)
            lines.append(f"- [`{row_id}`]({link})" if link else f"- {code(row_id)}")
        return dg.MetadataValue.md("\n".join(lines) or "none")

    def reasons(
        self, table: str, partition: str, reasons: dict[str, int], rows: int
    ) -> dg.MarkdownMetadataValue:
        """A table of reason codes with counts and shares, each linked to its rows."""
        lines = ["| reason | rows | share |", "|---|---:|---:|"]
        for reason, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
            link = self.listing(table, partition, reason=reason) if REASON.fullmatch(reason) else None
            name = f"[`{reason}`]({link})" if link else code(reason)
            lines.append(f"| {name} | {n:,} | {n / max(rows, 1):.1%} |")
        return dg.MetadataValue.md("\n".join(lines) if reasons else "none")


def code(text: str) -> str:
    """Foreign text (a file name, an odd id) in Markdown: shown as it is, never read as Markdown."""
    quiet = "".join(c if c.isprintable() and c not in "`|" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return f"`{quiet[:200]}`"
