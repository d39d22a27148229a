"""Materializing plan, lines and conversations of a source: what did not change is not written again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa

from infinity_assets.quality.audit import CheckResult
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.publish import StageResult, publish, verdict_stats
from infinity_assets.stages.synthesized.facts import TAGGED_COLUMNS, UNIFIED_COLUMNS, Facts, collect_facts
from infinity_assets.stages.synthesized.lines import LINES_VERSION, decide, write_by_rules
from infinity_assets.stages.synthesized.merge import MERGE_VERSION, merge
from infinity_assets.stages.synthesized.plan import PLAN_VERSION, coverage, plan_lines, suits
from infinity_assets.stages.synthesized.rules import RULES_VERSION, possible_leaves
from infinity_assets.stages.synthesized.schema import SYNTHESIS_PLAN, SYNTHESIS_QA, SYNTHESIZED
from infinity_assets.stages.tag_associations.schema import TAG_ASSOCIATIONS, WHOLE
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.tagged.stage import kept_rows, require_parallel
from infinity_assets.stages.tagged.taxonomy import Taxonomy, load_taxonomy
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.digests import key_of, table_digest
from infinity_assets.store.tables import Published, Shard, TableSpec, Transaction

if TYPE_CHECKING:
    from infinity_assets.platform import Platform

TABLES: Final = (SYNTHESIS_PLAN, SYNTHESIS_QA, SYNTHESIZED)
LINES_CHECK: Final = "lines_conserved"
LINES_PROMISE: Final = "every kept line is in exactly one conversation"

#: Lines of a shard, about. Shards are cut by picture, so that a new one touches one shard alone.
SHARD_LINES: Final = 512


@dataclass(frozen=True, slots=True)
class SynthesisResult:
    """What was published, table by table."""

    plan: StageResult
    qa: StageResult
    synthesized: StageResult


def materialize_synthesized(platform: Platform, source: str, run_id: str) -> SynthesisResult:
    """Publish plan, lines and conversations of a source.

    A benchmark gets none. Where nothing was associated yet, chance and floors decide the plan. If no input,
    version or policy moved since the last time, nothing is read.

    Raises:
        StoreError: if ``unified``, ``images`` or ``tagged`` was never published, or do not fit together.
    """
    work = _Work(platform, source, run_id)
    return work.again() if work.settled() else work.anew()


class _Work:
    """One materialization."""

    def __init__(self, platform: Platform, source: str, run_id: str) -> None:
        store = platform.store
        self.platform, self.source, self.run_id = platform, source, run_id
        self.policy, self.taxonomy = platform.synthesis, load_taxonomy()
        self.unified = store.require(UNIFIED, source)
        self.tagged = store.require(TAGGED, source)
        self.images = store.require(IMAGES, source)
        self.associations = store.published(TAG_ASSOCIATIONS, WHOLE)
        require_parallel(self.unified, self.tagged)
        self.transactions = {spec.name: store.begin(spec, source) for spec in TABLES}
        self.inputs = {t.table.name: t.data_version for t in (self.unified, self.tagged, self.images)}
        if self.associations is not None:
            self.inputs[TAG_ASSOCIATIONS.name] = self.associations.data_version
        self.versions = (PLAN_VERSION, RULES_VERSION, LINES_VERSION, MERGE_VERSION)
        category = platform.catalogue[source].spec.category
        self.takes_part = category != "evaluation" and self.policy.lines_per_picture > 0
        self.made_from = key_of(
            self.versions,
            self.taxonomy.hash,
            (self.policy.planning, self.policy.keeping, self.policy.merging, platform.associations.backoff),
            self.takes_part,
            sorted(self.inputs.items()),
        )

    @property
    def _note(self) -> str:
        return f"_synthesis/{self.source}.json"

    def settled(self) -> bool:
        """Whether what is published was made from all this; equal content commits nothing and cannot say."""
        found = self.platform.store.objects.get(self._note)
        return found is not None and json.loads(found) == self._state()

    def _state(self) -> dict[str, Any]:
        bases = {name: t.base for name, t in self.transactions.items()}
        return {"made_from": self.made_from} | {n: b.data_version if b else None for n, b in bases.items()}

    def again(self) -> SynthesisResult:
        """What is published, as it is."""
        bases = {name: t.base for name, t in self.transactions.items() if t.base is not None}
        check = _lines_check(bases[SYNTHESIS_QA.name].shards, bases[SYNTHESIZED.name].shards)
        results = []
        for spec in TABLES:
            base = bases[spec.name]
            checks = [check] if spec is SYNTHESIZED else []
            rows_in = int(base.notes["rows_in"])
            results.append(self._publish(spec, base.shards, rows_in, dict(base.notes), checks))
        return SynthesisResult(*results)

    def anew(self) -> SynthesisResult:
        """Plan, write, judge and merge; shards that are there are taken as they are."""
        facts = self._facts() if self.takes_part else []
        labels = sorted({box.label for fact in facts for box in fact.boxes})
        plan, planned = self._plan(facts, labels)
        by_id = {fact.image_id: fact for fact in facts}
        lines, talks = [], []
        for part in _parts(plan):
            about = {image_id: by_id[image_id] for image_id in part.column("image_id").to_pylist()}
            line = self._lines(part, about, labels)
            lines.append(line)
            talks.append(self._talks(line, about))
        leaves = [leaf for shard in lines for leaf in shard.stats["kept_leaves"]]
        table = coverage(facts, plan, leaves)
        told = {"engine": self.policy.engine, "policy": f"{self.policy.name}@{self.policy.version}"}
        notes = {
            "pictures": len(facts),
            "coverage": table,
            "leaves_before": sum(row["before"] > 0 for row in table),
            "leaves_planned": sum(row["planned"] > 0 for row in table),
            "taxonomy": self.taxonomy.label,
        }
        check = _lines_check(lines, talks)
        merged = sum(shard.stats["lines"] for shard in talks)
        cost = {
            name: sum(shard.stats[name] for shard in lines) for name in ("prompt_tokens", "completion_tokens")
        }
        conversations = sum(shard.rows for shard in talks)
        results = (
            self._publish(SYNTHESIS_PLAN, [planned], planned.rows, told | notes),
            self._publish(SYNTHESIS_QA, lines, planned.rows, told | cost),
            self._publish(SYNTHESIZED, talks, conversations, told | {"lines": merged}, [check]),
        )
        state = {"made_from": self.made_from}
        state |= {r.published.table.name: r.published.data_version for r in results}
        self.platform.store.objects.put(self._note, json.dumps(state).encode())
        return SynthesisResult(*results)

    def _publish(
        self,
        spec: TableSpec,
        shards: Sequence[Shard],
        rows_in: int,
        notes: dict[str, Any],
        checks: Sequence[CheckResult] = (),
    ) -> StageResult:
        return publish(
            self.transactions[spec.name],
            shards,
            rows_in=rows_in,
            run_id=self.run_id,
            inputs=self.inputs,
            notes={name: value for name, value in notes.items() if name not in {"rows_in", "contract"}},
            further_checks=checks,
        )

    def _facts(self) -> list[Facts]:
        samples, tags = [], []
        for mine, theirs in zip(self.unified.shards, self.tagged.shards, strict=True):
            found = self.tagged.read_shard(theirs, TAGGED_COLUMNS)
            samples.append(kept_rows(self.unified, mine, found, UNIFIED_COLUMNS))
            tags.append(found)
        if not samples:
            return []
        shown = self.images.read(["image_id", "width", "height"], f"verdict = '{KEEP}'")
        images = pl.DataFrame(pl.from_arrow(shown))
        return collect_facts(pa.concat_tables(samples), pa.concat_tables(tags), images)

    def _plan(self, facts: Sequence[Facts], labels: Sequence[str]) -> tuple[pa.Table, Shard]:
        associated = TAG_ASSOCIATIONS.schema.empty_table()
        if self.associations is not None and facts:
            associated = self.associations.read()
        weights = suits(associated, self.taxonomy, self.platform.associations.backoff)
        possible = [possible_leaves(fact, labels) for fact in facts]
        plan = plan_lines(self.source, facts, possible, weights, self.taxonomy, self.policy)
        stats = verdict_stats(plan, SYNTHESIS_PLAN.key)
        key = key_of(SYNTHESIS_PLAN.name, PLAN_VERSION, table_digest(plan))
        return plan, self.transactions[SYNTHESIS_PLAN.name].stage(key, plan, stats)

    def _lines(self, part: pa.Table, about: dict[str, Facts], labels: Sequence[str]) -> Shard:
        transaction = self.transactions[SYNTHESIS_QA.name]
        told = sorted(about.values(), key=lambda fact: fact.image_id)
        key = key_of(
            SYNTHESIS_QA.name,
            self.versions,
            (self.policy.engine, self.policy.seed, self.policy.keeping),
            table_digest(part),
            told,
            labels,
        )
        shard = transaction.have(key)
        if shard is not None:
            return shard
        measured = write_by_rules(part.to_pylist(), about, labels, self.policy.seed)
        table = decide(measured, [leaf.name for leaf in self.taxonomy.group("ocr")], self.policy)
        kept = pl.DataFrame(pl.from_arrow(table)).filter(verdict=KEEP)
        stats = verdict_stats(table, SYNTHESIS_QA.key) | {
            "kept_leaves": kept["instruction_l3"].to_list(),
            "prompt_tokens": int(measured["prompt_tokens"].sum()),
            "completion_tokens": int(measured["completion_tokens"].sum()),
        }
        return transaction.stage(key, table, stats)

    def _talks(self, lines: Shard, about: dict[str, Facts]) -> Shard:
        transaction = self.transactions[SYNTHESIZED.name]
        origin = sorted((f.image_id, f.parent_ids, f.licence) for f in about.values())
        difficulty = _difficulty(self.taxonomy)
        key = key_of(SYNTHESIZED.name, MERGE_VERSION, self.policy.merging, lines.digest, origin, difficulty)
        shard = transaction.have(key)
        if shard is not None:
            return shard
        rows = _staged_rows(self.transactions[SYNTHESIS_QA.name], lines)
        table = merge(self.source, rows, about, self.taxonomy, self.policy)
        stats = verdict_stats(table, SYNTHESIZED.key) | {
            "ids": table_digest(table.select(["sample_id"])),
            "lines": sum(map(len, table.column("line_ids").to_pylist())),
        }
        return transaction.stage(key, table, stats)


def _difficulty(taxonomy: Taxonomy) -> str:
    return key_of([(leaf.name, leaf.difficulty) for leaf in taxonomy.leaves.values()])


def _lines_check(lines: Sequence[Shard], talks: Sequence[Shard]) -> CheckResult:
    """Whether the merge lost or doubled a line, from the counts of both tables' shards."""
    kept = sum(shard.stats["verdicts"].get(KEEP, 0) for shard in lines)
    merged = sum(shard.stats["lines"] for shard in talks)
    return CheckResult(
        LINES_CHECK,
        SYNTHESIZED.name,
        kept == merged,
        True,
        LINES_PROMISE if kept == merged else f"{kept:,} lines were kept, conversations hold {merged:,}",
        abs(kept - merged),
    )


def _parts(plan: pa.Table) -> list[pa.Table]:
    """The plan cut by picture into a power of two of parts; empty ones are left out."""
    parts = 1
    while parts * SHARD_LINES < plan.num_rows:
        parts *= 2
    frame = pl.DataFrame(pl.from_arrow(plan))
    at = frame["image_id"].str.slice(0, 8).str.to_integer(base=16) % parts
    pieces = (frame.filter(at == i) for i in range(parts))
    return [piece.to_arrow().cast(SYNTHESIS_PLAN.schema) for piece in pieces if len(piece)]


def _staged_rows(transaction: Transaction, shard: Shard) -> list[dict[str, Any]]:
    """Rows of a shard that need not be published yet."""
    with transaction.preview([shard]) as dataset:
        rows: list[dict[str, Any]] = dataset.to_table().to_pylist()
    return rows


def behind(platform: Platform, source: str) -> bool:
    """Whether a source's conversations were made from other tags or associations than are published."""
    tagged = platform.store.published(TAGGED, source)
    if tagged is None:
        return False
    found = platform.store.published(SYNTHESIZED, source)
    associations = platform.store.published(TAG_ASSOCIATIONS, WHOLE)
    return found is None or _made_otherwise(found, tagged, associations)


def _made_otherwise(found: Published, tagged: Published, associations: Published | None) -> bool:
    wanted = associations.data_version if associations else None
    return (
        found.inputs.get(TAGGED.name) != tagged.data_version
        or found.inputs.get(TAG_ASSOCIATIONS.name) != wanted
    )
