"""Stage, audit, commit: the one way in which every stage publishes a partition."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from infinity_assets.errors import AuditFailed
from infinity_assets.quality.audit import CheckResult, Facts, audit
from infinity_assets.quality.contract import load_contract
from infinity_assets.quality.drift import drift
from infinity_assets.quality.engines import EngineName
from infinity_assets.stages.verdicts import DROP, KEEP, QUARANTINE
from infinity_assets.store.memory import release_memory
from infinity_assets.store.tables import Published, Shard, Store, Transaction

EXAMPLES = 5
KEPT_RUNS = 30  #: of a partition, whose check results are remembered


def code_version(*parts: int) -> str:
    """Versions of whatever changes what the same input gives, as one: the table's schema first."""
    return ".".join(map(str, parts))


def keep_policy(store: Store, policy: str, content: Mapping[str, Any]) -> str:
    """Keep what decided under its hash, so that a verdict can be explained after the file has changed.

    Args:
        store: the tables; policies lie beside them and are never changed.
        policy: hash of all of it that decides.
        content: the policy as JSON values.

    Returns:
        ``policy``.
    """
    store.objects.create(f"_policies/{policy}.json", json.dumps(content, sort_keys=True).encode())
    return policy


def kept_policy(store: Store, policy: str) -> Mapping[str, Any] | None:
    """What was kept under a hash; None where nothing was."""
    found = store.objects.get(f"_policies/{policy}.json")
    return json.loads(found) if found is not None else None


def keep_checks(store: Store, table: str, partition: str, run_id: str, checks: Sequence[CheckResult]) -> None:
    """Remember what a run's checks found, passed or not, beside those of the last runs of the partition.

    Two runs of one partition that end at once may lose one of the two: only the commit is exclusive.
    """
    earlier = [run for run in kept_checks(store, table, partition) if run["run_id"] != run_id]
    found = [
        {
            "name": check.name,
            "blocking": check.blocking,
            "passed": check.passed,
            "failed_rows": check.failed_rows,
            "failing_ids": list(check.failing_ids),
            "told": check.description,
        }
        for check in checks
    ]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    runs = [*earlier, {"run_id": run_id, "at": at, "checks": found}][-KEPT_RUNS:]
    store.objects.put(f"_checks/{table}/{partition}.json", json.dumps(runs).encode())


def kept_checks(store: Store, table: str, partition: str) -> list[dict[str, Any]]:
    """The last runs of a partition, the oldest first: ``run_id``, ``at`` (ISO 8601, UTC) and ``checks``."""
    found = store.objects.get(f"_checks/{table}/{partition}.json")
    return json.loads(found) if found is not None else []


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows of one partition at one stage."""

    rows_in: int
    kept: int
    dropped: int
    quarantined: int
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return self.kept + self.dropped + self.quarantined


@dataclass(frozen=True, slots=True)
class StageResult:
    """A published partition and how it got there."""

    published: Published
    committed: bool  #: False where the content was equal to what was there
    counts: Counts
    checks: tuple[CheckResult, ...]
    kept_examples: tuple[str, ...] = ()  #: up to five ids, the first in order
    dropped_examples: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)  #: counts and ids for the asset page, never text


class CriticalCheckFailed(AuditFailed):
    """Nothing was committed; ``checks`` says what failed."""

    def __init__(self, table: str, partition: str, checks: Sequence[CheckResult]) -> None:
        failed = [c for c in checks if not c.passed and c.blocking]
        lines = "; ".join(f"{c.name}: {c.description}" for c in failed)
        super().__init__(f"{table} of {partition}: nothing was committed, what was there stays. {lines}")
        self.checks = tuple(checks)


def verdict_stats(table: pa.Table, key: str) -> dict[str, Any]:
    """Counts by verdict and reason and a few example ids of one shard; merged by :func:`count`."""
    if "verdict" not in table.schema.names:
        return {"verdicts": {KEEP: table.num_rows}, "reasons": {}, "kept": [], "dropped": []}
    verdicts = table.column("verdict").to_pylist()
    reasons = Counter(r for r in table.column("reason").to_pylist() if r is not None)
    ids = table.column(key)
    kept = [i for i, v in enumerate(verdicts) if v == KEEP][:EXAMPLES]
    dropped = [i for i, v in enumerate(verdicts) if v != KEEP][:EXAMPLES]
    return {
        "verdicts": dict(sorted(Counter(verdicts).items())),
        "reasons": dict(sorted(reasons.items())),
        "kept": [ids[i].as_py() for i in kept],
        "dropped": [ids[i].as_py() for i in dropped],
    }


def count(shards: Sequence[Shard], rows_in: int) -> Counts:
    """Counts of a whole partition, from its shards' statistics."""
    verdicts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for shard in shards:
        verdicts.update(shard.stats.get("verdicts", {}))
        reasons.update(shard.stats.get("reasons", {}))
    return Counts(
        rows_in, verdicts[KEEP], verdicts[DROP], verdicts[QUARANTINE], dict(sorted(reasons.items()))
    )


def publish(
    transaction: Transaction,
    shards: Sequence[Shard],
    *,
    rows_in: int,
    run_id: str,
    engine: EngineName,
    inputs: Mapping[str, str],
    made_by: str | None = None,
    notes: Mapping[str, Any] | None = None,
    references: Mapping[str, frozenset[str]] | None = None,
    data_version: str | None = None,
    further_checks: Sequence[CheckResult] = (),
    beside: bool = False,
    restated: bool = False,
) -> StageResult:
    """Audit the staged shards against the stage's contract, then commit them.

    Args:
        transaction: where the shards were staged.
        shards: the whole partition, in order.
        rows_in: how many rows this stage received; conservation is checked against it.
        run_id: who does it.
        engine: what judges the rows: ``Settings.contracts``.
        inputs: data versions of what was read.
        made_by: code version of the stage; that of the schema alone by default.
        notes: counts and ids worth remembering.
        references: sets of ids that the contract's ``reference`` checks look up, by name.
        data_version: see :meth:`Transaction.commit`.
        further_checks: results beside those of the contract; a failed blocking one counts like them.
        beside: see :meth:`Transaction.commit`.
        restated: see :meth:`Transaction.commit`.

    Raises:
        CriticalCheckFailed: if a blocking check fails; nothing is committed then.
        CommitConflict: if another run published meanwhile.
    """
    contract = load_contract(transaction.spec.name)
    facts = Facts(rows_in=rows_in, references=references or {})
    fresh = _never_audited(transaction, shards, contract.hash)
    with ExitStack() as previews:
        staged = previews.enter_context(transaction.preview(shards))
        part = None if fresh is None else previews.enter_context(transaction.preview(fresh))
        audited = audit(contract, transaction.spec.schema, staged, facts, part, engine=engine)
    release_memory()
    now = count(shards, rows_in)
    shares = drift(contract, _shares(transaction.base), _as_shares(now, notes or {}))
    checks = (*audited, *shares, *further_checks)
    keep_checks(transaction.store, transaction.spec.name, transaction.partition, run_id, checks)
    if any(not c.passed and c.blocking for c in checks):
        raise CriticalCheckFailed(transaction.spec.name, transaction.partition, checks)
    published, committed = transaction.commit(
        shards,
        run_id=run_id,
        inputs=inputs,
        made_by=made_by or code_version(transaction.spec.version),
        notes={**(notes or {}), "rows_in": rows_in, "contract": contract.hash},
        data_version=data_version,
        beside=beside,
        restated=restated,
    )
    kept = [i for s in shards for i in s.stats.get("kept", [])][:EXAMPLES]
    dropped = [i for s in shards for i in s.stats.get("dropped", [])][:EXAMPLES]
    return StageResult(published, committed, now, checks, tuple(kept), tuple(dropped), dict(notes or {}))


def _shares(base: Published | None) -> dict[str, Any] | None:
    """What drift compares with: the version that is published now."""
    return None if base is None else _as_shares(count(base.shards, base.rows), base.notes)


def _as_shares(counts: Counts, notes: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"rows": counts.rows, "reasons": counts.reasons}
    return found | ({"languages": notes["languages"]} if "languages" in notes else {})


def _never_audited(transaction: Transaction, shards: Sequence[Shard], contract: str) -> list[Shard] | None:
    """Shards that are not published under this contract; None if that is all of them."""
    base = transaction.base
    if base is None or base.notes.get("contract") != contract:
        return None
    audited = {shard.key for shard in base.shards}
    fresh = [shard for shard in shards if shard.key not in audited]
    return fresh if len(fresh) < len(shards) else None
