"""Two snapshots side by side: what each table had and has, and what became of its rows in between."""

from __future__ import annotations

from typing import Final

import polars as pl

from infinity_assets.marts.reader import Marts

#: Tables whose rows have a verdict, with what names a row and a partition.
COMPARED: Final = {
    "images": ("image_id", "source"),
    "unified": ("sample_id", "source"),
    "deduped": ("sample_id", "source"),
    "tagged": ("sample_id", "source"),
    "synthesis_qa": ("line_id", "source"),
    "synthesized": ("sample_id", "source"),
    "filtered": ("sample_id", "source"),
    "mixed": ("sample_id", "training_stage"),
}


def versions(marts: Marts) -> pl.DataFrame:
    """Every partition of every table with its rows and verdicts before and now, the changed ones first.

    Args:
        marts: of a snapshot, opened with another one beside it.
    """
    counts = ("rows", "kept", "dropped", "quarantined")
    columns = ", ".join(f"b.{name} as {name}_before, n.{name} as {name}_now" for name in counts)
    return marts.select(
        f"""
        select coalesce(n.stage, b.stage) as stage, coalesce(n.partition, b.partition) as partition,
          n.data_version is distinct from b.data_version as changed, {columns},
          b.data_version as version_before, n.data_version as version_now,
          b.run_id as run_before, n.run_id as run_now
        from partitions n full outer join other_partitions b
          on n.stage = b.stage and n.partition = b.partition
        order by changed desc, stage, partition
        """,
        of=["partitions", "other_partitions"],
    )


def became(marts: Marts, stage: str, partition: str) -> pl.DataFrame:
    """Rows of a partition by what they were and are, those that changed first, with up to 5 ids of each.

    Args:
        marts: of a snapshot, opened with another one beside it.
        stage: one of ``COMPARED``.
        partition: a source, or a training stage.

    Raises:
        KeyError: for a table without verdicts.
    """
    key, where = COMPARED[stage]
    return marts.select(
        f"""
        with now as (select {key} as id, verdict, reason from {stage} where {where} = ?),
        before as (select {key} as id, verdict, reason from other_{stage} where {where} = ?),
        rows as (
          select coalesce(n.id, b.id) as id,
            case when b.id is null then 'not there' else concat_ws(' ', b.verdict, b.reason) end as was,
            case when n.id is null then 'not there' else concat_ws(' ', n.verdict, n.reason) end as became
          from now n full outer join before b on n.id = b.id
        ),
        moves as (select was, became, count(*) as rows, min(id, 5) as ids from rows group by was, became)
        from moves order by was = became, rows desc, was, became
        """,
        [partition, partition],
        of=[stage, f"other_{stage}"],
    )
