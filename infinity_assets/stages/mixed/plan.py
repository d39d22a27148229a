"""From eligible samples to a plan: deterministic, vectorised, and every sample with its reason.

Each sample has two 64-bit numbers, the halves of BLAKE3(seed, training stage, sample id). The first decides
which samples a cap or quota takes, the second where their lines stand. Neither depends on the other samples,
so a source that grows moves only the samples at the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from blake3 import blake3

from infinity_assets.stages.mixed.spec import MixSpec, apportion
from infinity_assets.stages.verdicts import DROP, KEEP

#: Raised when the same eligible samples and spec give another plan.
PLANNER_VERSION = 2

#: Why a sample has no line, or fewer than it might.
MIX_REASONS: Mapping[str, str] = {
    "no_conversation": "the sample has no turns to train on (annotations only)",
    "other_media": "the sample has a video or a sound; exports carry pictures alone",
    "synthetic": "the mix asks for no synthetic samples",
    "parent_dropped": "every sample that the synthetic one was made from was dropped",
    "marked": "the sample has a mark that the mix leaves out",
    "score_out_of_bounds": "a model's score of the sample is not what the mix takes",
    "no_quota": "the mix asks for nothing of this category",
    "other_part": "the sample belongs to another part of the same cut (2a, 2b, 2c)",
    "over_cluster": "others about the same pictures were chosen, as many as the mix wants",
    "over_cap": "its source may give no more samples to this training stage",
    "over_quota": "its source's part of the category's quota is full",
    "over_budget": "the token budget is spent",
}

ELIGIBLE: Final = ("sample_id", "source", "category", "tokens", "obstacle")
SUMMARY: Final = {
    "category": pl.String,
    "source": pl.String,
    "asked": pl.Int64,
    "eligible": pl.Int64,
    "selected": pl.Int64,
    "realised": pl.Int64,
    "short": pl.Int64,
    "tokens": pl.Int64,
    "share": pl.Float64,
}

_U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class MixPlan:
    """What a training stage will read."""

    rows: pl.DataFrame  #: one row for each eligible sample, columns of MIXED, by source and sample id
    hash: str  #: 32 hex characters over the sample ids of the lines, in order
    lines: int
    tokens: int
    summary: pl.DataFrame
    """Asked versus realised for each category and source: lines asked for (null: no quota), samples eligible,
    samples selected, lines realised, lines short of what was asked, tokens, share of all lines. What is short
    is missing: nothing is moved to another source or category. A category that no source has is a row with
    source null."""


def plan_mix(
    eligible: pl.DataFrame,
    stage: str,
    spec: MixSpec,
    caps: Mapping[str, int],
    clusters: pl.DataFrame | None = None,
) -> MixPlan:
    """Plan one training stage.

    In this order: obstacles, categories without a quota, the other parts of a cut, caps by visual cluster,
    caps by source, quotas (divided among a category's sources in proportion to weight x samples after the
    cap, by largest remainders), the token budget (lines in their order of selection until the first that does
    not fit).

    Args:
        eligible: columns ``sample_id``, ``source``, ``category``, ``tokens`` (of one line) and ``obstacle``
            (a reason known beforehand, or null); any order.
        stage: training stage, part of the seed.
        spec: what is asked for.
        caps: most samples by source, from the catalogue, at full scale.
        clusters: ``sample_id`` and ``cluster`` of samples that share their pictures with an earlier one; any
            other is the only or the first one of its cluster, which has its id.

    Returns:
        The plan; it depends on the set of eligible samples, not on their order.
    """
    frame = eligible.select(ELIGIBLE).sort("source", "sample_id").rechunk()
    keys = sample_keys(frame.get_column("sample_id"), spec.seed, stage)
    asked = spec.asked()
    frame = frame.with_columns(
        pl.Series("pick", keys[:, 0]), pl.Series("place", keys[:, 1]), pl.col("obstacle").alias("reason")
    )
    if asked is not None:
        frame = _mark(frame, ~pl.col("category").is_in(list(asked)), "no_quota")
    if spec.part is not None:
        frame = _mark(frame, pl.Series(_parts(frame, spec) != spec.part.index), "other_part")
    if spec.max_per_visual_cluster is not None and clusters is not None:
        frame = _within_clusters(frame, clusters, spec.max_per_visual_cluster)
    limits = _limits(spec, caps)
    frame = _mark(_ranked(frame), pl.col("rank") >= _by_source(limits), "over_cap")
    claims = frame.filter(pl.col("reason").is_null()).group_by("category", "source").len("supply")
    quotas = _quotas(claims, asked, spec)
    frame = _with_times(_ranked(frame), quotas, spec.epochs)
    if spec.token_budget is not None:
        frame = _within_budget(frame, spec.scaled(spec.token_budget))
    lines = _lines(frame)
    rows = _rows(frame, lines)
    digest = blake3(f"mix {stage} {len(lines)}\n".encode())
    for ids in lines.get_column("sample_id").to_frame().iter_slices(1 << 20):
        digest.update(ids.get_column("sample_id").str.join("\n").item().encode() + b"\n")
    summary = _summary(rows, quotas, asked)
    return MixPlan(rows, digest.hexdigest(length=16), len(lines), int(summary["tokens"].sum()), summary)


def sample_keys(ids: pl.Series, seed: int, stage: str) -> _U64:
    """Two 64-bit keys for each id, shape (rows, 2): BLAKE3 over seed, stage and id, little-endian."""
    prefix = f"{seed}\n{stage}\n".encode()
    joined = b"".join([blake3(prefix + i.encode()).digest(16) for i in ids])
    return np.frombuffer(joined, dtype="<u8").reshape(-1, 2).astype(np.uint64)


def _mark(frame: pl.DataFrame, where: pl.Expr | pl.Series, reason: str) -> pl.DataFrame:
    """Give a reason to rows that have none yet."""
    return frame.with_columns(
        pl.when(pl.col("reason").is_null() & where)
        .then(pl.lit(reason))
        .otherwise(pl.col("reason"))
        .alias("reason")
    )


def _parts(frame: pl.DataFrame, spec: MixSpec) -> npt.NDArray[np.int64]:
    """Which part of the cut each sample belongs to: the same in every training stage that shares the cut."""
    assert spec.part is not None
    keys = sample_keys(frame.get_column("sample_id"), spec.seed, f"part {spec.part.name}")
    return (keys[:, 0] % np.uint64(spec.part.of)).astype(np.int64)


def _within_clusters(frame: pl.DataFrame, clusters: pl.DataFrame, most: int) -> pl.DataFrame:
    """Mark all but the first few samples of each cluster, in their order of selection."""
    known = frame.select("sample_id").join(clusters, on="sample_id", how="left", maintain_order="left")
    frame = frame.with_columns(cluster=known["cluster"].fill_null(frame["sample_id"]))
    order = (
        frame.lazy()
        .select("cluster", "pick", "reason")
        .with_row_index("row")
        .filter(pl.col("reason").is_null())
        .sort("pick", "row")
        .select("row", pl.int_range(pl.len()).over("cluster").alias("rank"))
        .collect()
    )
    over = np.zeros(len(frame), dtype=np.bool_)
    over[order["row"].to_numpy()] = order["rank"].to_numpy() >= most
    return _mark(frame.drop("cluster"), pl.Series(over), "over_cluster")


def _limits(spec: MixSpec, caps: Mapping[str, int]) -> dict[str, int]:
    names = {*caps, *spec.caps}
    both = {n: min(c for c in (caps.get(n), spec.caps.get(n)) if c is not None) for n in names}
    return {name: spec.scaled(cap) for name, cap in sorted(both.items())}


def _by_source(limits: Mapping[str, int]) -> pl.Expr:
    unlimited = pl.lit(np.iinfo(np.int64).max)
    if not limits:
        return unlimited
    return pl.col("source").replace_strict(
        list(limits), list(limits.values()), default=unlimited, return_dtype=pl.Int64
    )


def _ranked(frame: pl.DataFrame) -> pl.DataFrame:
    """Number the rows without a reason within (source, category), in their order of selection."""
    order = (
        frame.lazy()
        .select("source", "category", "pick", "reason")
        .with_row_index("row")
        .filter(pl.col("reason").is_null())
        # Rows are in order of id, so that equal picks are ordered by id.
        .sort("pick", "row")
        .select("row", pl.int_range(pl.len()).over("source", "category").cast(pl.Int64).alias("rank"))
        .collect()
    )
    rank = np.full(len(frame), -1, dtype=np.int64)
    rank[order["row"].to_numpy()] = order["rank"].to_numpy()
    return frame.with_columns(pl.Series("rank", rank))


def _quotas(claims: pl.DataFrame, asked: Mapping[str, int] | None, spec: MixSpec) -> pl.DataFrame:
    """Lines asked of each (category, source); null where the mix takes all."""
    rows: list[tuple[str, str, int | None, int]] = []
    for (category,), group in claims.sort("category", "source").group_by("category", maintain_order=True):
        supply = dict(zip(group["source"], group["supply"], strict=True))
        if asked is None:
            rows += [(str(category), s, None, n) for s, n in supply.items()]
            continue
        parts = apportion(asked[str(category)], {s: spec.weights.get(s, 1.0) * n for s, n in supply.items()})
        rows += [(str(category), s, parts[s], n) for s, n in supply.items()]
    schema = {"category": pl.String, "source": pl.String, "asked": pl.Int64, "supply": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _with_times(frame: pl.DataFrame, quotas: pl.DataFrame, epochs: int) -> pl.DataFrame:
    """Every sample once before any twice: line k of a (category, source) is sample k modulo its supply."""
    frame = frame.join(quotas, on=["category", "source"], how="left", maintain_order="left")
    # A null (no quota) is passed over by the minimum.
    granted = pl.min_horizontal(pl.col("asked"), pl.col("supply") * epochs)
    times = (granted - pl.col("rank") + pl.col("supply") - 1) // pl.col("supply")
    frame = frame.with_columns(
        pl.when(pl.col("reason").is_null())
        .then(times.clip(lower_bound=0))
        .otherwise(0)
        .cast(pl.Int32)
        .alias("times")
    )
    return _mark(frame, pl.col("times") == 0, "over_quota")


def _within_budget(frame: pl.DataFrame, budget: int) -> pl.DataFrame:
    """Keep lines, first readings before second ones, until the first that does not fit."""
    lines = (
        frame.lazy()
        .select("times", "pick", "tokens")
        .with_row_index("row")
        .filter(pl.col("times") > 0)
        .with_columns(pl.int_ranges(0, pl.col("times")).alias("reading"))
        .explode("reading")
        .sort("reading", "pick", "row")
        .filter(pl.col("tokens").fill_null(0).cast(pl.Int64).cum_sum() <= budget)
        .group_by("row")
        .len("fits")
        .collect()
    )
    fits = np.zeros(len(frame), dtype=np.int32)
    fits[lines["row"].to_numpy()] = lines["fits"].to_numpy()
    return _mark(frame.with_columns(pl.Series("times", fits)), pl.col("times") == 0, "over_budget")


def _lines(frame: pl.DataFrame) -> pl.DataFrame:
    """Sample ids of the plan in order, with the row that each comes from."""
    chosen = frame.select("sample_id", "times", "place").with_row_index("row").filter(pl.col("times") > 0)
    lines = chosen.with_columns(pl.int_ranges(0, pl.col("times")).alias("reading")).explode("reading")
    places = _scramble(lines["place"].to_numpy(), lines["reading"].to_numpy())
    return (
        lines.select("sample_id", "row", "reading")
        .with_columns(pl.Series("place", places))
        .sort("place", "row", "reading")
        .select("sample_id", "row", pl.int_range(pl.len()).cast(pl.Int64).alias("position"))
    )


def _scramble(place: _U64, reading: npt.NDArray[np.int64]) -> _U64:
    """Another place for each later reading (the finalizer of splitmix64); the first keeps its own."""
    with np.errstate(over="ignore"):
        z = place + reading.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.where(reading == 0, place, z ^ (z >> np.uint64(31)))


def _rows(frame: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    positions = lines.sort("row", "position").group_by("row", maintain_order=True).agg("position")
    return (
        frame.with_row_index("row")
        .join(positions, on="row", how="left", maintain_order="left")
        .select(
            "sample_id",
            "source",
            "category",
            pl.col("tokens").cast(pl.Int32),
            "times",
            pl.col("position").fill_null(pl.lit([], dtype=pl.List(pl.Int64))).alias("positions"),
            pl.when(pl.col("times") > 0).then(pl.lit(KEEP)).otherwise(pl.lit(DROP)).alias("verdict"),
            "reason",
            pl.lit(None, dtype=pl.String).alias("detail"),
        )
    )


def _summary(rows: pl.DataFrame, quotas: pl.DataFrame, asked: Mapping[str, int] | None) -> pl.DataFrame:
    lines = pl.col("times").cast(pl.Int64)
    table = (
        rows.group_by("category", "source")
        .agg(
            pl.len().cast(pl.Int64).alias("eligible"),
            (lines > 0).sum().cast(pl.Int64).alias("selected"),
            lines.sum().alias("realised"),
            (lines * pl.col("tokens")).sum().alias("tokens"),
        )
        .join(quotas.drop("supply"), on=["category", "source"], how="left")
    )
    missing = sorted(set(asked or {}) - set(quotas["category"]))
    absent = pl.DataFrame(
        {"category": missing, "asked": [asked[c] for c in missing] if asked else []},
        schema={"category": pl.String, "asked": pl.Int64},
    )
    table = pl.concat([table, absent], how="diagonal").sort("category", "source", nulls_last=True)
    counts = ("eligible", "selected", "realised", "tokens")
    table = table.with_columns(pl.col(name).fill_null(0) for name in counts)
    total = max(1, int(table["realised"].sum()))
    return table.with_columns(
        (pl.col("asked") - pl.col("realised")).clip(lower_bound=0).alias("short"),
        (pl.col("realised") / total).alias("share"),
    ).select(*SUMMARY)


def print_summary(summary: Sequence[Mapping[str, Any]]) -> str:
    """The table of asked versus realised as text, as it stands in the notes of a published mix."""
    frame = pl.DataFrame(list(summary), schema=SUMMARY)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        return str(frame)
