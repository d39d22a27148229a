"""Every figure of a snapshot as a table: what the dashboard draws and the page ``quality.html`` writes down.

``sources`` are the partitions that count; none given are all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from infinity_assets.marts.reader import Marts

STRIP: Final = 30  #: last outcomes of a check
TAGS: Final = 40  #: of the grid of coverage, those with the most samples
MOVES: Final = 200  #: of drift, the largest

Some = Sequence[str]


def last_checks(marts: Marts, sources: Some = ()) -> pl.DataFrame:
    """The last outcome of each check, the failed and blocking ones first, with a strip of those before.

    A test of dbt is one row, since it names the first partition that fails, which differs from run to run.
    What the last snapshot did not run is gone.
    """
    where, values = _among("partition", sources, or_null=True)
    return marts.select(
        f"""
        with results as (
          select *, case when engine = 'dbt' then null else partition end as of
          from check_results where {where}
        )
        select
          engine, stage, name, arg_max_null(partition, number) as partition,
          arg_max(passed, number) as passed, arg_max(blocking, number) as blocking,
          arg_max_null(failed_rows, number) as failed_rows, arg_max_null(failing_ids, number) as failing_ids,
          arg_max_null(told, number) as told, arg_max_null(run_id, number) as run_id,
          arg_max_null(checked_at, number) as checked_at, list(passed order by number)[-{STRIP}:] as strip
        from results
        group by engine, stage, of, name
        having engine <> 'dbt' or max(number) = (select max(number) from check_results where engine = 'dbt')
        order by passed, blocking desc, stage, name, partition
        """,
        values,
        of=["check_results"],
    )


def check_heat(marts: Marts, sources: Some = (), runs: int = STRIP, names: int = 40) -> pl.DataFrame:
    """Checks by runs ago (0 is the last): how many partitions failed of how many, the ones that failed first.

    A run is one of the partition for a contract, and a snapshot for a test of dbt.
    """
    where, values = _among("partition", sources, or_null=True)
    return marts.select(
        f"""
        with results as (
          select *, stage || ' · ' || name as "check", row_number() over (
            partition by engine, stage, name, case when engine = 'dbt' then null else partition end
            order by number desc) - 1 as ago
          from check_results where {where}
        ),
        shown as (
          select "check" from results where ago < {runs:d} group by "check"
          order by count(*) filter (not passed) desc, "check" limit {names:d}
        )
        select
          "check", any_value(engine) as engine, any_value(stage) as stage, any_value(name) as name, ago,
          count(*) filter (not passed) as failed, count(*) as partitions, bool_or(blocking) as blocking,
          min(partition) filter (not passed) as partition, min(run_id) filter (not passed) as run_id
        from results semi join shown using ("check") where ago < {runs:d}
        group by "check", ago
        order by "check", ago
        """,
        values,
        of=["check_results"],
    )


def health(marts: Marts, sources: Some = ()) -> pl.DataFrame:
    """Stages by source: rows, what is kept, and ``state``: ok, look (a check asks for it) or failed."""
    where, values = _among("f.partition", sources)
    checks = last_checks(marts).filter(~pl.col("passed"))
    worst = checks.group_by("stage", "partition").agg(
        pl.len().alias("failing"), pl.col("blocking").any().alias("broken")
    )
    cells = marts.select(
        f"select * from funnel f where {where} and stage <> 'mixed' order by place, partition",
        values,
        of=["funnel"],
    )
    state = pl.when("broken").then(pl.lit("failed")).when(pl.col("failing") > 0).then(pl.lit("look"))
    return (
        cells.join(worst, on=["stage", "partition"], how="left", maintain_order="left")
        .with_columns(pl.col("failing").fill_null(0), state=state.otherwise(pl.lit("ok")))
        .drop("broken")
    )


def funnel(marts: Marts, sources: Some = ()) -> pl.DataFrame:
    """Each stage over its partitions, which are training stages for mixes: in, kept, dropped, quarantined."""
    where, values = _among("partition", sources)
    return marts.select(
        f"""
        select stage, place, sum(rows_in)::bigint as rows_in, sum(kept)::bigint as kept,
          sum(dropped)::bigint as dropped, sum(quarantined)::bigint as quarantined
        from funnel where {where} group by stage, place order by place
        """,
        values,
        of=["funnel"],
    )


def reasons(marts: Marts, sources: Some = ()) -> pl.DataFrame:
    """Why rows were not kept, by stage, reason and partition, the most frequent reason of a stage first."""
    where, values = _among("partition", sources)
    return marts.select(
        f"""
        select stage, place, verdict, reason, partition, rows::bigint as rows, share,
          (sum(rows) over (partition by stage, verdict, reason))::bigint as total
        from drop_reasons where {where}
        order by place, total desc, reason, rows desc, partition
        """,
        values,
        of=["drop_reasons"],
    )


def _among(column: str, sources: Some, or_null: bool = False) -> tuple[str, list[Any]]:
    if not sources:
        return "true", []
    either = f" or {column} is null" if or_null else ""
    return f"({column} in (select unnest(?)){either})", [list(sources)]
