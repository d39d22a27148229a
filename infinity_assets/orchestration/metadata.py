"""What Dagster shows of a published partition: counts, ids, links. The UI plots numbers over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from infinity_assets.lineage.columns import meanings
from infinity_assets.models.vlm.costs import Cost, from_json
from infinity_assets.orchestration.links import Links, code
from infinity_assets.stages.publish import StageResult
from infinity_assets.stages.verdicts import DROP, KEEP, QUARANTINE
from infinity_assets.store.tables import TableSpec

Metadata = dict[str, Any]


def column_schema(table: TableSpec) -> dg.TableSchema:
    """A table's columns as Dagster draws them, with what they mean."""
    told = meanings(table.name)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(f.name, str(f.type), told[f.name], dg.TableColumnConstraints(nullable=f.nullable))
            for f in table.schema
        ]
    )


def materialization_metadata(result: StageResult, seconds: float, links: Links) -> Metadata:
    """The metadata that every stage has.

    Args:
        result: what was published.
        seconds: wall time of the stage.
        links: the preview server.
    """
    published, counts = result.published, result.counts
    table, partition = published.table.name, published.partition
    metadata: Metadata = {
        "dagster/row_count": published.rows,
        "dagster/column_schema": column_schema(published.table),
        "dagster/uri": published.uri,
        "rows_in": counts.rows_in,
        "kept": counts.kept,
        "dropped": counts.dropped,
        "quarantined": counts.quarantined,
        "kept_share": counts.kept / max(counts.rows, 1),
        "reasons": dg.MetadataValue.json(dict(counts.reasons)),
        "committed": result.committed,
        "lance_version": published.version,
        "data_version": published.data_version,
        "seconds": round(seconds, 3),
        "rows_per_second": round(counts.rows_in / max(seconds, 1e-3), 1),
    }
    if counts.reasons:
        metadata["why_not_kept"] = links.reasons(table, partition, dict(counts.reasons), counts.rows)
    for verdict, n in ((KEEP, counts.kept), (DROP, counts.dropped), (QUARANTINE, counts.quarantined)):
        address = links.listing(table, partition, verdict if counts.rows > counts.kept else "")
        if n and address is not None:
            metadata[f"all_{verdict}"] = dg.MetadataValue.url(address)
    if result.kept_examples:
        metadata["kept_examples"] = links.rows(table, partition, result.kept_examples)
    if result.dropped_examples:
        metadata["dropped_examples"] = links.rows(table, partition, result.dropped_examples)
    return metadata


def notes_metadata(notes: Mapping[str, Any]) -> Metadata:
    """A stage's own counts: numbers and codes as they are, mappings and lists as JSON."""
    plain = (bool, int, float, str)
    return {
        k: v if isinstance(v, plain) else dg.MetadataValue.json(v) for k, v in notes.items() if v is not None
    }


def told_with_costs(notes: Mapping[str, Any], kept: int, what: str) -> Metadata:
    """Notes of a stage that may have asked a model; then its ``costs`` are shown as a ledger."""
    metadata = notes_metadata({name: value for name, value in notes.items() if name != "costs"})
    if "costs" in notes:
        metadata |= cost_metadata(from_json(notes["costs"]), notes["currency"], kept, what)
    return metadata


def cost_metadata(costs: Sequence[Cost], currency: str, kept: int, what: str) -> Metadata:
    """The cost ledger: a table by prompt and model, and numbers that Dagster plots from run to run.

    Args:
        costs: of what is published, and of this run.
        currency: of the engine's prices.
        kept: what is published, in numbers.
        what: the name of one of them.
    """
    paid = sum(cost.cost for cost in costs)
    head = [
        "prompt",
        "model",
        "requests",
        "failed",
        "prompt tokens",
        "completion tokens",
        currency,
        f"{currency} a kept {what}",
        "asked by this run",
        f"{currency} of this run",
    ]
    rows = [
        [
            *(c.prompt, c.model, c.requests, c.failed, c.prompt_tokens, c.completion_tokens, c.cost),
            *(c.cost / kept if kept else None, c.asked, c.spent),
        ]
        for c in costs
    ]
    metadata: Metadata = {
        "cost": float(paid),
        "cost_of_this_run": float(sum(cost.spent for cost in costs)),
        "requests": sum(cost.requests for cost in costs),
        "requests_of_this_run": sum(cost.asked for cost in costs),
        "currency": currency,
        "cost_ledger": markdown_table(head, rows),
    }
    if kept:
        metadata[f"cost_per_kept_{what}"] = paid / kept
    return metadata


def markdown_table(
    head: Sequence[str], rows: Sequence[Sequence[Any]], shown: int = 50
) -> dg.MarkdownMetadataValue:
    """A table; text is quoted, numbers stand right, rows beyond ``shown`` are counted."""
    numeric = [bool(rows) and all(isinstance(r[i], int | float) for r in rows) for i in range(len(head))]
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---:" if n else "---" for n in numeric) + "|"]
    lines += ["| " + " | ".join(_text(v) for v in row) + " |" for row in rows[:shown]]
    if len(rows) > shown:
        lines.append(f"\n… and {len(rows) - shown:,} more")
    return dg.MetadataValue.md("\n".join(lines))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else code(str(value))
