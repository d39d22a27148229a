"""Publishing the plan of one training stage from every published source that may enter it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from infinity_assets.errors import CatalogueError, StoreError
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER, SAME_PICTURES
from infinity_assets.stages.filtered.contamination.check import uncontaminated
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.mixed.plan import PLANNER_VERSION, plan_mix
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.mixed.spec import MixSpec
from infinity_assets.stages.publish import StageResult, code_version, publish, verdict_stats
from infinity_assets.stages.scored.schema import SCORED
from infinity_assets.stages.synthesized.schema import SYNTHESIZED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Published

if TYPE_CHECKING:
    from infinity_assets.platform import Platform

SHARD_ROWS = 1_000_000  #: bounds what one shard's digest holds in memory

#: What the plan needs of unified, computed where it lies: neither turns nor media are carried.
_NARROW = {
    "sample_id": "sample_id",
    "tokens": "question_tokens + answer_tokens",
    "media": "array_length(media)",
    "pictures": "array_length(image_ids)",
}
_SCHEMA = {
    "sample_id": pl.String,
    "source": pl.String,
    "category": pl.String,
    "tokens": pl.Int32,
    "obstacle": pl.String,
}


def materialize_mixed(platform: Platform, stage: str, run_id: str) -> StageResult:
    """Plan one training stage and publish it as partition ``stage`` of ``mixed``.

    Sources enter if the catalogue says so, except those for evaluation. One that was never published as
    ``filtered`` is left out and named in the notes (``not_published``). The notes also hold ``plan_hash``,
    ``lines``, ``tokens`` and ``summary``, the rows of :attr:`MixPlan.summary`.

    Raises:
        CatalogueError: if the mixes do not have this training stage.
        StoreError: if a source's ``filtered`` and ``unified`` do not belong together.
        CriticalCheckFailed: if a blocking check fails, such as that of benchmarks.
    """
    spec = platform.mixes.get(stage)
    if spec is None:
        raise CatalogueError(f"no mix for training stage {stage!r}; there are: {', '.join(platform.mixes)}")
    frames: list[pl.DataFrame] = [pl.DataFrame(schema=_SCHEMA)]
    inputs: dict[str, str] = {}
    caps: dict[str, int] = {}
    absent: list[str] = []
    for name in platform.catalogue:
        source = platform.catalogue[name].spec
        if stage not in source.stages or source.category == "evaluation":
            continue
        filtered = platform.store.published(FILTERED, name)
        if filtered is None:
            absent.append(name)
            continue
        unified = platform.store.require(UNIFIED, name)
        talks = platform.store.published(SYNTHESIZED, name)
        scored = platform.store.published(SCORED, name) if spec.scores else None
        frames.append(_eligible(filtered, unified, talks, scored, name, source.category, spec))
        inputs[f"{FILTERED.name}/{name}"] = filtered.data_version
        inputs[f"{UNIFIED.name}/{name}"] = unified.data_version
        if talks is not None:
            inputs[f"{SYNTHESIZED.name}/{name}"] = talks.data_version
        if scored is not None:
            inputs[f"{SCORED.name}/{name}"] = scored.data_version
        cap = {str(key): value for key, value in source.caps.items()}.get(stage)
        if cap is not None:
            caps[name] = cap
    eligible = pl.concat(frames)
    clusters = None
    if spec.max_per_visual_cluster is not None:
        clusters = _clusters(platform, inputs)
    plan = plan_mix(eligible, stage, spec, caps, clusters)
    notes: dict[str, Any] = {
        "plan_hash": plan.hash,
        "lines": plan.lines,
        "tokens": plan.tokens,
        "summary": plan.summary.to_dicts(),
        "not_published": absent,
    }
    transaction = platform.store.begin(MIXED, stage)
    base = _shard_base(spec, stage, inputs, caps)
    shards = []
    for group in plan.rows.partition_by("source", maintain_order=True):
        for start in range(0, len(group), SHARD_ROWS):
            piece = group.slice(start, SHARD_ROWS)
            table: pa.Table = piece.to_arrow().cast(MIXED.schema)
            key = key_of(base, piece["source"][0], start)
            shards.append(transaction.stage(key, table, verdict_stats(table, MIXED.key)))
    planned = plan.rows.filter(pl.col("times") > 0).select("sample_id", "source")
    return publish(
        transaction,
        shards,
        rows_in=len(eligible),
        run_id=run_id,
        engine=platform.settings.contracts,
        inputs=inputs,
        made_by=code_version(MIXED.version, PLANNER_VERSION),
        notes=notes,
        further_checks=[uncontaminated(platform, MIXED.name, planned)],
    )


def _clusters(platform: Platform, inputs: dict[str, str]) -> pl.DataFrame:
    """Samples of the sources that enter and share their pictures with an earlier one, and its id."""
    frames = [pl.DataFrame(schema={"sample_id": pl.String, "cluster": pl.String})]
    for name in [key.partition("/")[2] for key in inputs if key.startswith(f"{FILTERED.name}/")]:
        ledger = platform.store.require(DUPLICATE_LEDGER, name)
        rows = ledger.read(["sample_id", "winner_id"], f"kind = '{SAME_PICTURES}'")
        frames.append(pl.DataFrame(pl.from_arrow(rows)).rename({"winner_id": "cluster"}))
        inputs[f"{DUPLICATE_LEDGER.name}/{name}"] = ledger.data_version
    return pl.concat(frames)


def _shard_base(spec: MixSpec, stage: str, inputs: dict[str, str], caps: dict[str, int]) -> str:
    """Everything that determines the plan."""
    asked = spec.model_dump_json()
    return key_of("mixed", PLANNER_VERSION, stage, asked, sorted(inputs.items()), sorted(caps.items()))


def _eligible(
    filtered: Published,
    unified: Published,
    talks: Published | None,
    scored: Published | None,
    source: str,
    category: str,
    spec: MixSpec,
) -> pl.DataFrame:
    columns = ["sample_id", "findings"] if spec.without else ["sample_id"]
    kept = pl.DataFrame(pl.from_arrow(filtered.read(columns, where="verdict = 'keep'")))
    kept = _unwanted(kept, scored, spec)
    narrow = pl.DataFrame(pl.from_arrow(unified.dataset().scanner(columns=_NARROW).to_table()))
    written = pl.DataFrame(schema={"sample_id": pl.String, "written": pl.String})
    if talks is not None:
        narrow = pl.concat(
            [narrow, pl.DataFrame(pl.from_arrow(talks.dataset().scanner(columns=_NARROW).to_table()))]
        )
        written = _written(
            pl.DataFrame(pl.from_arrow(talks.read(["sample_id", "parent_ids"]))), kept, spec.synthetic
        )
    frame = kept.join(narrow, on="sample_id", how="left", maintain_order="left")
    frame = frame.join(written, on="sample_id", how="left", maintain_order="left")
    lost = frame.filter(pl.col("pictures").is_null())
    if len(lost):
        raise StoreError(
            f"{source}: {len(lost):,} samples of filtered are not in unified, the first is"
            f" {lost['sample_id'][0]}; materialize the source from deduped on again"
        )
    return frame.select(
        "sample_id",
        pl.lit(source).alias("source"),
        pl.lit(category).alias("category"),
        pl.col("tokens").cast(pl.Int32),
        # unified leaves the token counts null exactly where there are no turns.
        pl.when(pl.col("tokens").is_null())
        .then(pl.lit("no_conversation"))
        .when(pl.col("media") != pl.col("pictures"))
        .then(pl.lit("other_media"))
        .otherwise(pl.coalesce("written", "unwanted"))
        .alias("obstacle"),
    )


def _unwanted(kept: pl.DataFrame, scored: Published | None, spec: MixSpec) -> pl.DataFrame:
    """``sample_id`` and ``unwanted``: why the mix leaves a kept sample out by marks or scores, or null."""
    unwanted = pl.lit(None, pl.String)
    if scored is not None:
        said = pl.DataFrame(pl.from_arrow(scored.read(["sample_id", *spec.scores])))
        kept = kept.join(said, on="sample_id", how="left", maintain_order="left")
        tests = [pl.col(name) < b.min for name, b in spec.scores.items() if b.min is not None]
        tests += [pl.col(name) > b.max for name, b in spec.scores.items() if b.max is not None]
        beyond = pl.any_horizontal(test.fill_null(False) for test in tests)
        unwanted = pl.when(beyond).then(pl.lit("score_out_of_bounds"))
    if spec.without:
        marked = pl.col("findings").list.set_intersection(list(spec.without)).list.len() > 0
        unwanted = pl.when(marked).then(pl.lit("marked")).otherwise(unwanted)
    return kept.select("sample_id", unwanted=unwanted)


def _written(talks: pl.DataFrame, kept: pl.DataFrame, synthetic: bool) -> pl.DataFrame:
    """Synthetic samples with what keeps each from a plan (``written``), or null.

    A picture that is in a benchmark, or that nobody may use, drops all samples that show it. What was written
    about it is recognised by nothing but its parents, so it goes where all of them went.
    """
    with_parent = talks.explode("parent_ids").join(
        kept, left_on="parent_ids", right_on="sample_id", how="semi"
    )
    if not synthetic:
        return talks.select("sample_id", written=pl.lit("synthetic"))
    orphaned = ~pl.col("sample_id").is_in(with_parent["sample_id"].unique().implode())
    return talks.select("sample_id", written=pl.when(orphaned).then(pl.lit("parent_dropped")))
