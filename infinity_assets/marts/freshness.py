"""How fresh each source is: when it was looked at, when it changed, and whether its samples know of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from infinity_assets.marts.reader import Marts
from infinity_assets.sources.freshness import FAIL_AFTER, WARN_AFTER, state_of

__all__ = ["FAIL_AFTER", "WARN_AFTER", "freshness", "looked_at"]


def looked_at(marts: Marts) -> pl.DataFrame:
    """Each source of the catalogue, in order, with times of runs that checked a table, changed or not.

    Returns:
        ``source``; ``looked_at`` upstream, ``changed_at``, which is the run that made the published list of
        files, and ``judged_at``, its samples by ``filtered``, or by ``unified`` for a benchmark (UTC, null
        where no such run is kept); ``waits``: it changed after its samples were judged.
    """
    rows = marts.select(
        """
        with runs as (
          select stage, partition, run_id, max(checked_at) as at
          from check_results where engine = 'contract' and stage in ('raw', 'unified', 'filtered')
          group by all
        )
        select s.source,
          max(r.at) filter (r.stage = 'raw') as looked_at,
          max(r.at) filter (r.stage = 'raw' and r.run_id = p.run_id) as changed_at,
          max(r.at) filter (r.stage = case when s.evaluation then 'unified' else 'filtered' end) as judged_at
        from sources s
          left join partitions p on p.stage = 'raw' and p.partition = s.source
          left join runs r on r.partition = s.source
        where s.in_catalogue is not false
        group by s.source order by s.source
        """,
        of=["sources", "partitions", "check_results"],
    )
    times = pl.col("looked_at", "changed_at", "judged_at").str.to_datetime(time_zone="UTC")
    return rows.with_columns(times).with_columns(
        waits=(pl.col("changed_at") > pl.col("judged_at")).fill_null(False)
    )


def freshness(marts: Marts, now: datetime, sources: Sequence[str] = ()) -> pl.DataFrame:
    """The same, stale ones first, with ``state`` (ok, look or failed) and ``days`` since they were looked at.

    Args:
        marts: of a snapshot.
        now: aware; what is too long ago is judged by it.
        sources: those that count; all by default.
    """
    rows = looked_at(marts)
    rows = rows.filter(pl.col("source").is_in(sources)) if sources else rows
    states = pl.Series("state", [state_of(at, now) for at in rows["looked_at"]], pl.String)
    days = (pl.lit(now) - pl.col("looked_at")).dt.total_days()
    told = rows.with_columns(states, days=days).select(
        "source", "state", "days", "waits", "looked_at", "changed_at", "judged_at"
    )
    return told.sort(
        pl.col("state").replace_strict({"failed": 0, "look": 1, "ok": 2}), ~pl.col("waits"), "source"
    )
