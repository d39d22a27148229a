"""What a table is made of: its declaration, and the immutable shards that a version lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A declared table: its Arrow schema, named and versioned once."""

    name: str  #: stage name, as the Dagster UI shows it
    version: int  #: raised when the schema changes
    schema: pa.Schema
    key: str  #: column that is unique in a partition
    digest_exclude: tuple[str, ...] = ()  #: columns that others determine, such as image bytes
    lookup: tuple[str, ...] = ()  #: columns by which single rows are asked for; indexed where rows are many


@dataclass(frozen=True, slots=True)
class Shard:
    """One staged or published piece of a table."""

    key: str  #: hash of everything that determines the rows
    rows: int
    digest: str
    fragments: tuple[str, ...]  #: Lance fragment metadata, as JSON
    stats: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""  #: the run that published it first; empty while it is staged
    code_version: str = ""  #: of the stage in that run

    def to_json(self) -> dict[str, Any]:
        """Plain values, the inverse of :meth:`from_json`."""
        return {
            "key": self.key,
            "rows": self.rows,
            "digest": self.digest,
            "fragments": list(self.fragments),
            "stats": dict(self.stats),
            "run_id": self.run_id,
            "code_version": self.code_version,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Shard:
        """Read what :meth:`to_json` wrote."""
        return cls(
            value["key"],
            value["rows"],
            value["digest"],
            tuple(value["fragments"]),
            value["stats"],
            value.get("run_id", ""),  # tables of before have none
            value.get("code_version", ""),
        )
