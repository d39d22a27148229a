"""What a verdict was held against: the thresholds of the policy that decided, not of today's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from infinity_assets.lineage.reader import Reader
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.deduped.verdict import MEANINGS
from infinity_assets.stages.duplicate_ledger.policy import DuplicatePolicy
from infinity_assets.stages.filtered.contamination.kinds import KINDS
from infinity_assets.stages.filtered.policy import RULES, Policy
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.filtered.scores import SCORE_RULES
from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.publish import kept_policy
from infinity_assets.stages.synthesized.schema import SYNTHESIS_QA
from infinity_assets.stages.tagged.taxonomy import load_taxonomy
from infinity_assets.store.tables import Published

Read = TypeVar("Read")
Side = Literal["above", "below"]

#: Rules of ``synthesis_qa``: the policy's field, the column, on which side a line fails.
_LINE_RULES: Final[tuple[tuple[str, str, str, Side], ...]] = (
    ("repeated_question", "novelty", "question_similarity", "above"),
    ("low_judge_score", "keep_score", "judge_score", "below"),
    ("high_loss", "loss_cut", "loss", "above"),
)


@dataclass(frozen=True, slots=True)
class Limit:
    """One rule, what was measured, and where the rule cuts."""

    rule: str
    measure: str
    value: float | None  #: null where it could not be measured: such a sample passes
    side: Side  #: of the limit on which a sample fails
    limit: float | None  #: null: never fails
    action: str  #: what follows from failing: drop, annotate or record
    failed: bool


def limits_of(
    reader: Reader, table: Published, row: Mapping[str, Any], scores: Mapping[str, Any]
) -> list[Limit]:
    """The rules that a stage held a row against.

    Args:
        reader: of the store where the policies are kept.
        table: the published table that the row stands in.
        row: of it.
        scores: the sample's row of ``scored``; empty where it has none.

    Returns:
        In the order in which a reason is chosen. Empty for a stage that decides nothing, and where the policy
        was not kept.
    """
    policy_id = {
        FILTERED.name: row.get("policy"),
        SYNTHESIS_QA.name: table.notes.get("policy_id"),
    }.get(table.table.name)
    if table.table.name == FILTERED.name:
        policy = _kept(reader, table, policy_id, Policy.model_validate)
        if policy is None:
            return []
        return [*_rules(policy, table, row), *_score_rules(policy, table, row, scores)]
    content = _kept(reader, table, policy_id, dict)
    return list(_line_rules(content, row)) if content is not None else []


def _rules(policy: Policy, table: Published, row: Mapping[str, Any]) -> Iterator[Limit]:
    measures = dict(row["measures"])
    category = str(table.notes.get("category", ""))
    for code, rule in RULES.items():
        if code not in policy.rules:
            continue
        decided = policy.rules[code]
        yield Limit(
            code,
            rule.measure,
            measures.get(rule.measure),
            rule.fails,
            decided.limit_for(category),
            decided.action,
            code in row["findings"],
        )


def _score_rules(
    policy: Policy, table: Published, row: Mapping[str, Any], scores: Mapping[str, Any]
) -> Iterator[Limit]:
    cuts = table.notes.get("loss_cuts", {})
    for code, measure in SCORE_RULES.items():
        if not scores:
            return
        if code == "high_loss":
            limit, action = cuts.get(scores.get("kind"), cuts.get("*")), policy.scores.high_loss.action
        else:
            rating = policy.scores.rating(code)
            limit, action = rating.limit, rating.action
        side: Side = "above" if code == "high_loss" else "below"
        yield Limit(code, measure, scores.get(measure), side, limit, action, code in row["findings"])


def picture_limits(picture: Mapping[str, Any]) -> list[Limit]:
    """What a picture's header was held against before a pixel was decoded; part of the code, of no policy.

    Args:
        picture: row of ``images``; empty where there is none.
    """
    if not picture:
        return []
    most = Limits()
    sides = (picture["stored_width"] or picture["width"], picture["stored_height"] or picture["height"])
    pixels = sides[0] * sides[1] if None not in sides else None
    measured = (
        ("too_large", "byte_length", picture["byte_length"], most.max_bytes),
        ("too_large", "pixels", pixels, most.max_pixels),
        ("too_many_frames", "frames", picture["frames"], most.max_frames),
    )
    return [
        Limit(rule, name, value, "above", limit, "quarantine", value is not None and value > limit)
        for rule, name, value, limit in measured
    ]


def settings_of(reader: Reader, table: Published, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What decided beside limits of one measure: on edges, licences and benchmarks, and what a mix asked."""
    if table.table.name == MIXED.name:
        return _asked(table, row)
    deduped = table.table.name == DEDUPED.name
    policy_id = table.notes.get("policy") if deduped else row.get("policy")
    if deduped:
        edges = _kept(reader, table, policy_id, DuplicatePolicy.model_validate)
        return _of_duplicates(edges) if edges is not None else {}
    rules = _kept(reader, table, policy_id, Policy.model_validate)
    return _of_licences(rules) if rules is not None else {}


def _kept(
    reader: Reader, table: Published, policy_id: str | None, read: Callable[[Mapping[str, Any]], Read]
) -> Read | None:
    """What decided; None where it was not kept."""
    if not policy_id:
        return None

    def find() -> Read | None:
        content = kept_policy(reader.store, policy_id)
        return read(content) if content is not None else None

    return reader.remembered(table, f"policy {policy_id}", find)


def _of_duplicates(policy: DuplicatePolicy) -> Mapping[str, Any]:
    kinds = {kind: getattr(policy, kind).action for kind in MEANINGS}
    return {**kinds, "phash_radius": policy.phash_radius, "text_similarity": policy.text_similarity}


def _of_licences(policy: Policy) -> Mapping[str, Any]:
    licences = policy.licences
    return {
        "licence denied": licences.deny,
        f"licence unknown, then {licences.unknown}": licences.unknown_names,
        f"licence noncommercial, then {licences.noncommercial}": licences.noncommercial_names,
        **{kind: getattr(policy.contamination, kind).action for kind in KINDS},
    }


def _asked(mixed: Published, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a plan asked of the sample's source, and what it got."""
    same = (one for one in mixed.notes["summary"] if one["source"] == row["source"])
    found: Mapping[str, Any] = next((one for one in same if one["category"] == row["category"]), {})
    names = ("asked", "eligible", "selected", "realised", "short")
    return {name: found[name] for name in names if found.get(name) is not None}


def _line_rules(policy: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[Limit]:
    reads_text = row["instruction_l3"] in {leaf.name for leaf in load_taxonomy().group("ocr")}
    for code, field, column, side in _LINE_RULES:
        limit = policy["loss_cut_ocr" if reads_text and field == "loss_cut" else field]
        yield Limit(code, column, row.get(column), side, limit, "drop", row.get("reason") == code)
