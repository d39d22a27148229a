"""Materializing plan, lines and conversations of a source: what did not change is not written again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa

from infinity_assets.models.vlm.budget import Budget
from infinity_assets.models.vlm.costs import Cost, books, ledger, to_json
from infinity_assets.quality.audit import CheckResult
from infinity_assets.stages.publish import StageResult, code_version, keep_policy, publish, verdict_stats
from infinity_assets.stages.served import (
    Made,
    Order,
    deliver,
    inputs_moved,
    made_elsewhere,
    ordered,
    orders_of,
)
from infinity_assets.stages.synthesized.asking import ASKING_VERSION
from infinity_assets.stages.synthesized.facts import Facts
from infinity_assets.stages.synthesized.generate import PASSING, UNSENT
from infinity_assets.stages.synthesized.inputs import Inputs
from infinity_assets.stages.synthesized.lines import LINES_VERSION, decide
from infinity_assets.stages.synthesized.merge import MERGE_VERSION, merge
from infinity_assets.stages.synthesized.plan import PLAN_VERSION, coverage
from infinity_assets.stages.synthesized.rules import RULES_VERSION
from infinity_assets.stages.synthesized.schema import (
    LINES_CHECK,
    LINES_PROMISE,
    SYNTHESIS_PLAN,
    SYNTHESIS_QA,
    SYNTHESIZED,
)
from infinity_assets.stages.synthesized.writers import ModelWriter, Writer
from infinity_assets.stages.tagged.taxonomy import Taxonomy
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.digests import key_of, table_digest
from infinity_assets.store.tables import Shard, TableSpec, Transaction

if TYPE_CHECKING:
    from infinity_assets.platform import Platform

TABLES: Final = (SYNTHESIS_PLAN, SYNTHESIS_QA, SYNTHESIZED)
#: What each is made by, beside its schema.
MADE_BY: Final = {
    SYNTHESIS_PLAN.name: (PLAN_VERSION,),
    SYNTHESIS_QA.name: (RULES_VERSION, ASKING_VERSION, LINES_VERSION),
    SYNTHESIZED.name: (MERGE_VERSION,),
}

#: Lines of a shard, about. Shards are cut by picture, so that a new one touches one shard alone.
SHARD_LINES: Final = 512


@dataclass(frozen=True, slots=True)
class SynthesisResult:
    """What was published, table by table."""

    plan: StageResult
    qa: StageResult
    synthesized: StageResult
    costs: tuple[Cost, ...] = ()  #: of the published lines, by prompt and model, and of this run
    currency: str | None = None  #: of the costs; null by rules


def materialize_synthesized(platform: Platform, source: str, run_id: str) -> SynthesisResult:
    """Publish plan, lines and conversations of a source.

    A benchmark gets none. Where nothing was associated yet, chance and floors decide the plan. If no input,
    version or policy moved since the last time, nothing is read.

    Where a model writes, each reply is kept as it comes: a rerun asks only for what is missing. When the
    budget is spent, lines that were not reached are published as dropped (``budget_spent``), and a larger one
    goes on from there. Lines at which an engine failed are asked about again by the next run.

    Raises:
        StoreError: if ``unified``, ``images`` or ``tagged`` was never published, or do not fit together.
        CatalogueError: if the policy, a prompt or an engine is wrong.
        EngineError: an engine as a whole does not work. What was answered is kept.
    """
    with ExitStack() as opened:
        work = _Work(platform, source, run_id, opened)
        return work.again() if work.settled() else work.anew()


def run_lines(root: str, key: str, payload: Mapping[str, Any]) -> None:
    """Write the lines of an order, with a server beside this process.

    Raises:
        StoreError: if inputs, policy or models are not those of the order any more.
        EngineError: an engine as a whole does not work. What was answered is kept.
    """
    with ordered(root, key, payload) as platform, ExitStack() as opened:
        work = _Work(platform, payload["source"], payload["run_id"], opened)
        deliver(work.transactions[SYNTHESIS_QA.name], key, work.ordered(payload))


class _Work:
    """One materialization."""

    def __init__(self, platform: Platform, source: str, run_id: str, opened: ExitStack) -> None:
        self.platform, self.source, self.run_id = platform, source, run_id
        self.read = Inputs(platform, source, opened)
        self.policy, self.taxonomy = platform.synthesis, self.read.taxonomy
        self.transactions = {spec.name: platform.store.begin(spec, source) for spec in TABLES}
        self.costs: list[Cost] = []  # of this run

    def settled(self) -> bool:
        """Whether what is published was made from all this; equal content commits nothing and cannot say."""
        bases = {name: t.base.data_version if t.base else None for name, t in self.transactions.items()}
        return self.read.noted == self.read.state(bases)

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
        plan, qa, talks = results
        return self._result((plan, qa, talks), bases[SYNTHESIS_QA.name].shards)

    def anew(self) -> SynthesisResult:
        """Plan, write, judge and merge; shards that are there are taken as they are."""
        facts = self.read.facts()
        writer = self.read.writer(facts)
        plan, planned = self._plan(facts, writer)
        by_id = {fact.image_id: fact for fact in facts}
        parts = _parts(plan)
        about = [{i: by_id[i] for i in part.column("image_id").to_pylist()} for part in parts]
        lines = self._lines(parts, about, writer)
        talks = [self._talks(line, facts_of) for line, facts_of in zip(lines, about, strict=True)]
        leaves = [leaf for shard in lines for leaf in shard.stats["kept_leaves"]]
        table = coverage(facts, plan, leaves)
        told = {"engine": self.policy.engine, "policy": f"{self.policy.name}@{self.policy.version}"}
        told["policy_id"] = keep_policy(
            self.platform.store, self.policy.keeping, self.policy.model_dump(mode="json")
        )
        notes = {
            "pictures": len(facts),
            "coverage": table,
            "leaves_before": sum(row["before"] > 0 for row in table),
            "leaves_planned": sum(row["planned"] > 0 for row in table),
            "taxonomy": self.taxonomy.label,
        }
        check = _lines_check(lines, talks)
        merged = sum(shard.stats["lines"] for shard in talks)
        conversations = sum(shard.rows for shard in talks)
        results = (
            self._publish(SYNTHESIS_PLAN, [planned], planned.rows, told | notes),
            self._publish(SYNTHESIS_QA, lines, planned.rows, told | self._told(lines)),
            self._publish(SYNTHESIZED, talks, conversations, told | {"lines": merged}, [check]),
        )
        tables = {r.published.table.name: r.published.data_version for r in results}
        self.read.note(tables, sum(shard.stats["passing"] for shard in lines))
        return self._result(results, lines)

    def _result(
        self, results: tuple[StageResult, StageResult, StageResult], lines: Sequence[Shard]
    ) -> SynthesisResult:
        published = (shard.stats["costs"] for shard in lines)
        return SynthesisResult(*results, tuple(books(published, self.costs)), self.read.currency)

    def _told(self, lines: Sequence[Shard]) -> dict[str, Any]:
        """Counts for the page of the lines."""
        names = ("prompt_tokens", "completion_tokens", "passing", "unsent", "without_loss")
        told = {name: sum(shard.stats[name] for shard in lines) for name in names}
        if self.policy.by_rules:
            return {name: told[name] for name in names[:2]}
        return told | {
            "loss_by": self.policy.scorer or "none: synthesis.yaml names no scorer, so no loss is taken"
        }

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
            engine=self.platform.settings.contracts,
            inputs=self.read.versions,
            made_by=code_version(spec.version, *MADE_BY[spec.name]),
            notes={name: value for name, value in notes.items() if name not in {"rows_in", "contract"}},
            further_checks=checks,
        )

    def _plan(self, facts: Sequence[Facts], writer: Writer) -> tuple[pa.Table, Shard]:
        plan = self.read.plan(facts, writer)
        stats = verdict_stats(plan, SYNTHESIS_PLAN.key)
        key = key_of(SYNTHESIS_PLAN.name, PLAN_VERSION, table_digest(plan))
        return plan, self.transactions[SYNTHESIS_PLAN.name].stage(key, plan, stats)

    def _lines(
        self, parts: Sequence[pa.Table], about: Sequence[dict[str, Facts]], writer: Writer
    ) -> list[Shard]:
        """A shard for each part: what is missing is written, in pods where these start a server."""
        transaction = self.transactions[SYNTHESIS_QA.name]
        keys = [self._key(part, facts, writer) for part, facts in zip(parts, about, strict=True)]
        have = {key: transaction.have(key) or transaction.have(self._within(key)) for key in keys}
        missing = [place for place, key in enumerate(keys) if have[key] is None]

        def told(places: Sequence[int]) -> dict[str, Any]:
            rows = [parts[place].to_pylist() for place in places]
            facts = [[asdict(fact) for fact in about[place].values()] for place in places]
            return {"made_from": self.read.made_from, "run_id": self.run_id, "rows": rows, "facts": facts}

        def orders() -> list[Order]:
            together = writer.together
            groups = [range(len(parts))[i : i + together] for i in range(0, len(parts), together)]
            known = [(key, self._within(key)) for key in keys]
            return orders_of(transaction, known, groups, lambda place: parts[place].num_rows, told)

        engines, budget = self.policy.engines, self.policy.budget
        found = made_elsewhere(self.platform, "lines", transaction, engines, budget, orders)
        for made in found if found is not None else self.written(missing, keys, parts, about, writer):
            have[made.key] = made.shard
            self.costs += made.costs
        return [shard for key in keys if (shard := have[key]) is not None]

    def written(
        self,
        places: Sequence[int],
        keys: Sequence[str],
        parts: Sequence[pa.Table],
        about: Sequence[dict[str, Facts]],
        writer: Writer,
    ) -> Iterator[Made]:
        """Some parts, written in this process, several at once where a model writes."""
        for first in range(0, len(places), writer.together):
            group = places[first : first + writer.together]
            rows = [row for place in group for row in parts[place].to_pylist()]
            written = writer.write(rows, {i: fact for place in group for i, fact in about[place].items()})
            begin = 0
            for place in group:
                end = begin + parts[place].num_rows
                costs = ledger(cost for line in written.costs_by_line[begin:end] for cost in line)
                yield Made(keys[place], self._staged(keys[place], written.lines[begin:end], costs), costs)
                begin = end

    def ordered(self, payload: Mapping[str, Any]) -> Iterator[Made]:
        """The lines of an order; its share of the budget is all that they may cost.

        Raises:
            StoreError: if inputs, policy or models are not those of the order any more.
        """
        facts = [[Facts.from_json(fact) for fact in part] for part in payload["facts"]]
        writer = self.read.writer([fact for part in facts for fact in part])
        parts = [pa.Table.from_pylist(rows, SYNTHESIS_PLAN.schema) for rows in payload["rows"]]
        about = [{fact.image_id: fact for fact in part} for part in facts]
        keys = [self._key(part, of, writer) for part, of in zip(parts, about, strict=True)]
        if self.read.made_from != payload["made_from"] or keys != payload["keys"]:
            raise inputs_moved(SYNTHESIS_QA.name)
        if isinstance(writer, ModelWriter):
            writer.voices.budget = Budget(payload["budget"], counts_kept=True)
        return self.written(range(len(parts)), keys, parts, about, writer)

    def _key(self, part: pa.Table, about: dict[str, Facts], writer: Writer) -> str:
        told = sorted(about.values(), key=lambda fact: fact.image_id)
        decided = (writer.made_by, self.policy.keeping, table_digest(part))
        return key_of(SYNTHESIS_QA.name, LINES_VERSION, *decided, told)

    def _within(self, key: str) -> str:
        """The key of lines that the budget cut short."""
        return key_of(key, "within", self.policy.budget)

    def _staged(self, key: str, lines: pl.DataFrame, costs: Sequence[Cost]) -> Shard:
        table = decide(lines, [leaf.name for leaf in self.taxonomy.group("ocr")], self.policy)
        stats = _line_stats(table) | {"costs": to_json(costs)}
        if stats["passing"]:  # under a key of its own: the next run does not find it, and asks again
            key = key_of(key, "passing", self.run_id)
        elif stats["unsent"]:
            key = self._within(key)
        return self.transactions[SYNTHESIS_QA.name].stage(key, table, stats)

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


def _line_stats(table: pa.Table) -> dict[str, Any]:
    frame = pl.DataFrame(pl.from_arrow(table))
    kept = frame.filter(verdict=KEEP)
    return verdict_stats(table, SYNTHESIS_QA.key) | {
        "kept_leaves": kept["instruction_l3"].to_list(),
        "prompt_tokens": int(frame["prompt_tokens"].sum()),
        "completion_tokens": int(frame["completion_tokens"].sum()),
        "passing": int(frame["problem"].is_in(list(PASSING)).sum()),
        "unsent": int((frame["problem"] == UNSENT).sum()),
        "without_loss": int(kept["loss"].is_null().sum()),
    }


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
