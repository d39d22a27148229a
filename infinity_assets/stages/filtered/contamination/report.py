"""What sources hold of benchmarks, as counts: one row for each benchmark and source."""

from __future__ import annotations

from typing import Any

import polars as pl

from infinity_assets.platform import Platform
from infinity_assets.sources.catalogue import EVALUATION
from infinity_assets.stages.benchmark_fingerprints.schema import BENCHMARK_FINGERPRINTS
from infinity_assets.stages.filtered.contamination.check import published_benchmarks
from infinity_assets.stages.filtered.contamination.kinds import CONTAMINATION, KINDS
from infinity_assets.stages.verdicts import KEEP


def contamination_report(platform: Platform) -> list[dict[str, Any]]:
    """By benchmark, then source: JSON values, no text of samples.

    Returns:
        ``benchmark``, ``source``; ``items`` that have fingerprints; ``compared``, whether the source was
        compared with the benchmark as it is published now; ``samples`` that were compared, and for each kind
        the samples (``<kind>``) and distinct items (``<kind>_items``, each the most alike one of a sample)
        that were found; null where the source was never compared.
    """
    report: list[dict[str, Any]] = []
    benchmarks = published_benchmarks(platform)
    hits = {name: platform.store.published(CONTAMINATION, name) for name in _sources(platform)}
    counted = {name: _counts(found.read()) for name, found in hits.items() if found is not None}
    for benchmark, table in benchmarks.items():
        items = sum(shard.stats["verdicts"].get(KEEP, 0) for shard in table.shards)
        for source, found in hits.items():
            version = found.inputs.get(f"{BENCHMARK_FINGERPRINTS.name}/{benchmark}") if found else None
            row: dict[str, Any] = {
                "benchmark": benchmark,
                "source": source,
                "items": items,
                "compared": version == table.data_version,
                "samples": found.notes["samples"] if found and version else None,
            }
            for kind in KINDS:
                told = counted.get(source, {}).get((benchmark, kind), (0, 0)) if version else (None, None)
                row[kind], row[f"{kind}_items"] = told
            report.append(row)
    return report


def _sources(platform: Platform) -> list[str]:
    catalogue = platform.catalogue
    return [name for name in catalogue if catalogue[name].spec.category != EVALUATION]


def _counts(hits: Any) -> dict[tuple[str, str], tuple[int, int]]:
    """Samples and items by benchmark and kind."""
    frame = pl.DataFrame(pl.from_arrow(hits)).group_by("benchmark", "kind")
    counted = frame.agg(pl.len(), items=pl.col("item_id").n_unique())
    return {(benchmark, kind): (n, items) for benchmark, kind, n, items in counted.iter_rows()}
