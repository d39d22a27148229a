"""What the command line shows: a progress bar while it works, tables at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from infinity_assets.errors import one_line
from infinity_assets.reporting import SOURCE_TABLES
from infinity_assets.stages.filtered.contamination.kinds import KINDS

if TYPE_CHECKING:
    from infinity_assets.orchestration.backfill import BackfillReport
    from infinity_assets.orchestration.progress import StageEvent
    from infinity_assets.orchestration.run import RunReport
    from infinity_assets.platform import Platform

#: Width of tables where the output is no terminal.
WIDTH = 150

#: Runs at a time, where there are so many workers. Each has these workers too: while one run records what it
#: did, the other computes. More would share the same cores.
RUNS_AT_ONCE = 2


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDTH)


def run_with_progress(platform: Platform, sources: Iterable[str]) -> RunReport:
    """Run the pipeline with a bar on standard error: one step for each partition of each stage."""
    from infinity_assets.orchestration.run import run_pipeline

    names = list(sources)
    columns = (TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("starting", total=_steps(platform, names))

        def show(event: StageEvent) -> None:
            what = f"{event.stage} {event.partition}"
            if event.kind == "advanced":
                what += f": {event.phase} {event.done}/{event.total}"
            done = event.kind in {"finished", "failed"}
            progress.update(bar, description=what[:44], advance=1 if done else 0)

        report = run_pipeline(platform, names, show, min(RUNS_AT_ONCE, platform.settings.workers))
        progress.update(bar, description="done", completed=progress.tasks[0].total)
    return report


def backfill_with_progress(
    platform: Platform, sources: Sequence[str], stages: Sequence[str], at_once: int
) -> BackfillReport:
    """Run a backfill; on standard error a line for each run that ended, and how long the rest takes.

    Args:
        platform: settings, store, catalogue.
        sources: names; all where there is none.
        stages: names of assets; all where there is none.
        at_once: runs at a time.

    Raises:
        KeyboardInterrupt: if the process is told to stop, after a line that says how to go on.
    """
    from infinity_assets.orchestration.backfill import default_stages, run_backfill
    from infinity_assets.orchestration.backfill_plan import seconds_left

    began = time.monotonic()
    latest: list[str] = []
    place = (0, 0)

    def hear(event: StageEvent) -> None:
        if event.kind == "failed":
            print(f"failed: {event.stage} of {event.partition}: {one_line(event.error)}", file=sys.stderr)
        if event.kind == "finished":
            latest.append(f"{event.stage} of {event.partition}")

    def tell(done: int, total: int, before: int) -> None:
        nonlocal place
        if (done, total) == place:
            return
        place = (done, total)
        left = seconds_left(done - before, total - before, time.monotonic() - began)
        rest = "" if left is None or done == total else f", about {_duration(left)} left"
        ended = f": {latest[-1]}" if latest else f" were done before: {before}" if before else ""
        latest.clear()
        print(f"{done} of {total} runs{ended}{rest}", file=sys.stderr, flush=True)

    try:
        names, chosen = sources or list(platform.catalogue), stages or default_stages(platform)
        return run_backfill(platform, names, chosen, hear, tell, at_once)
    except KeyboardInterrupt:
        done, total = place
        print(f"stopped: {done} of {total} runs are done; the same command goes on", file=sys.stderr)
        raise


def clean_with_report(platform: Platform, days: int, dry_run: bool) -> None:
    """Remove old versions and runs, or say what would be removed: a line for each table that has any."""
    from infinity_assets.orchestration.instance import open_instance
    from infinity_assets.orchestration.retention import clean_store, prune_runs

    age, versions = timedelta(days=days), 0
    for one in clean_store(platform, age, dry_run=dry_run):
        versions += one.removed
        if one.why_not:
            print(f"{one.table} of {one.partition}: left alone: {one.why_not}")
        elif one.removed:
            freed = "" if one.bytes is None else f", {one.bytes:,} bytes"
            print(f"{one.table} of {one.partition}: {one.removed} versions{freed}; {one.kept} stay")
    with open_instance(platform.settings.home) as instance:
        runs = prune_runs(platform, instance, age, dry_run=dry_run)
    print(f"{'would be removed' if dry_run else 'removed'}: versions: {versions}, runs: {runs}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _steps(platform: Platform, sources: list[str]) -> int:
    """Partitions that a run materializes, at least: more if other sources' duplicates change."""
    from infinity_assets.stages.exported.formats import EXPORTERS

    stages = {stage for name in sources for stage in platform.catalogue[name].spec.stages}
    tables = len(SOURCE_TABLES) - (platform.scoring.engine is None)  # without an engine nothing is scored
    return len(sources) * tables + len(stages) * (1 + len(EXPORTERS))


def print_price(prices: Sequence[Mapping[str, Any]]) -> None:
    """What each step would cost, with where the true figures lie (95 %)."""
    console = _console()
    table = Table("step", "asked about", title="For the whole source, 95 % intervals", title_justify="left")
    for name in ("requests", "prompt tokens", "completion tokens", "GPU-hours", "cost"):
        table.add_column(name, justify="right")
    for one in prices:
        figures = [_interval(one[name], ",.0f") for name in _PRICED]
        hours = "" if one["gpu_hours"] is None else _interval(one["gpu_hours"], ",.3g")
        cost = f"{_interval(one['cost'], ',.4g')} {one['currency']}"
        table.add_row(one["step"], f"{one['sampled']:,} of {one['units']:,}", *figures, hours, cost)
    console.print(table)
    for one in prices:
        if one["failed_requests"]:
            console.print(f"{one['step']}: {one['failed_requests']:,} requests of the sample failed")


_PRICED = ("requests", "prompt_tokens", "completion_tokens")


def _interval(value: Mapping[str, float], form: str) -> str:
    return f"{value['estimate']:{form}} ({value['low']:{form}} to {value['high']:{form}})"


def print_summary(stats: Mapping[str, Any]) -> None:
    """A row for each source and stage, the mixes asked and realised, and where the exports lie."""
    console = _console()
    table = Table("source", "stage", title="Sources", title_justify="left")
    for name in ("in", "kept", "dropped", "quarantined"):
        table.add_column(name, justify="right")
    table.add_column("reasons")
    for source, stages in stats["sources"].items():
        for i, (stage, c) in enumerate(stages.items()):
            reasons = ", ".join(f"{reason} {n}" for reason, n in c["reasons"].items())
            figures = [f"{c[k]:,}" for k in ("in", "kept", "dropped", "quarantined")]
            table.add_row(source if i == 0 else "", stage, *figures, reasons)
        table.add_section()
    console.print(table)
    _print_mixes(console, stats["mixes"])
    _print_exports(console, stats["exports"])


def _print_mixes(console: Console, mixes: Mapping[str, Any]) -> None:
    if not mixes:
        return
    table = Table("training stage", "category", title="Mixes, asked and realised", title_justify="left")
    for name in ("eligible", "asked", "realised", "tokens", "short by"):
        table.add_column(name, justify="right")
    for stage, mix in mixes.items():
        rows = pl.DataFrame(mix["summary"], infer_schema_length=None)
        if rows.is_empty():
            table.add_row(stage, "(nothing)", "0", "", "0", "0", "")
            continue
        sums = [pl.col(c).sum() for c in ("eligible", "asked", "realised", "tokens", "short")]
        for row in rows.group_by("category").agg(sums).sort("category").iter_rows(named=True):
            short = f"{row['short']:,}" if row["short"] else ""
            counts = [row[c] for c in ("eligible", "asked", "realised", "tokens")]
            figures = ["all" if n is None else f"{n:,}" for n in counts]  # no quotas: nothing is asked for
            table.add_row(stage, row["category"], *figures, short)
        table.add_section()
    console.print(table)


def _print_exports(console: Console, exports: Mapping[str, Any]) -> None:
    rows = [(stage, name, e) for stage, formats in exports.items() for name, e in formats.items()]
    if not rows:
        return
    table = Table("training stage", "format", title="Exports", title_justify="left")
    table.add_column("samples", justify="right")
    table.add_column("bytes", justify="right")
    table.add_column("folder", overflow="fold")
    for stage, name, export in rows:
        table.add_row(stage, name, f"{export['samples']:,}", f"{export['bytes']:,}", str(export["folder"]))
    console.print(table)


def print_contamination(report: Sequence[Mapping[str, Any]]) -> None:
    """Samples of each source that hold items of a benchmark, by kind; sources that hold none in one row."""
    table = Table("benchmark", "source", title="Contamination", title_justify="left")
    for name in ("items", "samples", *KINDS):
        table.add_column(name, justify="right")
    for benchmark in dict.fromkeys(row["benchmark"] for row in report):
        rows = [row for row in report if row["benchmark"] == benchmark]
        for row in rows:
            figures = ["" if row[name] is None else f"{row[name]:,}" for name in ("items", "samples", *KINDS)]
            if not row["compared"]:
                table.add_row(benchmark, f"{row['source']} (not compared: materialize filtered)", *figures)
            elif any(row[kind] for kind in KINDS):
                table.add_row(benchmark, row["source"], *figures)
        clean = [row for row in rows if row["compared"] and not any(row[kind] for kind in KINDS)]
        if clean:
            told = f"{len(clean)} clean {'source' if len(clean) == 1 else 'sources'}"
            table.add_row(benchmark, told, f"{clean[0]['items']:,}", f"{sum(r['samples'] for r in clean):,}")
        table.add_section()
    _console().print(table if report else "no benchmark is published, or no source beside it")


def print_score(score: pl.DataFrame) -> None:
    """Planted defects by kind: how many, and how many were caught; then clean samples wrongly taken."""
    table = Table("planted defect", "caught by", title="Planted defects", title_justify="left")
    for name in ("planted", "caught"):
        table.add_column(name, justify="right")
    by = {
        "now": "this pipeline",
        "near": "near-duplicate search",
        "contamination": "comparison with benchmarks",
    }
    for row in score.iter_rows(named=True):
        clean = row["kind"] == "(clean)"
        kind = "clean samples wrongly dropped" if clean else row["kind"]
        table.add_row(
            kind, "" if clean else by[row["caught_by"]], f"{row['planted']:,}", f"{row['caught']:,}"
        )
    _console().print(table)


def print_failures(report: RunReport) -> None:
    """One line for each partition that failed."""
    for event in report.failed:
        told = one_line(event.error or "")
        print(f"failed: {event.stage} of {event.partition}: {told}", file=sys.stderr)
