"""Materializing ``tagged``: shard by shard of ``unified``, each tagged once for each vocabulary."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.errors import StoreError
from infinity_assets.platform import Platform
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.publish import StageResult, publish, verdict_stats
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.tagged.tags import TAG_VERSION, UNIFIED_COLUMNS, tag_batch
from infinity_assets.stages.tagged.vocabulary import Vocabulary, load_vocabulary
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.digests import key_of, table_digest
from infinity_assets.store.tables import Published, Shard, Transaction


def materialize_tagged(platform: Platform, source: str, run_id: str) -> StageResult:
    """Publish the tags of a source's kept samples. A shard whose input is unchanged is not read.

    Raises:
        StoreError: if ``unified`` or ``deduped`` was never published, or ``deduped`` is not of this
            ``unified``.
    """
    unified = platform.store.require(UNIFIED, source)
    deduped = platform.store.require(DEDUPED, source)
    require_parallel(unified, deduped)
    vocabulary = load_vocabulary()
    transaction = platform.store.begin(TAGGED, source)
    shards = [
        _shard(transaction, unified, deduped, mine, theirs, vocabulary)
        for mine, theirs in zip(unified.shards, deduped.shards, strict=True)
    ]
    kept = sum(s.stats["verdicts"].get(KEEP, 0) for s in deduped.shards)
    return publish(
        transaction,
        shards,
        rows_in=kept,
        run_id=run_id,
        inputs={"unified": unified.data_version, "deduped": deduped.data_version},
        notes={
            "vocabulary": vocabulary.label,
            "tagged": sum(s.stats["tagged"] for s in shards),
            "question_types": _sum(shards, "question_types"),
        },
    )


def require_parallel(unified: Published, other: Published) -> None:
    """Refuse a table that was made from another version of ``unified``: its shards are cut otherwise.

    Raises:
        StoreError: says what to materialize again.
    """
    made_from = other.inputs.get("unified", unified.data_version)
    if made_from != unified.data_version or len(other.shards) != len(unified.shards):
        raise StoreError(
            f"{other.table.name} of {other.partition} was made from another version of unified; materialize"
            f" {other.table.name} again first"
        )


def kept_rows(unified: Published, shard: Shard, kept: pa.Table, columns: tuple[str, ...]) -> pa.Table:
    """Rows of one shard of ``unified`` that a later stage kept, in source order.

    Args:
        unified: the table.
        shard: one of its shards.
        kept: ``sample_id`` and ``verdict`` of the parallel shard of the later stage.
        columns: columns to read; ``sample_id`` among them.

    Raises:
        StoreError: if a kept sample is not in the shard.
    """
    ids = kept.filter(pc.equal(kept.column("verdict"), KEEP)).column("sample_id")
    rows = unified.read_shard(shard, columns)
    rows = rows.filter(pc.is_in(rows.column("sample_id"), value_set=ids.combine_chunks()))
    if rows.num_rows != len(ids):
        raise StoreError(
            f"{unified.uri}: {len(ids) - rows.num_rows} kept samples are not in shard {shard.key};"
            " materialize deduped and what follows again"
        )
    return rows


def _shard(
    transaction: Transaction,
    unified: Published,
    deduped: Published,
    mine: Shard,
    theirs: Shard,
    vocabulary: Vocabulary,
) -> Shard:
    key = key_of("tagged", TAG_VERSION, vocabulary.hash, mine.digest, theirs.digest)
    if found := transaction.have(key):
        return found
    kept = deduped.read_shard(theirs, ["sample_id", "verdict"])
    table = tag_batch(kept_rows(unified, mine, kept, UNIFIED_COLUMNS), vocabulary)
    stats = verdict_stats(table, TAGGED.key) | {
        "ids": table_digest(table.select(["sample_id"])),  # what filtered depends on: not on the tags
        "tagged": pc.sum(pc.greater(pc.list_value_length(table.column("image_tags")), 0)).as_py() or 0,
        "question_types": {
            str(entry["values"]): entry["counts"]
            for entry in pc.value_counts(table.column("question_type").drop_null()).to_pylist()
        },
    }
    return transaction.stage(key, table, stats)


def _sum(shards: list[Shard], name: str) -> dict[str, int]:
    total: dict[str, int] = {}
    for shard in shards:
        for code, count in shard.stats[name].items():
            total[code] = total.get(code, 0) + count
    return dict(sorted(total.items()))
