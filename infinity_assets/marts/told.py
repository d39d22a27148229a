"""The small tables of a snapshot: what manifests, catalogue, kept checks and the snapshot before say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from infinity_assets.marts.narrow import Narrow
from infinity_assets.platform import Platform
from infinity_assets.stages.exported.formats import EXPORTERS
from infinity_assets.stages.exported.schema import exported_spec
from infinity_assets.stages.filtered.contamination.kinds import KINDS
from infinity_assets.stages.filtered.contamination.report import contamination_report
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.publish import count, kept_checks
from infinity_assets.store.tables import Published

_TEXT, _INT, _REAL, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()

#: Snapshots that shares and results of dbt's tests are remembered of.
REMEMBERED: Final = 30

SMALL: Final[Mapping[str, pa.Schema]] = {
    "sources": pa.schema(
        {"source": _TEXT, "category": _TEXT, "licence": _TEXT, "evaluation": _BOOL, "in_catalogue": _BOOL}
    ),
    "partitions": pa.schema(
        {
            **dict.fromkeys(("stage", "partition"), _TEXT),
            **dict.fromkeys(("rows_in", "rows", "kept", "dropped", "quarantined"), _INT),
            **dict.fromkeys(("data_version", "run_id"), _TEXT),
        }
    ),
    "mix_asked": pa.schema(
        {
            **dict.fromkeys(("training_stage", "category", "source"), _TEXT),
            **dict.fromkeys(("asked", "eligible", "selected", "realised", "short", "tokens"), _INT),
        }
    ),
    "exports": pa.schema(
        {
            **dict.fromkeys(("training_stage", "format", "mix_version"), _TEXT),
            **dict.fromkeys(("lines", "bytes"), _INT),
        }
    ),
    "compared": pa.schema(
        {"benchmark": _TEXT, "source": _TEXT, "items": _INT, "samples": _INT, "up_to_date": _BOOL}
    ),
    "kinds": pa.schema({"kind": _TEXT, "drops": _BOOL}),
    "checks": pa.schema(
        {
            **dict.fromkeys(("engine", "stage", "partition", "name", "run_id", "checked_at"), _TEXT),
            "number": _INT,  # of the run or snapshot in which it was checked; the last is the greatest
            **dict.fromkeys(("blocking", "passed"), _BOOL),
            "failed_rows": _INT,
            "failing_ids": pa.list_(_TEXT),
            "told": _TEXT,
        }
    ),
    "history": pa.schema(
        {
            "snapshot": _INT,
            **dict.fromkeys(("stage", "partition", "measure", "code"), _TEXT),
            "rows": _INT,
            "share": _REAL,
        }
    ),
}


def small_tables(
    platform: Platform, taken: Sequence[tuple[Narrow, Published]], before: Path | None, number: int
) -> dict[str, pa.Table]:
    """One table for each entry of ``SMALL``.

    Args:
        platform: store, catalogue and policy.
        taken: the partitions of the snapshot.
        before: folder of the snapshot before this one, where there is one.
        number: of that one; 0 where there is none.
    """
    rows = {
        "sources": _sources(platform, {table.partition for one, table in taken if one.partition == "source"}),
        "partitions": [_partition(table) for _, table in taken],
        "mix_asked": [
            {**row, "training_stage": table.partition}
            for _, table in taken
            if table.table is MIXED
            for row in table.notes["summary"]
        ],
        "exports": _exports(platform, [table for _, table in taken if table.table is MIXED]),
        "compared": [{**row, "up_to_date": row["compared"]} for row in contamination_report(platform)],
        "kinds": [{"kind": kind, "drops": kind in platform.policy.contamination.dropping} for kind in KINDS],
        "checks": [row for _, table in taken for row in _checks(platform, table)],
        "history": [],
    }
    tables = {name: _table(found, SMALL[name]) for name, found in rows.items()}
    if before is not None:
        tables["checks"] = pa.concat_tables([tables["checks"], _tests_before(before, number)])
        tables["history"] = _history(before, number)
    return tables


def _table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)


def _sources(platform: Platform, published: set[str]) -> list[dict[str, Any]]:
    rows = []
    for name in sorted(published | set(platform.catalogue)):
        spec = platform.catalogue[name].spec if name in platform.catalogue else None
        rows.append(
            {
                "source": name,
                "category": spec.category if spec else None,
                "licence": spec.licence.id if spec else None,
                "evaluation": spec is not None and spec.category == "evaluation",
                "in_catalogue": spec is not None,
            }
        )
    return rows


def _partition(table: Published) -> dict[str, Any]:
    counts = count(table.shards, int(table.notes.get("rows_in", table.rows)))
    return {
        "stage": table.table.name,
        "partition": table.partition,
        "rows_in": counts.rows_in,
        "rows": table.rows,
        "kept": counts.kept,
        "dropped": counts.dropped,
        "quarantined": counts.quarantined,
        "data_version": table.data_version,
        "run_id": table.run_id,
    }


def _exports(platform: Platform, mixes: Sequence[Published]) -> list[dict[str, Any]]:
    rows = []
    for mix in mixes:
        for form in EXPORTERS:
            found = platform.store.published(exported_spec(form), mix.partition)
            if found is not None:
                rows.append(
                    {
                        "training_stage": mix.partition,
                        "format": form,
                        "mix_version": found.inputs.get(f"{MIXED.name}/{mix.partition}"),
                        "lines": found.notes["samples"],
                        "bytes": found.notes["bytes"],
                    }
                )
    return rows


def _checks(platform: Platform, table: Published) -> list[dict[str, Any]]:
    """Results of the contract's checks, as far back as they are kept."""
    rows = []
    for number, run in enumerate(kept_checks(platform.store, table.table.name, table.partition), 1):
        for check in run["checks"]:
            head = {"engine": "contract", "stage": table.table.name, "partition": table.partition}
            rows.append({**head, **check, "number": number, "run_id": run["run_id"], "checked_at": run["at"]})
    return rows


def _tests_before(before: Path, number: int) -> pa.Table:
    """Results of dbt's tests in the last snapshots."""
    schema = SMALL["checks"]
    table = pl.read_parquet(before / "marts" / "check_results.parquet")
    kept = table.filter(pl.col("engine") == "dbt", pl.col("number") > number - REMEMBERED)
    return kept.select(schema.names).to_arrow().cast(schema)


def _history(before: Path, number: int) -> pa.Table:
    """Shares in the last snapshots, this one's left out: dbt computes them."""
    schema = SMALL["history"]
    older = pl.read_parquet(before / "history" / "all.parquet")
    last = pl.read_parquet(before / "marts" / "shares.parquet").with_columns(
        snapshot=pl.lit(number, pl.Int64), rows=pl.col("rows").cast(pl.Int64)
    )
    both = pl.concat([older.select(schema.names), last.select(schema.names)], how="vertical_relaxed")
    return both.filter(pl.col("snapshot") > number - REMEMBERED).to_arrow().cast(schema)


def write_small(folder: Path, tables: Mapping[str, pa.Table]) -> None:
    """Each table as ``<folder>/<name>/all.parquet``."""
    for name, table in tables.items():
        (folder / name).mkdir()
        pq.write_table(table, folder / name / "all.parquet", compression="zstd")


def as_json(tables: Mapping[str, pa.Table]) -> str:
    """Canonical JSON of small tables, to hash."""
    return json.dumps({name: table.to_pylist() for name, table in sorted(tables.items())}, sort_keys=True)
