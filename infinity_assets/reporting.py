"""What the tables say about a deployment, read from their manifests: counts, reasons, mixes, exports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from infinity_assets.platform import Platform
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.exported.formats import EXPORTERS
from infinity_assets.stages.exported.schema import exported_spec
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.publish import count
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.scored.schema import SCORED
from infinity_assets.stages.synthesized.schema import SYNTHESIS_QA, SYNTHESIZED
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.tagged.taxonomy import Taxonomy
from infinity_assets.stages.tagged.taxonomy.proposals import FOLDER, Proposed, collect
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.tables import Published, Store, TableSpec

#: Tables of a source, in pipeline order.
SOURCE_TABLES: tuple[TableSpec, ...] = (
    RAW,
    IMAGES,
    UNIFIED,
    DUPLICATE_LEDGER,
    DEDUPED,
    TAGGED,
    SYNTHESIS_QA,
    SYNTHESIZED,
    SCORED,
    FILTERED,
)


def collect_stats(store: Store, names: Iterable[str] | None = None) -> dict[str, Any]:
    """Counts of every published partition, as JSON values.

    Args:
        store: the tables.
        names: sources; every one that was ever published by default.

    Returns:
        ``sources``: source -> stage -> in, kept, dropped, quarantined, reasons, data_version, version;
        ``mixes``: training stage -> plan hash, lines, tokens and the asked-versus-realised rows;
        ``exports``: training stage -> format -> folder, samples, bytes.
        Stages that were never published are absent.
    """
    sources: dict[str, Any] = {}
    for name in store.partitions(RAW) if names is None else names:
        tables = ((spec.name, store.published(spec, name)) for spec in SOURCE_TABLES)
        sources[name] = {stage: _counts(found) for stage, found in tables if found is not None}
    mixes: dict[str, Any] = {}
    exports: dict[str, Any] = {}
    for stage in store.partitions(MIXED):
        mixed = store.require(MIXED, stage)
        mixes[stage] = {key: mixed.notes[key] for key in ("plan_hash", "lines", "tokens", "summary")}
        exports[stage] = {}
        for name in EXPORTERS:
            found = store.published(exported_spec(name), stage)
            if found is not None:
                exports[stage][name] = {key: found.notes[key] for key in ("folder", "samples", "bytes")}
    return {"sources": sources, "mixes": mixes, "exports": exports}


def _counts(found: Published) -> dict[str, Any]:
    counts = count(found.shards, int(found.notes.get("rows_in", found.rows)))
    return {
        "in": counts.rows_in,
        "kept": counts.kept,
        "dropped": counts.dropped,
        "quarantined": counts.quarantined,
        "reasons": dict(counts.reasons),
        "data_version": found.data_version,
        "version": found.version,
    }


def proposed_leaves(store: Store, taxonomy: Taxonomy, least: int) -> list[Proposed]:
    """Leaves that labelling models found missing and at least so many questions ask for, the most first."""
    names = (f"{FOLDER}/{name}" for name in sorted(store.objects.children(FOLDER)))
    parts = (store.objects.get(name) for name in names)
    return collect((json.loads(part) for part in parts if part is not None), taxonomy, least)


def unused_leaves(store: Store, taxonomy: Taxonomy) -> list[str]:
    """Leaves that no published label leads to, in the order of the tree."""
    found = [store.require(TAGGED, name) for name in store.partitions(TAGGED)]
    labels = {label for table in found for label in table.notes["instructions"]}
    used = {taxonomy.resolve(label) for label in labels}
    return [leaf for leaf in taxonomy.leaves if leaf not in used]


def verdict_rows(platform: Platform) -> pl.DataFrame:
    """Every decision but a plain keep, with the names of its sample.

    Returns:
        ``source``, ``native_id``, ``file``, ``row``, ``member``, ``stage``, ``verdict``, ``reason``; one row
        for each drop and quarantine, and one of verdict ``annotate`` for each finding on a kept sample.
    """
    frames = [frame for name in platform.catalogue for frame in _source_verdicts(platform, name)]
    return pl.concat(frames) if frames else pl.DataFrame(schema=_COLUMNS)


_COLUMNS: Mapping[str, pl.DataType] = {
    "source": pl.String(),
    "native_id": pl.String(),
    "file": pl.String(),
    "row": pl.Int64(),
    "member": pl.String(),
    "stage": pl.String(),
    "verdict": pl.String(),
    "reason": pl.String(),
}


def _source_verdicts(platform: Platform, source: str) -> Iterator[pl.DataFrame]:
    store = platform.store
    unified = store.published(UNIFIED, source)
    if unified is None:
        return
    columns = ["sample_id", "native_id", "locator", "marker_added", "image_ids", "verdict", "reason"]
    samples = _frame(unified.read(columns)).unnest("locator")
    yield _named(samples.filter(pl.col("verdict") != "keep"), samples, source, UNIFIED.name)
    yield _findings(samples.filter("marker_added"), samples, source, "marker_added")
    images = store.published(IMAGES, source)
    if images is not None:
        yield from _image_findings(
            _frame(images.read(["image_id", "extension_ok", "animated"])), samples, source
        )
    for spec in (DEDUPED, TAGGED, FILTERED):
        found = store.published(spec, source)
        if found is None:
            continue
        rows = _frame(found.read(["sample_id", "verdict", "reason"], "verdict != 'keep'"))
        yield _named(rows, samples, source, spec.name)
    filtered = store.published(FILTERED, source)
    if filtered is not None:
        rows = _frame(filtered.read(["sample_id", "findings"], "verdict = 'keep'")).explode("findings")
        rows = rows.drop_nulls("findings").with_columns(verdict=pl.lit("annotate"), reason="findings")
        yield _named(rows, samples, source, FILTERED.name)
        about_source = [{"reason": reason} for reason in filtered.notes.get("source_findings", [])]
        if about_source:
            blank = [
                pl.lit(None, _COLUMNS[name]).alias(name) for name in ("native_id", "file", "row", "member")
            ]
            yield (
                pl.DataFrame(about_source)
                .with_columns(
                    *blank, source=pl.lit(source), stage=pl.lit(FILTERED.name), verdict=pl.lit("annotate")
                )
                .select(*_COLUMNS)
            )


def _image_findings(images: pl.DataFrame, samples: pl.DataFrame, source: str) -> Iterator[pl.DataFrame]:
    shown = samples.filter(pl.col("verdict") == "keep").explode("image_ids")
    for reason, condition in (("wrong_extension", ~pl.col("extension_ok")), ("animated", pl.col("animated"))):
        ids = images.filter(condition).select(image_ids="image_id")
        yield _findings(shown.join(ids, on="image_ids", how="semi"), samples, source, reason)


def _findings(rows: pl.DataFrame, samples: pl.DataFrame, source: str, reason: str) -> pl.DataFrame:
    found = rows.select("sample_id").unique().with_columns(verdict=pl.lit("annotate"), reason=pl.lit(reason))
    return _named(found, samples, source, UNIFIED.name)


def _named(rows: pl.DataFrame, samples: pl.DataFrame, source: str, stage: str) -> pl.DataFrame:
    names = samples.select("sample_id", "native_id", "file", "row", "member")
    joined = rows.select("sample_id", "verdict", "reason").join(names, on="sample_id", how="inner")
    return joined.with_columns(source=pl.lit(source), stage=pl.lit(stage)).select(*_COLUMNS)


def _frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table))
