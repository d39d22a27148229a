"""The blocking check of plans and exports: no line of a benchmark, whatever benchmarks there are by now."""

from __future__ import annotations

from typing import Final

import polars as pl

from infinity_assets.platform import Platform
from infinity_assets.quality.audit import MAX_IDS, CheckResult
from infinity_assets.sources.catalogue import EVALUATION, benchmarks_in
from infinity_assets.stages.benchmark_fingerprints.schema import BENCHMARK_FINGERPRINTS
from infinity_assets.stages.filtered.contamination.kinds import CONTAMINATION
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Published

UNCONTAMINATED: Final = "uncontaminated"
UNCONTAMINATED_PROMISE: Final = "no line holds an item of a published benchmark, in its published version"


def published_benchmarks(platform: Platform) -> dict[str, Published]:
    """Published fingerprints of the benchmarks in the catalogue, by name."""
    found = {
        name: platform.store.published(BENCHMARK_FINGERPRINTS, name)
        for name in benchmarks_in(platform.catalogue)
    }
    return {name: table for name, table in found.items() if table is not None}


def not_compared(platform: Platform, source: str) -> list[str]:
    """Published benchmarks that a source was not compared with in their published version, sorted."""
    found = platform.store.published(CONTAMINATION, source)
    inputs = found.inputs if found is not None else {}
    return [
        name
        for name, table in published_benchmarks(platform).items()
        if inputs.get(f"{BENCHMARK_FINGERPRINTS.name}/{name}") != table.data_version
    ]


def to_compare(platform: Platform, source: str) -> str | None:
    """A key of what a source has to be compared with; None where its hits are of the published benchmarks."""
    if platform.catalogue[source].spec.category == EVALUATION:
        return None
    found = platform.store.published(CONTAMINATION, source)
    head = f"{BENCHMARK_FINGERPRINTS.name}/"
    compared = (
        {k.removeprefix(head): v for k, v in found.inputs.items() if k.startswith(head)} if found else {}
    )
    published = {name: table.data_version for name, table in published_benchmarks(platform).items()}
    if compared == published:
        return None
    return key_of("compare", sorted(published.items()), found.version if found else 0)


def uncontaminated(platform: Platform, table: str, planned: pl.DataFrame) -> CheckResult:
    """Whether planned samples are free of every published benchmark, by the policy as it is now.

    It looks at what was measured, not at the verdicts of ``filtered``: a benchmark that was published after
    them, or a policy that became stricter, fails it.

    Args:
        platform: store, catalogue and policy.
        table: whose check it is.
        planned: ``sample_id`` and ``source`` of each sample that has a line.

    Returns:
        A blocking result.
    """
    benchmarks = published_benchmarks(platform)
    dropping = platform.policy.contamination.dropping
    problems: list[str] = []
    bad: list[str] = []
    for (source,), samples in planned.group_by("source", maintain_order=True):
        name = str(source)
        ids = samples.select("sample_id")
        if name in platform.catalogue and platform.catalogue[name].spec.category == EVALUATION:
            problems.append(f"{name} is a benchmark itself: materialize mixed again")
            bad += ids["sample_id"].to_list()
            continue
        if behind := not_compared(platform, name):
            problems.append(
                f"{name} was not compared with {', '.join(behind)} as published now:"
                " materialize filtered of it again, then mixed"
            )
        found = platform.store.published(CONTAMINATION, name)
        if found is None or not found.rows:
            continue
        hits = pl.DataFrame(pl.from_arrow(found.read(["sample_id", "benchmark", "kind"])))
        hits = hits.filter(pl.col("benchmark").is_in(list(benchmarks)) & pl.col("kind").is_in(dropping))
        hit = ids.join(hits, on="sample_id", how="semi")["sample_id"].to_list()
        if hit:
            bad += hit
            problems.append(f"{len(hit):,} samples of {name}: materialize filtered of it again, then mixed")
    told = f" ({'; '.join(problems)})" if problems else ""
    return CheckResult(
        name=UNCONTAMINATED,
        table=table,
        passed=not problems,
        blocking=True,
        description=UNCONTAMINATED_PROMISE + told,
        failed_rows=len(bad),
        failing_ids=tuple(sorted(bad)[:MAX_IDS]),
        figures={"benchmarks": len(benchmarks), "samples": len(planned)},
    )
