"""From measures to verdicts: the policy applied to a batch. Reads no text and no picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from infinity_assets.stages.filtered.measures import MEASURES, from_map, measure_batch, to_map
from infinity_assets.stages.filtered.policy import RULES, BalancePolicy, Policy
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.verdicts import DROP, KEEP


def filter_batch(
    rows: pa.Table, images: pl.DataFrame, policy: Policy, category: str, languages: Collection[str]
) -> pa.Table:
    """Measure a batch and judge it.

    Args:
        rows: rows of ``unified`` with the columns :data:`~.measures.UNIFIED_COLUMNS`.
        images: measures of their images, see :func:`~.measures.measure_batch`.
        policy: the thresholds.
        category: the source's category.
        languages: the source's languages.

    Returns:
        One row for each sample, in order, in the schema of ``filtered``.
    """
    measures = measure_batch(rows, images, languages)
    return decide(rows.column("sample_id"), rows.column("licence"), measures, policy, category)


def decide_again(stored: pa.Table, licences: pa.Table, policy: Policy, category: str) -> pa.Table:
    """New verdicts from stored measures.

    Args:
        stored: ``sample_id`` and ``measures`` of an earlier ``filtered``.
        licences: ``sample_id`` and ``licence`` of ``unified``, at least of those samples.
        policy: the thresholds.
        category: the source's category.

    Returns:
        As :func:`filter_batch`, with the measures unchanged.
    """
    ids = pl.DataFrame({"sample_id": stored.column("sample_id").to_pylist()}, schema={"sample_id": pl.String})
    joined = ids.join(
        pl.DataFrame(pl.from_arrow(licences)), on="sample_id", how="left", maintain_order="left"
    )
    measures = from_map(stored.column("measures"))
    return decide(stored.column("sample_id"), joined["licence"].to_arrow(), measures, policy, category)


def decide(
    sample_ids: pa.ChunkedArray, licences: Any, measures: pl.DataFrame, policy: Policy, category: str
) -> pa.Table:
    """Verdicts of a batch: findings in the fixed order of the rules, the first that drops is the reason.

    Args:
        sample_ids: one for each row.
        licences: one licence id for each row.
        measures: the columns :data:`~.measures.MEASURES`, one row for each sample.
        policy: the thresholds.
        category: the source's category.
    """
    frame = measures.select(MEASURES).with_columns(licence=pl.Series(pl.from_arrow(licences)).cast(pl.String))
    found, reasons, details = _licence(frame["licence"], policy)
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
            "policy": pa.repeat(pa.scalar(policy.hash), len(frame)),
            "verdict": columns.column("verdict"),
            "reason": columns.column("reason"),
            "detail": columns.column("detail"),
        }
    ).cast(FILTERED.schema)


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
