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
SCANNED: Final = 200_000  #: rows that are looked through for the samples of a bin; our choice
MARKS: Final = 2000  #: of a grid of checks by source: a browser draws more of them too slowly

#: Measures that a model gave, and that lie in ``scored``; the others lie in ``filtered``.
SCORES: Final = frozenset({"loss", "formatting", "relevance", "visual_dependency", "image_correspondence"})

Some = Sequence[str]


def last_checks(marts: Marts, sources: Some = ()) -> pl.DataFrame:
    """The last outcome of each check, the failed and blocking ones first, with a strip of those before.

    A test of dbt is one row, since it names the first partition that fails, which differs from run to run.
    What the last snapshot did not run is gone.
    """
    query, values = _last_checks(sources)
    ordered = f"from ({query}) order by passed, blocking desc, stage, name, partition"
    return marts.select(ordered, values, of=["check_results"])


def check_counts(marts: Marts, sources: Some = ()) -> dict[str, int]:
    """Checks by their last outcome: ``failed``, ``look`` (failed, and nothing is broken) and ``passed``."""
    query, values = _last_checks(sources)
    row = marts.select(
        f"""
        select count(*) filter (not passed and blocking) as failed,
          count(*) filter (not passed and not blocking) as look, count(*) filter (passed) as passed
        from ({query})
        """,
        values,
        of=["check_results"],
    )
    return {name: int(count) for name, count in row.row(0, named=True).items()}


def _last_checks(sources: Some) -> tuple[str, list[Any]]:
    where, values = _among("partition", sources, or_null=True)
    query = f"""
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
    """
    return query, values


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


def check_sources(marts: Marts, sources: Some = (), names: int = 40) -> pl.DataFrame:
    """Checks of contracts by partition, as they last were; the checks that fail in most partitions first.

    As many checks as give ``MARKS`` cells, eight at least and ``names`` at most.
    """
    query, values = _last_checks(sources)
    return marts.select(
        f"""
        with last as (select *, stage || ' · ' || name as "check" from ({query}) where engine <> 'dbt'),
        shown as (
          select "check" from last group by "check"
          order by count(*) filter (not passed) desc, "check"
          limit (select greatest(8, least({names:d}, {MARKS:d} // count(distinct partition))) from last)
        )
        select "check", engine, stage, name, partition, passed, blocking, failed_rows, run_id
        from last semi join shown using ("check") order by "check", partition
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


def measures(marts: Marts) -> list[str]:
    """What was measured of samples: of the policy's measures and of scores, by name."""
    found = marts.select("select distinct measure from distributions order by measure", of=["distributions"])
    return [str(name) for name in found["measure"]]


def distribution(marts: Marts, measure: str, sources: Some = ()) -> pl.DataFrame:
    """Rows by bin of a measure, kept against dropped by ``filtered``, and their share of all kept or dropped.

    A bin goes from ``low`` to below ``high``, a quarter of an octave; that of 0 holds 0 alone.
    """
    where, values = _among("source", sources)
    return marts.select(
        f"""
        with bins as (
          select low, sum(kept)::bigint as kept, sum(dropped)::bigint as dropped
          from distributions where measure = ? and {where} group by low
        )
        select low, low * pow(2, 0.25) as high, kept, dropped,
          kept / nullif(sum(kept) over (), 0) as kept_share,
          dropped / nullif(sum(dropped) over (), 0) as dropped_share
        from bins order by low
        """,
        [measure, *values],
        of=["distributions"],
    )


def in_bin(
    marts: Marts, measure: str, low: float, high: float, sources: Some = (), rows: int = 50
) -> pl.DataFrame:
    """Samples whose measure lies in a bin, those that were not kept first.

    Every measure of a row lies in one list, so a bin's samples are looked for row by row: in the sources that
    have most of them, and in their first ``SCANNED`` rows. Where there are more, these are some of them.
    """
    where, values = _among("source", sources)
    near = 1e-6  # edges are rounded
    edges = [low * (1 - near), max(high, 1e-12) * (1 - near)]
    within = marts.select(
        f"""
        select source, kept + dropped as there from distributions
        where measure = ? and low >= ? and low < ? and {where} order by there desc, source
        """,
        [measure, *edges, *values],
        of=["distributions"],
    )
    before = pl.col("there").cum_sum() - pl.col("there")
    names = within.filter(before < rows)["source"].to_list()
    where, values = _among("source", names or [""])
    if measure in SCORES:
        scored = f"""
            select source, sample_id, "{measure}"::double as value
            from (from scored where {where} limit {SCANNED:d}) where value >= ? and value < ? limit {rows:d}
        """
        query = f"""
            select source, sample_id, verdict, reason, value
            from filtered join ({scored}) using (source, sample_id) where {where}
        """
        found = marts.select(query, [*values, *edges, *values], of=["filtered", "scored"])
    else:
        query = f"""
            select source, sample_id, verdict, reason,
              list_filter(measures, lambda m: m.measure = ?)[1].value::double as value
            from (from filtered where {where} limit {SCANNED:d}) where value >= ? and value < ? limit {rows:d}
        """
        found = marts.select(query, [measure, *values, *edges], of=["filtered"])
    return found.sort("verdict", "source", "sample_id")


def coverage(marts: Marts, sources: Some = (), tags: int = TAGS) -> pl.DataFrame:
    """Samples that filtered kept by tag and type of question, holes too; of the tags those with the most."""
    return _grid(marts, "coverage", "tag", sources, tags)


def question_types(marts: Marts, sources: Some = (), most: int = 200) -> pl.DataFrame:
    """The same by source."""
    return _grid(marts, "question_types", "source", sources, most)


def _grid(marts: Marts, mart: str, by: str, sources: Some, most: int) -> pl.DataFrame:
    where, values = _among("source", sources)
    tagged = " and tag <> '(no tag)'" if by == "tag" else ""
    return marts.select(
        f"""
        with cells as (
          select {by}, question_type, sum(samples)::bigint as samples, min(example) as example
          from {mart} where {where}{tagged} group by all
        ),
        lines as (
          select {by}, sum(samples) as of_line from cells group by all
          order by of_line desc, {by} limit {most:d}
        ),
        columns as (select question_type, sum(samples) as of_column from cells group by all)
        select {by}, question_type, coalesce(samples, 0) as samples, example,
          of_line::bigint as of_line, of_column::bigint as of_column
        from lines cross join columns left join cells using ({by}, question_type)
        order by of_line desc, {by}, of_column desc, question_type
        """,
        values,
        of=[mart],
    )


def holes(marts: Marts, sources: Some = (), most: int = 200) -> pl.DataFrame:
    """Pairs of tag and type of question that no sample has, the least expected first.

    Expected is what the pair would have if types were spread over tags as they are over all (our choice).
    """
    where, values = _among("source", sources)
    return marts.select(
        f"""
        with cells as (
          select tag, question_type, sum(samples) as samples from coverage
          where {where} and tag <> '(no tag)' group by all
        ),
        tags as (select tag, sum(samples) as of_tag from cells group by all order by of_tag desc limit 1000),
        types as (
          select question_type, sum(samples) as of_type from cells where question_type <> 'none' group by all
        ),
        total as (select sum(samples) as samples from cells)
        select tag, question_type, of_tag::bigint as of_tag, of_type::bigint as of_type,
          of_tag * of_type / total.samples as expected
        from tags cross join types cross join total
        anti join cells c on c.tag = tags.tag and c.question_type = types.question_type
        order by expected desc, tag, question_type limit {most:d}
        """,
        values,
        of=["coverage"],
    )


def mixes(marts: Marts) -> pl.DataFrame:
    """What each training stage asked of a category and got: lines, and shares of all lines."""
    return marts.select("select * from mix_ratios order by training_stage, category", of=["mix_ratios"])


def mix_sources(marts: Marts, sources: Some = ()) -> pl.DataFrame:
    """The same of each source."""
    where, values = _among("source", sources)
    return marts.select(
        f"select * from mix_sources where {where} order by training_stage, category, source",
        values,
        of=["mix_sources"],
    )


def drift(marts: Marts, sources: Some = ()) -> pl.DataFrame:
    """Shares that moved since the snapshot before, the furthest first."""
    where, values = _among("partition", sources)
    return marts.select(
        f"""
        select * from drift where {where} and abs(moved) > 1e-9
        order by abs(moved) desc, stage, partition, measure, code limit {MOVES}
        """,
        values,
        of=["drift"],
    )


def drift_checks(marts: Marts, sources: Some = ()) -> pl.DataFrame:
    """The last outcome of contracts and tests that are about drift."""
    found = last_checks(marts, sources)
    return found.filter(pl.col("name").str.contains("drift|steady|shrink|moved"))


def contamination(marts: Marts, sources: Some = ()) -> pl.DataFrame:
    """What sources hold of benchmarks by kind, and pairs that were not compared."""
    where, values = _among("source", sources)
    return marts.select(
        f"""
        select * from contamination where {where} and (found > 0 or not up_to_date)
        order by benchmark, source, kind
        """,
        values,
        of=["contamination"],
    )


def licences(marts: Marts, sources: Some = ()) -> pl.DataFrame:
    """Samples by licence and source: read, kept, and lines of mixes; the most frequent licence first."""
    where, values = _among("source", sources)
    return marts.select(
        f"""
        select licence, source, samples, kept, lines, example,
          (sum(samples) over (partition by licence))::bigint as of_licence
        from licences where {where} order by of_licence desc, licence, samples desc, source
        """,
        values,
        of=["licences"],
    )


def cost(marts: Marts, sources: Some = ()) -> pl.DataFrame:
    """What models were asked and paid for, and for each sample that was kept."""
    where, values = _among("source", sources)
    return marts.select(
        f"select * from cost where {where} order by cost desc nulls last, source, stage, model",
        values,
        of=["cost"],
    )


def _among(column: str, sources: Some, or_null: bool = False) -> tuple[str, list[Any]]:
    if not sources:
        return "true", []
    either = f" or {column} is null" if or_null else ""
    # Values, not a subquery: that would be a join, which reads every source and holds it in memory.
    return f"({column} in ({', '.join('?' * len(sources))}){either})", list(sources)
