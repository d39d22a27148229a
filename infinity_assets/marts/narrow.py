"""What a snapshot takes of each table: ids, verdicts and measures that marts need, never text or pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.filtered.contamination.kinds import CONTAMINATION
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.scored.schema import AXES, SCORED
from infinity_assets.stages.synthesized.schema import SYNTHESIS_QA, SYNTHESIZED
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.tables import Published, TableSpec

#: Raised when a column is added, removed or changes its meaning: no file of an older snapshot is used again.
NARROW_VERSION: Final = 2
BATCH_ROWS: Final = 65_536

_TEXT, _INT, _REAL = pa.string(), pa.int32(), pa.float32()
#: One entry of a map: readers of Parquet that know no maps know lists.
MEASURE: Final = pa.struct([("measure", _TEXT), ("value", _REAL)])
_VERDICT: Final = {"verdict": _TEXT, "reason": _TEXT}
_TOKENS: Final = {"question_tokens": _INT, "answer_tokens": _INT}


@dataclass(frozen=True, slots=True)
class Narrow:
    """Some columns of one table; beside them stands the partition that a row is of."""

    spec: TableSpec
    columns: Mapping[str, pa.DataType]
    computed: Mapping[str, str]  #: Lance expressions of the columns that the table does not have
    partition: str = "source"  #: what the column of the partition's name is called
    where: str | None = None

    @property
    def schema(self) -> pa.Schema:
        """Of the Parquet files."""
        return pa.schema([(self.partition, _TEXT), *self.columns.items()])

    def batches(self, published: Published) -> Iterator[pa.RecordBatch]:
        """The rows of one partition; only what is asked for is read, ``BATCH_ROWS`` rows at a time."""
        scanner = published.dataset().scanner(
            columns={name: self.computed.get(name, name) for name in self.columns},
            filter=self.where,
            batch_size=BATCH_ROWS,
        )
        for batch in scanner.to_batches():
            name = pa.repeat(published.partition, batch.num_rows)
            columns = [_as(batch.column(column), kind) for column, kind in self.columns.items()]
            yield pa.RecordBatch.from_arrays([name, *columns], schema=self.schema)


def _as(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if not pa.types.is_map(column.type):
        return column.cast(kind)
    first, last = column.offsets[0].as_py(), column.offsets[-1].as_py()
    entries = [part.slice(first, last - first) for part in (column.keys, column.items)]
    pairs = pa.StructArray.from_arrays(entries, fields=list(MEASURE))
    offsets = pc.subtract(column.offsets, column.offsets[0])
    return pa.ListArray.from_arrays(offsets, pairs, type=kind)


def _narrow(
    spec: TableSpec,
    columns: Mapping[str, pa.DataType],
    computed: Mapping[str, str] | None = None,
    partition: str = "source",
    where: str | None = None,
) -> Narrow:
    return Narrow(spec, {spec.key: _TEXT, **columns}, computed or {}, partition, where)


#: By the name of the table, in pipeline order.
NARROW: Final[Mapping[str, Narrow]] = {
    one.spec.name: one
    for one in (
        _narrow(RAW, {"bytes": pa.int64(), "error": _TEXT}),
        _narrow(IMAGES, {"width": _INT, "height": _INT, **_VERDICT}),
        _narrow(
            UNIFIED,
            {"language": _TEXT, "licence": _TEXT, "images": _INT, **_TOKENS, **_VERDICT},
            {"images": "array_length(image_ids)"},
        ),
        # Of the edges those that drop a sample: the others say nothing about verdicts, and are many.
        _narrow(
            DUPLICATE_LEDGER, {"sample_id": _TEXT, "winner_id": _TEXT, "kind": _TEXT}, where="decides = true"
        ),
        _narrow(DEDUPED, _VERDICT),
        _narrow(TAGGED, {"question_type": _TEXT, "image_tags": pa.list_(_TEXT), **_VERDICT}),
        _narrow(
            SYNTHESIS_QA,
            {
                "engine": _TEXT,
                "model": _TEXT,
                "prompt_tokens": pa.int64(),
                "completion_tokens": pa.int64(),
                "cost": pa.float64(),
                **_VERDICT,
            },
        ),
        _narrow(SYNTHESIZED, {"language": _TEXT, "licence": _TEXT, **_TOKENS, **_VERDICT}),
        _narrow(
            SCORED,
            {
                "loss": _REAL,
                **dict.fromkeys(AXES, pa.int8()),
                "model": _TEXT,
                "prompt_tokens": pa.int64(),
                "completion_tokens": pa.int64(),
            },
        ),
        _narrow(FILTERED, {"findings": pa.list_(_TEXT), "measures": pa.list_(MEASURE), **_VERDICT}),
        _narrow(
            CONTAMINATION,
            {"sample_id": _TEXT, "benchmark": _TEXT, "kind": _TEXT, "item_id": _TEXT, "score": _REAL},
        ),
        _narrow(
            MIXED,
            {"source": _TEXT, "category": _TEXT, "tokens": _INT, "times": _INT, **_VERDICT},
            partition="training_stage",
        ),
    )
}
