"""From measures to verdicts: the policy applied to a batch. Reads no text and no picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import polars as pl
import pyarrow as pa

from infinity_assets.stages.filtered.contamination.kinds import CONTAMINATION, FOUND, KINDS
from infinity_assets.stages.filtered.measures import MEASURES, from_map, measure_batch, to_map
from infinity_assets.stages.filtered.policy import RULES, BalancePolicy, Policy
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.filtered.scores import NO_SCORES, score_findings
from infinity_assets.stages.verdicts import DROP, KEEP

#: The contamination of samples of which none was found to hold an item.
NO_HITS: Final = pl.DataFrame(pl.from_arrow(CONTAMINATION.schema.empty_table()))


def filter_batch(
    rows: pa.Table,
    images: pl.DataFrame,
    policy: Policy,
    category: str,
    languages: Collection[str],
    hits: pl.DataFrame = NO_HITS,
    scores: pl.DataFrame = NO_SCORES,
) -> pa.Table:
    """Measure a batch and judge it.

    Args:
        rows: rows of ``unified`` with the columns :data:`~.measures.UNIFIED_COLUMNS`.
        images: measures of their images, see :func:`~.measures.measure_batch`.
        policy: the thresholds.
        category: the source's category.
        languages: the source's languages.
        hits: rows of ``contamination``, at least of those samples.
        scores: what a model said of them, see :data:`~.scores.NO_SCORES`; a sample may be missing.

    Returns:
        One row for each sample, in order, in the schema of ``filtered``.
    """
    measures = measure_batch(rows, images, languages)
    return decide(rows.column("sample_id"), rows.column("licence"), measures, policy, category, hits, scores)


def decide_again(
    stored: pa.Table,
    licences: pa.Table,
    policy: Policy,
    category: str,
    hits: pl.DataFrame = NO_HITS,
    scores: pl.DataFrame = NO_SCORES,
) -> pa.Table:
    """New verdicts from stored measures.

    Args:
        stored: ``sample_id`` and ``measures`` of an earlier ``filtered``.
        licences: ``sample_id`` and ``licence`` of ``unified``, at least of those samples.
        policy: the thresholds.
        category: the source's category.
        hits: rows of ``contamination``, at least of those samples.
        scores: as there.

    Returns:
        As :func:`filter_batch`, with the measures unchanged.
    """
    named = pl.DataFrame(
        {"sample_id": stored.column("sample_id").to_pylist()}, schema={"sample_id": pl.String}
    )
    joined = named.join(
        pl.DataFrame(pl.from_arrow(licences)), on="sample_id", how="left", maintain_order="left"
    )
    measures = from_map(stored.column("measures"))
    ids = stored.column("sample_id")
    return decide(ids, joined["licence"].to_arrow(), measures, policy, category, hits, scores)


def decide(
    sample_ids: pa.ChunkedArray,
    licences: Any,
    measures: pl.DataFrame,
    policy: Policy,
    category: str,
    hits: pl.DataFrame = NO_HITS,
    scores: pl.DataFrame = NO_SCORES,
) -> pa.Table:
    """Verdicts of a batch: contamination, the licence, the rules in their order, then a model's scores.

    Findings stand in that order, and the first that drops is the reason.

    Args:
        sample_ids: one for each row.
        licences: one licence id for each row.
        measures: the columns :data:`~.measures.MEASURES`, one row for each sample.
        policy: the thresholds.
        category: the source's category.
        hits: rows of ``contamination``, at least of those samples.
        scores: what a model said of them, see :data:`~.scores.NO_SCORES`; a sample may be missing.
    """
    leaks = contamination_of(sample_ids, hits)
    frame = measures.select(MEASURES).with_columns(licence=pl.Series(pl.from_arrow(licences)).cast(pl.String))
    said = pl.DataFrame({"sample_id": pl.Series(pl.from_arrow(sample_ids), dtype=pl.String)}).join(
        scores, on="sample_id", how="left", maintain_order="left"
    )
    frame = pl.concat([frame, leaks.select(KINDS.keys()), said.drop("sample_id")], how="horizontal")
    found, reasons, details = _licence(frame["licence"], policy)
    leaking = {kind: pl.when(pl.col(kind).is_not_null()).then(pl.lit(kind)) for kind in KINDS}
    found = [*leaking.values(), *found]
    reasons = [*(leaking[kind] for kind in policy.contamination.dropping), *reasons]
    details = [*map(pl.col, policy.contamination.dropping), *details]
    for code, rule in RULES.items():
        settings = policy.rules.get(code)
        limit = settings.limit_for(category) if settings is not None else None
        if settings is None or limit is None:
            continue
        value = pl.col(rule.measure)
        fails = (value > limit if rule.fails == "above" else value < limit).fill_null(False)
        found.append(pl.when(fails).then(pl.lit(code)))
        if settings.action == "drop":
            text = pl.format(
                "{} {} is {} {}", pl.lit(rule.measure), value.round(4), pl.lit(rule.fails), pl.lit(limit)
            )
            reasons.append(pl.when(fails).then(pl.lit(code)))
            details.append(pl.when(fails).then(text))
    said_found, said_reasons, said_details = score_findings(policy.scores)
    found, reasons, details = [*found, *said_found], [*reasons, *said_reasons], [*details, *said_details]
    judged = frame.select(
        findings=pl.concat_list(found).list.drop_nulls(),
        reason=pl.coalesce(reasons),
        detail=pl.coalesce(details),
    ).with_columns(verdict=pl.when(pl.col("reason").is_null()).then(pl.lit(KEEP)).otherwise(pl.lit(DROP)))
    columns = judged.to_arrow()
    return pa.table(
        {
            "sample_id": sample_ids,
            "measures": to_map(measures),
            "findings": columns.column("findings"),
            "contamination": leaks["contamination"].to_arrow(),
            "policy": pa.repeat(pa.scalar(policy.hash), len(frame)),
            "verdict": columns.column("verdict"),
            "reason": columns.column("reason"),
            "detail": columns.column("detail"),
        }
    ).cast(FILTERED.schema)


def contamination_of(sample_ids: Any, hits: pl.DataFrame) -> pl.DataFrame:
    """What each sample holds of benchmarks.

    Args:
        sample_ids: one for each row.
        hits: rows of ``contamination``, at least of those samples.

    Returns:
        ``contamination`` (a list of structs, by benchmark and kind), and for each kind a column of its name:
        the most alike item in words, null where there is none.
    """
    ids = pl.DataFrame({"sample_id": pl.Series(pl.from_arrow(sample_ids), dtype=pl.String)})
    mine = hits.join(ids, on="sample_id", how="semi").sort("sample_id", "benchmark", "kind")
    listed = mine.group_by("sample_id").agg(contamination=pl.struct(field.name for field in FOUND))
    found = ids.join(listed, on="sample_id", how="left", maintain_order="left").with_columns(
        pl.col("contamination").fill_null([])
    )
    for kind, words in KINDS.items():
        best = mine.filter(pl.col("kind") == kind).sort("score", descending=True, maintain_order=True)
        text = pl.format(
            "{} {} of benchmark {}, likeness {}",
            pl.lit(words),
            "item_id",
            "benchmark",
            pl.col("score").round(3),
        )
        told = best.unique("sample_id", keep="first").select("sample_id", text.alias(kind))
        found = found.join(told, on="sample_id", how="left", maintain_order="left")
    return found.drop("sample_id")


def balance(answers: Mapping[str, int], policy: Policy) -> dict[str, Any]:
    """How one-sided the answers of a whole source are; drops nothing.

    Args:
        answers: counts under ``yes``, ``no`` and option letters, see :func:`~.measures.count_answers`.
        policy: its ``yes_bias`` and ``letter_bias``.

    Returns:
        ``yes_no_answers``, ``yes_share`` and ``letter_answers``, ``letter_shares`` (null where there are no
        such answers), and ``source_findings``: ``yes_bias``, ``no_bias`` or ``letter_bias``.
    """
    yes, no = answers.get("yes", 0), answers.get("no", 0)
    letters = {k: n for k, n in sorted(answers.items()) if len(k) == 1}
    lettered = sum(letters.values())
    findings = []
    if _leans(yes, yes + no, policy.yes_bias):
        findings.append("yes_bias")
    if _leans(no, yes + no, policy.yes_bias):
        findings.append("no_bias")
    if _leans(max(letters.values(), default=0), lettered, policy.letter_bias):
        findings.append("letter_bias")
    return {
        "yes_no_answers": yes + no,
        "yes_share": round(yes / (yes + no), 6) if yes + no else None,
        "letter_answers": lettered,
        "letter_shares": {k: round(n / lettered, 6) for k, n in letters.items()} if lettered else None,
        "source_findings": findings,
    }


def _leans(count: int, total: int, policy: BalancePolicy) -> bool:
    return total >= policy.min_answers and count / total > policy.limit


def _licence(licences: pl.Series, policy: Policy) -> tuple[list[pl.Expr], list[pl.Expr], list[pl.Expr]]:
    """Expressions for the finding, the dropping reason and its detail, by the few distinct licences."""
    judged = {name: policy.licences.finding(name or "") for name in licences.unique().to_list()}
    codes = {name: verdict[0] for name, verdict in judged.items() if verdict}
    drops = {name: verdict[0] for name, verdict in judged.items() if verdict and verdict[1] == DROP}
    said = {name: f"licence {name or ''!r} is denied, or nobody knows it" for name in drops}
    return tuple(  # type: ignore[return-value]
        [pl.col("licence").replace_strict(mapping, default=None, return_dtype=pl.String)]
        for mapping in (codes, drops, said)
    )
