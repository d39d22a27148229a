"""``infinity ...``: the platform without the UI. Results on standard output, progress on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from infinity_assets.errors import InfinityError

app = typer.Typer(
    name="infinity",
    help="Accountable vision-language training data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
sources_app = typer.Typer(help="The catalogue of sources.", no_args_is_help=True)
app.add_typer(sources_app, name="sources")
taxonomy_app = typer.Typer(help="The tree of instructions and its versions.", no_args_is_help=True)
app.add_typer(taxonomy_app, name="taxonomy")

Home = Annotated[
    Path, typer.Option(envvar="INFINITY_HOME", help="Folder of tables, exports and Dagster's records.")
]
CatalogueFolder = Annotated[
    Path, typer.Option(envvar="INFINITY_CATALOGUE", help="Folder of source files, one YAML file each.")
]
Mixes = Annotated[
    Path | None,
    typer.Option(envvar="INFINITY_MIXES", help="Mix file; mixes.yaml of the catalogue by default."),
]
Policy = Annotated[
    Path | None, typer.Option(envvar="INFINITY_POLICY", help="Policy file; the built-in one by default.")
]
Workers = Annotated[int, typer.Option(envvar="INFINITY_WORKERS", min=1, help="Processes for heavy work.")]

Command = TypeVar("Command", bound=Callable[..., Any])


def _told(command: Command) -> Command:
    """Print an expected error as one line (or one a problem) instead of a traceback."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except InfinityError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(1) from error
        except Exception as error:
            from infinity_assets.store.trouble import trouble

            if (refused := trouble(error)) is None:
                raise
            print(f"error: {refused}", file=sys.stderr)
            raise typer.Exit(1) from error

    return run  # type: ignore[return-value]


@app.command()
@_told
def run(
    home: Home,
    catalogue: CatalogueFolder,
    source: Annotated[list[str] | None, typer.Option(help="Only this source; may be repeated.")] = None,
    mixes: Mixes = None,
    policy: Policy = None,
    workers: Workers = 2,
) -> None:
    """Materialize sources from their files to the exported mixes, and print what became of them."""
    from infinity_assets.console import print_failures, print_summary, run_with_progress
    from infinity_assets.platform import Platform
    from infinity_assets.reporting import collect_stats
    from infinity_assets.settings import Settings

    settings = Settings(home=home, catalogue=catalogue, mixes=mixes, policy=policy, workers=workers)
    platform = Platform(settings)
    report = run_with_progress(platform, source or list(platform.catalogue))
    print_summary(collect_stats(platform.store, platform.catalogue))
    print_failures(report)
    given = f" --mixes {mixes}" if mixes else ""
    print(f"\nTo look at it: infinity ui --home {home} --catalogue {catalogue}{given}")
    if not report.ok:
        raise typer.Exit(1)


@app.command()
@_told
def backfill(
    home: Home,
    catalogue: CatalogueFolder,
    sources: Annotated[
        list[str] | None, typer.Option(help="These sources, separated by commas; all if not given.")
    ] = None,
    stages: Annotated[
        list[str] | None, typer.Option(help="These stages, separated by commas; all if not given.")
    ] = None,
    mixes: Mixes = None,
    policy: Policy = None,
    workers: Workers = 2,
    at_once: Annotated[int, typer.Option(min=1, help="Runs at a time, each with so many workers.")] = 1,
) -> None:
    """Run stages of many sources, each once and in order; stopped with Ctrl-C, the same command goes on."""
    import signal

    from infinity_assets.console import backfill_with_progress
    from infinity_assets.platform import Platform
    from infinity_assets.settings import Settings

    settings = Settings(home=home, catalogue=catalogue, mixes=mixes, policy=policy, workers=workers)
    platform = Platform(settings)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager stops it as Ctrl-C does
    try:
        report = backfill_with_progress(platform, _listed(sources), _listed(stages), at_once)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    committed = sum(1 for o in report.outcomes if o.result is not None and o.result.committed)
    print(f"backfill {report.id}: {report.runs} runs, {report.done_before} of them done before")
    print(f"tables that changed: {committed}, failed: {len(report.failed)}")
    if report.failed:
        raise typer.Exit(1)


def _listed(values: list[str] | None) -> list[str]:
    """What was given by repeating an option, or separated by commas, or both."""
    return [name.strip() for value in values or [] for name in value.split(",") if name.strip()]


@app.command()
@_told
def stats(home: Home, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Counts of every source and stage, with the reasons, from what is published."""
    from infinity_assets.console import print_summary
    from infinity_assets.reporting import collect_stats
    from infinity_assets.settings import Settings
    from infinity_assets.store.tables import Store

    found = collect_stats(Store(Settings(home=home).store_root))
    if as_json:
        print(json.dumps(found, indent=2, sort_keys=True))
    else:
        print_summary(found)


@app.command()
@_told
def duplicates(
    home: Home,
    as_json: Annotated[bool, typer.Option("--json", help="Print every edge, one JSON a line.")] = False,
) -> None:
    """Edges of the duplicate ledger: counts by kind, or each with its distance and both raw places."""
    from infinity_assets.explain.edges import all_edges, count_kinds
    from infinity_assets.settings import Settings
    from infinity_assets.store.tables import Store

    store = Store(Settings(home=home).store_root)
    if as_json:
        for edge in all_edges(store):
            print(json.dumps(edge, sort_keys=True))
        return
    for source, kinds in count_kinds(store).items():
        print(source, ", ".join(f"{kind} {count:,}" for kind, count in kinds.items()) or "no edges", sep=": ")


@app.command()
@_told
def why(
    sample_id: Annotated[str, typer.Argument(help="<source>-<32 hex digits>")],
    home: Home,
    html: Annotated[Path | None, typer.Option(help="Write one HTML page, pictures included.")] = None,
) -> None:
    """What became of a sample: each stage's verdict, its cluster, whom it yields to, every edge."""
    from infinity_assets.explain.edges import why as find_why
    from infinity_assets.explain.pages import as_html, as_text
    from infinity_assets.settings import Settings
    from infinity_assets.store.tables import Store

    store = Store(Settings(home=home).store_root)
    found = find_why(store, sample_id)
    if html is not None:
        html.write_text(as_html(found, store), encoding="utf-8")
        return
    for line in as_text(found, store, colour=sys.stdout.isatty()):
        print(line)


@app.command()
@_told
def contamination(
    home: Home,
    catalogue: CatalogueFolder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What each source holds of each benchmark, from what is published."""
    from infinity_assets.console import print_contamination
    from infinity_assets.platform import Platform
    from infinity_assets.settings import Settings
    from infinity_assets.stages.filtered.contamination.report import contamination_report

    report = contamination_report(Platform(Settings(home=home, catalogue=catalogue)))
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        print_contamination(report)


@app.command()
@_told
def price(
    home: Home,
    catalogue: CatalogueFolder,
    source: Annotated[str, typer.Option(help="Name of the source; it must be tagged.")],
    engine: Annotated[str, typer.Option(help="Name of an engine in engines.yaml of the catalogue.")],
    step: Annotated[list[str] | None, typer.Option(help="Only this step; may be repeated.")] = None,
    samples: Annotated[int, typer.Option(min=2, help="Units to ask about, for each step.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Chooses them, and draws the interval.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask a model about a small sample, and say what the whole source would cost, with an interval."""
    from infinity_assets.console import print_price
    from infinity_assets.platform import Platform
    from infinity_assets.pricing.price import price as ask_price
    from infinity_assets.settings import Settings

    platform = Platform(Settings(home=home, catalogue=catalogue))
    prices = ask_price(platform, source, engine, step, samples, seed)
    found = [one.as_json() for one in prices]
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print_price(found)


@app.command()
@_told
def passport(
    sample_id: Annotated[str, typer.Argument(help="<source>-<32 hex digits>: of a sample or a line.")],
    home: Home,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Where a sample came from, what every stage measured and decided, by which run, and where it went."""
    from infinity_assets.errors import StoreError
    from infinity_assets.lineage.passport import passport as find
    from infinity_assets.lineage.told import as_json as told_as_json
    from infinity_assets.lineage.told import as_text
    from infinity_assets.settings import Settings
    from infinity_assets.store.tables import Store

    found = find(Store(Settings(home=home).store_root), sample_id)
    if found is None:
        raise StoreError(f"no table has {sample_id!r}; an id is <source>-<32 hex digits>")
    if as_json:
        print(json.dumps(told_as_json(found), indent=2))
    else:
        print("\n".join(as_text(found)))


@app.command()
@_told
def quality(home: Home, catalogue: CatalogueFolder, mixes: Mixes = None, workers: Workers = 2) -> None:
    """Snapshot every table, count and test all sources together, and write one page, quality.html."""
    from infinity_assets.marts.publish import publish_quality
    from infinity_assets.platform import Platform
    from infinity_assets.settings import Settings

    settings = Settings(home=home, catalogue=catalogue, mixes=mixes, workers=workers)
    found = publish_quality(Platform(settings))
    for test in found.failed:
        where = f"{test['stage']}/{test['partition']}" if test["partition"] else test["stage"]
        print(f"{'failed' if test['blocking'] else 'look at'} {test['name']} ({where}): {test['told']}")
    print(f"tests: {len(found.tests)}, failed: {len(found.failed)}, snapshot: {found.snapshot.number}")
    print(found.snapshot.page)
    if any(test["blocking"] for test in found.failed):
        raise typer.Exit(1)


@app.command()
@_told
def release(
    name: Annotated[str, typer.Argument(help="For example 2026-11; a-z, 0-9, '.', '_' and '-'.")], home: Home
) -> None:
    """Keep the version of every table that is published now, for ever, under a name."""
    from infinity_assets.settings import Settings
    from infinity_assets.store.retention import release as keep
    from infinity_assets.store.tables import Store

    found = keep(Store(Settings(home=home).store_root), name)
    print(f"release {name}: {sum(map(len, found.values()))} versions of {len(found)} tables are kept")


@app.command()
@_told
def clean(
    home: Home,
    catalogue: CatalogueFolder,
    days: Annotated[
        int, typer.Option(envvar="INFINITY_RETENTION_DAYS", min=0, help="Age from which they are old.")
    ] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; say what would be.")] = False,
) -> None:
    """Remove old versions of tables and old runs of Dagster, but what a release or a table refers to."""
    from infinity_assets.console import clean_with_report
    from infinity_assets.platform import Platform
    from infinity_assets.settings import Settings

    clean_with_report(Platform(Settings(home=home, catalogue=catalogue)), days, dry_run)


@sources_app.command("check")
@_told
def check_sources(catalogue: CatalogueFolder) -> None:
    """Say what is wrong in a catalogue, line by line, before anything runs."""
    from infinity_assets.errors import SourceError
    from infinity_assets.sources.catalogue import read_catalogue
    from infinity_assets.stages.raw.stage import roots_of
    from infinity_assets.yaml_file import Problem

    found, problems = read_catalogue(catalogue)
    for source in found.values():
        try:
            roots_of(source)
        except (SourceError, ValueError) as error:
            problems.append(Problem(source.file.name, source.line_of("location"), str(error)))
    for problem in problems:
        print(problem)
    print(f"valid sources: {len(found)}, problems: {len(problems)}")
    if problems:
        raise typer.Exit(1)


@taxonomy_app.command("check")
@_told
def check_taxonomy(
    changes: Annotated[Path, typer.Argument(help="A file of changes, as it would stand beside the tree.")],
) -> None:
    """Say what a file of changes would do to the latest version, or why it does not fit."""
    from infinity_assets.errors import CatalogueError
    from infinity_assets.stages.tagged.taxonomy import changed, differences, load_taxonomy, read_changes

    latest, proposed = load_taxonomy(), read_changes(changes)
    if proposed[0] != latest.version + 1:
        raise CatalogueError(f"{changes}: makes version {proposed[0]}; the next one is {latest.version + 1}")
    new = changed(latest, proposed, str(changes))
    print(f"{latest.label} -> {new.label}, {len(new.leaves)} leaves")
    print("\n".join(differences(latest, new)))


@taxonomy_app.command("diff")
@_told
def diff_taxonomy(
    old: Annotated[int, typer.Argument(min=1)], new: Annotated[int, typer.Argument(min=1)]
) -> None:
    """What changed from one published version to another."""
    from infinity_assets.stages.tagged.taxonomy import differences, load_taxonomy

    lines = differences(load_taxonomy(version=old), load_taxonomy(version=new))
    print("\n".join(lines) or "nothing changed")


@taxonomy_app.command("propose")
@_told
def propose_taxonomy(
    home: Home,
    write: Annotated[Path | None, typer.Option(help="Write a file of changes to work on.")] = None,
    least: Annotated[int, typer.Option(min=1, help="Questions that a proposed leaf needs.")] = 5,
) -> None:
    """Leaves that labelling models found missing, and leaves that no published label leads to."""
    from infinity_assets.errors import one_line
    from infinity_assets.reporting import proposed_leaves, unused_leaves
    from infinity_assets.settings import Settings
    from infinity_assets.stages.tagged.taxonomy import load_taxonomy
    from infinity_assets.stages.tagged.taxonomy.proposals import draft
    from infinity_assets.store.tables import Store

    store, tree = Store(Settings(home=home).store_root), load_taxonomy()
    proposed, unused = proposed_leaves(store, tree, least), unused_leaves(store, tree)
    for one in proposed:
        print(f"+ {one.group}/{one.name}: {one.questions:,} questions of {', '.join(one.sources)}")
        print("\n".join(f"    {one_line(example)}" for example in one.examples))
    print(f"proposed leaves: {len(proposed)}, leaves without a label: {len(unused)} of {len(tree.leaves)}")
    if write is not None:
        write.write_text(draft(proposed, unused, tree), encoding="utf-8")
        print(f"work on {write}, then: infinity taxonomy check {write}")


@app.command()
@_told
def demo(home: Home = Path("demo_home"), workers: Workers = 2) -> None:
    """Draw the demo sources, run the whole pipeline over them, and say how many planted defects it caught."""
    from infinity_assets.console import print_failures, print_score, print_summary, run_with_progress
    from infinity_assets.demo.defects import score
    from infinity_assets.demo.home import demo_settings, prepare_demo
    from infinity_assets.marts.publish import publish_quality
    from infinity_assets.platform import Platform
    from infinity_assets.reporting import collect_stats, verdict_rows

    truth = prepare_demo(home)
    platform = Platform(demo_settings(home, workers))
    report = run_with_progress(platform, list(platform.catalogue))
    print_summary(collect_stats(platform.store, platform.catalogue))
    print_score(score(truth, verdict_rows(platform)))
    print_failures(report)
    quality = publish_quality(platform, plainly=True)
    print(f"\nQuality of all sources: {quality.snapshot.page}")
    print(f"To look at it: make ui, and make dashboard ({platform.settings.dashboard_url})")
    if not report.ok:
        raise typer.Exit(1)


@app.command()
@_told
def ui(
    home: Home,
    catalogue: CatalogueFolder,
    mixes: Mixes = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of Dagster's pages.")] = 3000,
    preview_port: Annotated[int, typer.Option(help="Port of the sample pages.")] = 3001,
) -> None:
    """Serve Dagster's UI and the sample pages until Ctrl-C."""
    from infinity_assets.ui import serve

    raise typer.Exit(serve(home, catalogue, mixes, host, port, preview_port))


if __name__ == "__main__":
    app()
