"""One source's rows of the index, from its published tables. Texts are read in batches, the rest at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.explorer.schema import HASH_BYTES, INDEXED, QUESTION, TEXT
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.scored.schema import SCORED
from infinity_assets.stages.synthesized.schema import SYNTHESIZED
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.tables import Published, TableSpec

#: Tables that rows are made from, in pipeline order.
READ: Final[tuple[TableSpec, ...]] = (IMAGES, UNIFIED, DEDUPED, TAGGED, SYNTHESIZED, SCORED, FILTERED)
BATCH_ROWS: Final = 8_192
DETAIL: Final = 300  #: characters of a detail that a card shows

_ORIGINS: Final = (UNIFIED, SYNTHESIZED)
_LATER: Final = (DEDUPED, TAGGED, SCORED, FILTERED)
_VERDICT: Final = ("verdict", "reason", "detail")
_LISTS: Final = ("tags", "instructions", "findings")
#: Columns of later tables, by the name that they have in the index.
_MORE: Final[Mapping[str, Mapping[str, str]]] = {
    TAGGED.name: {"tags": "image_tags", "instructions": "instruction_l3", "question_type": "question_type"},
    FILTERED.name: {"findings": "findings"},
}


def batches(tables: Mapping[str, Published]) -> Iterator[pa.RecordBatch]:
    """Rows as ``INDEXED``, those of ``unified`` first, each in the order of its table.

    Args:
        tables: published tables of one source by name, of those in ``READ``.
    """
    later = [_steps(tables[s.name], READ.index(s)) for s in _LATER if s.name in tables]
    more = [_more(tables[name], columns) for name, columns in _MORE.items() if name in tables]
    pictures = _pictures(tables.get(IMAGES.name))
    for spec in _ORIGINS:
        if spec.name in tables:
            origin = tables[spec.name]
            facts = _facts(origin, [_steps(origin, READ.index(spec)), *later], more, pictures)
            yield from _with_texts(origin, facts)


def _with_texts(origin: Published, facts: pl.DataFrame) -> Iterator[pa.RecordBatch]:
    at = 0
    for batch in origin.dataset().to_batches(columns=["turns"], batch_size=BATCH_ROWS):
        turns = pl.DataFrame(pl.from_arrow(pa.table({"turns": batch.column("turns")})))
        part = facts.slice(at, batch.num_rows).with_columns(
            source=pl.lit(origin.partition),
            question=turns.select(_texts(pl.element().struct.field("role") == "user", QUESTION)).to_series(),
            text=turns.select(_texts(pl.lit(True), TEXT)).to_series(),
        )
        at += batch.num_rows
        table = part.select(INDEXED.names).to_arrow(compat_level=pl.CompatLevel.oldest())
        yield from _vectors(table).cast(INDEXED).to_batches()


def _texts(chosen: pl.Expr, most: int) -> pl.Expr:
    texts = pl.element().struct.field("text").filter(chosen)
    return (
        pl.col("turns").list.eval(texts).list.join("\n", ignore_nulls=True).fill_null("").str.slice(0, most)
    )


def _vectors(table: pa.Table) -> pa.Table:
    """Hashes as vectors of bytes, which a search by Hamming distance takes."""
    hashes = table.column("picture").combine_chunks()
    flat = hashes.fill_null(bytes(HASH_BYTES)).cast(pa.binary(HASH_BYTES))
    values = pa.Array.from_buffers(pa.uint8(), HASH_BYTES * len(flat), [None, flat.buffers()[1]])
    vectors = pa.FixedSizeListArray.from_arrays(values, HASH_BYTES, mask=hashes.is_null())
    place = table.schema.get_field_index("picture")
    return table.set_column(place, INDEXED.field("picture"), vectors)


def _facts(
    origin: Published, steps: Sequence[pl.DataFrame], more: Sequence[pl.DataFrame], pictures: pl.DataFrame
) -> pl.DataFrame:
    """All but the texts, in the order of the table."""
    frame = _frame(origin, ["sample_id", "image_ids", "language", "licence"]).with_row_index("place")
    told = (
        frame.select("place", "sample_id")
        .join(pl.concat(steps), on="sample_id")
        .with_columns(
            rank=pl.when(pl.col("verdict") != KEEP).then("number").otherwise(100 - pl.col("number"))
        )
    )
    history = told.sort("place", "number").group_by("place").agg(pl.col("history").explode())
    ending = told.sort("place", "rank").unique("place", keep="first")
    shown = (
        frame.select("place", image_id="image_ids")
        .explode("image_id")
        .join(pictures, on="image_id", maintain_order="left")
        .group_by("place")
        .agg(
            seen=pl.col("told").explode().unique(maintain_order=True),
            image_id=pl.col("image_id").filter("kept").first(),
            picture=pl.col("picture").filter("kept").first(),
        )
    )
    found = frame.select("place", "sample_id", "language", "licence")
    for part, key in (
        (history, "place"),
        (ending.select("place", "stage", *_VERDICT), "place"),
        (shown, "place"),
        *((one, "sample_id") for one in more),
    ):
        found = found.join(part, on=key, how="left", maintain_order="left")
    missing = [n for n in (*_LISTS, "question_type") if n not in found.columns]
    kinds = {n: pl.List(pl.String) if n in _LISTS else pl.String for n in missing}
    none = pl.lit([], pl.List(pl.String))
    return (
        found.with_columns(pl.lit(None, kind).alias(n) for n, kind in kinds.items())
        .with_columns(pl.col(n).fill_null(none).list.drop_nulls() for n in (*_LISTS, "seen", "history"))
        .with_columns(
            history=pl.concat_list("seen", "history"), instructions=pl.col("instructions").list.unique()
        )
    )


def _steps(table: Published, number: int) -> pl.DataFrame:
    """What one stage says of each sample: keep where it decides nothing."""
    name = table.table.name
    verdict = [column for column in _VERDICT if column in table.table.schema.names]
    kept = {"verdict": pl.lit(KEEP), "reason": pl.lit(None, pl.String), "detail": pl.lit(None, pl.String)}
    return (
        _frame(table, ["sample_id", *verdict])
        .with_columns(**{n: value for n, value in kept.items() if n not in verdict})
        .select(
            "sample_id",
            "verdict",
            "reason",
            detail=pl.col("detail").str.slice(0, DETAIL),
            stage=pl.lit(name),
            number=pl.lit(number),
            history=_history(name),
        )
    )


def _history(stage: str) -> pl.Expr:
    name = pl.lit(stage)
    told = (name, pl.format("{} {}", name, "verdict"), pl.format("{} {}", name, "reason"))
    return pl.concat_list(*told).list.drop_nulls()


def _more(table: Published, columns: Mapping[str, str]) -> pl.DataFrame:
    frame = _frame(table, ["sample_id", *columns.values()])
    return frame.select("sample_id", **{name: pl.col(column) for name, column in columns.items()})


def _pictures(images: Published | None) -> pl.DataFrame:
    """What ``images`` says of each picture, with both of its hashes as one."""
    columns = ["image_id", "verdict", "reason", "dhash", "phash"]
    table = images.read(columns) if images else IMAGES.schema.empty_table().select(columns)
    parts = [table.column(name).cast(pa.binary()) for name in ("dhash", "phash")]
    hashes = pc.binary_join_element_wise(*parts, b"")
    frame = pl.DataFrame(pl.from_arrow(table.select(columns[:3]).append_column("picture", hashes)))
    return frame.select("image_id", "picture", told=_history(IMAGES.name), kept=pl.col("verdict") == KEEP)


def _frame(table: Published, columns: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table.read(columns)))
