"""Runs a contract against a staged table: one pass over the columns it needs, in batches.

What a row can say by itself, and whether values repeat, is judged by an engine (``engines``). Types of
columns, conservation and references need more than the rows, and are checked here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.quality import contract as c
from infinity_assets.quality.engines import Engine, EngineName, Mask, open_engine
from infinity_assets.quality.engines.values import as_mask, resolve
from infinity_assets.stages.verdicts import DROP, KEEP, QUARANTINE

BATCH_ROWS = 8_192
MAX_IDS = 20  #: examples of failing rows that a result names
MAX_SUSPECTS = 100_000  #: rows whose equal hashes are confirmed by comparing the values

Figures = Mapping[str, int | float | str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the stage knows and the table does not say."""

    rows_in: int
    references: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one check; counts and ids only, never text of samples."""

    name: str
    table: str
    passed: bool
    blocking: bool
    description: str  #: what was promised, and what was found instead
    failed_rows: int
    failing_ids: tuple[str, ...] = ()  #: up to 20, the first in table order
    figures: Figures = field(default_factory=dict)


def audit(
    contract: c.Contract,
    schema: pa.Schema,
    dataset: Any,
    facts: Facts,
    fresh: Any | None = None,
    *,
    engine: EngineName,
) -> list[CheckResult]:
    """Check a staged table against its contract.

    Args:
        contract: the promises.
        schema: the declared schema of the table; metadata is ignored.
        dataset: anything with ``schema``, ``count_rows()`` and ``to_batches(columns=, batch_size=)``, such as
            a Lance dataset. Only the columns that checks read are read, ``BATCH_ROWS`` rows at a time. Beyond
            a batch, or a chunk of the engine, memory is 8 bytes a row for each ``unique`` check.
        facts: what the stage knows.
        fresh: the rows of ``dataset`` that were never audited against this contract, all by default.
            Blocking checks of single rows look at these alone: the others passed them, or were not committed.
        engine: what judges rows; every engine gives the same verdicts and names the same rows.

    Returns:
        One result for each check, in the contract's order. A column that is missing fails its checks.
    """
    judging = open_engine(engine)
    missing = [name for name in contract.columns() if name not in dataset.schema.names]
    results: dict[str, CheckResult] = {}
    runs: list[_Run] = []
    for check in contract.checks:
        absent = sorted({p.partition(".")[0] for p in (*check.paths(), contract.key)} & set(missing))
        if isinstance(check, c.SchemaCheck):
            results[check.name] = _schema(check, contract.table, schema, dataset.schema)
        elif absent:
            results[check.name] = _unable(check, contract.table, f"columns missing: {', '.join(absent)}")
        elif isinstance(check, c.Reference) and check.to not in facts.references:
            problem = f"the stage gave no set of ids named {check.to!r} to look them up in"
            results[check.name] = _unable(check, contract.table, problem)
        else:
            runs.append(_run(check, facts, judging))
    whole = [run for run in runs if fresh is None or _looks_at_all(run.check)]
    _feed(whole, dataset, contract.key, judging)
    _feed([run for run in runs if run not in whole], fresh, contract.key, judging)
    for run in runs:
        results[run.check.name] = run.result(contract, dataset)
    return [results[check.name] for check in contract.checks]


def _looks_at_all(check: c.Check) -> bool:
    return isinstance(check, c.Unique | c.Reference | c.Conservation) or not check.blocking


def _feed(runs: Sequence[_Run], dataset: Any, key: str, engine: Engine) -> None:
    """One pass over the columns that these checks need."""
    if not runs:
        return
    columns = sorted({p.partition(".")[0] for r in runs for p in r.check.paths()} | {key})
    judged = [run for run in runs if isinstance(run.check, c.RowCheck)]
    others = [run for run in runs if run not in judged]

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in dataset.to_batches(columns=columns, batch_size=BATCH_ROWS):
            for run in others:
                run.feed(batch, key)
            yield batch

    if not judged:
        for _ in batches():
            pass
        return
    for keys, bad in engine.judge([run.check for run in judged], key, batches()):
        for run, mask in zip(judged, bad, strict=True):
            run.count(keys, mask)


class _Run:
    """A check under way: counts failing rows."""

    def __init__(self, check: Any) -> None:
        self.check = check
        self.rows = 0
        self.failed = 0
        self.ids: list[str] = []

    def feed(self, batch: pa.RecordBatch, key: str) -> None:
        """Look at one batch."""
        self.rows += batch.num_rows

    def count(self, keys: pa.Array, bad: Mask) -> None:
        """Take the verdicts on some rows."""
        self.rows += len(keys)
        found = np.flatnonzero(bad)
        self.failed += len(found)
        if len(found) and len(self.ids) < MAX_IDS:
            first = pa.array(found[: MAX_IDS - len(self.ids)])
            self.ids += [str(i) for i in keys.take(first).to_pylist()]

    def figures(self) -> Figures:
        """Counts to report beside the verdict."""
        return {"rows": self.rows}

    def result(self, contract: c.Contract, dataset: Any) -> CheckResult:
        """The outcome, after the last batch."""
        passed = self.failed == 0
        found = "" if passed else f" ({self.failed:,} of {self.rows:,} rows break it)"
        return CheckResult(
            self.check.name,
            contract.table,
            passed,
            self.check.blocking,
            self.check.description + found,
            self.failed,
            tuple(self.ids),
            self.figures(),
        )


class _ReferenceRun(_Run):
    """Looks ids up in a set of the stage."""

    def __init__(self, check: c.Reference, known: frozenset[str]) -> None:
        super().__init__(check)
        self._known = known

    def feed(self, batch: pa.RecordBatch, key: str) -> None:
        values, rows = resolve(batch, self.check.column)
        strange = _unknown(values, self._known)
        bad: Mask = np.zeros(batch.num_rows, dtype=np.bool_)
        bad[strange if rows is None else rows[strange]] = True
        self.count(batch.column(key), bad)


class _UniqueRun(_Run):
    """Keeps one 64-bit hash a row; values are compared only where two hashes are equal."""

    def __init__(self, check: c.Unique, engine: Engine) -> None:
        super().__init__(check)
        self._engine = engine
        self._hashes: list[npt.NDArray[np.uint64]] = []

    def feed(self, batch: pa.RecordBatch, key: str) -> None:
        super().feed(batch, key)
        self._hashes.append(_hashes(batch.column(self.check.column)))

    def result(self, contract: c.Contract, dataset: Any) -> CheckResult:
        hashes = np.concatenate(self._hashes) if self._hashes else np.zeros(0, np.uint64)
        self._hashes = []
        hashes.sort()
        suspects = self._engine.repeated(hashes)
        if len(suspects):
            first, end = (np.searchsorted(hashes, suspects, side) for side in ("left", "right"))
            self.failed = int((end - first - 1).sum())
            self._confirm(suspects, dataset)
        return super().result(contract, dataset)

    def _confirm(self, suspects: npt.NDArray[np.uint64], dataset: Any) -> None:
        seen: set[str] = set()
        repeats = looked = 0
        column = self.check.column
        for batch in dataset.to_batches(columns=[column], batch_size=BATCH_ROWS):
            values = batch.column(column)
            for value in values.filter(pa.array(np.isin(_hashes(values), suspects))).to_pylist():
                looked += 1
                if value in seen:
                    repeats += 1
                    if len(self.ids) < MAX_IDS and str(value) not in self.ids:
                        self.ids.append(str(value))
                seen.add(value)
            if looked > MAX_SUSPECTS:
                return
        self.failed = repeats


class _ConservationRun(_Run):
    """Counts rows and verdicts."""

    def __init__(self, check: c.Conservation, rows_in: int) -> None:
        super().__init__(check)
        self.rows_in = rows_in
        self.verdicts = {KEEP: 0, DROP: 0, QUARANTINE: 0}

    def feed(self, batch: pa.RecordBatch, key: str) -> None:
        super().feed(batch, key)
        if self.check.verdict is not None:
            for entry in pc.value_counts(batch.column(self.check.verdict)).to_pylist():
                if entry["values"] in self.verdicts:
                    self.verdicts[entry["values"]] += entry["counts"]

    def figures(self) -> Figures:
        counted = self.verdicts if self.check.verdict is not None else {}
        return {"rows_in": self.rows_in, "rows": self.rows, **counted}

    def result(self, contract: c.Contract, dataset: Any) -> CheckResult:
        accounted = sum(self.verdicts.values()) if self.check.verdict is not None else self.rows
        passed = self.rows_in == self.rows == accounted
        found = "" if passed else f" ({self.rows_in:,} in, {self.rows:,} rows, {accounted:,} with a verdict)"
        lost = max(abs(self.rows_in - self.rows), abs(self.rows - accounted))
        return CheckResult(
            self.check.name,
            contract.table,
            passed,
            self.check.blocking,
            self.check.description + found,
            lost,
            (),
            self.figures(),
        )


def _run(check: c.Check, facts: Facts, engine: Engine) -> _Run:
    match check:
        case c.Unique():
            return _UniqueRun(check, engine)
        case c.Conservation():
            return _ConservationRun(check, facts.rows_in)
        case c.Reference():
            return _ReferenceRun(check, facts.references[check.to])
    return _Run(check)


def _unknown(values: pa.Array, known: frozenset[str]) -> Mask:
    # Few of a batch's values are distinct or few of the set are asked for: building Arrow's own hash table of
    # the whole set for every batch would cost more than one look-up for each distinct value.
    strange = [v for v in pc.unique(values).to_pylist() if v is not None and v not in known]
    return as_mask(pc.is_in(values, value_set=pa.array(strange, values.type)))


def _hashes(values: pa.Array) -> npt.NDArray[np.uint64]:
    hashed = pl.Series(pl.from_arrow(values)).hash().to_numpy()
    return np.asarray(hashed, dtype=np.uint64)


def _schema(check: Any, table: str, declared: pa.Schema, found: pa.Schema) -> CheckResult:
    wanted = {f.name: str(f.type) for f in declared}
    have = {f.name: str(f.type) for f in found}
    problems = [f"{n} is missing" for n in wanted if n not in have]
    problems += [f"{n} is not declared" for n in have if n not in wanted]
    problems += [f"{n} is {have[n]}, not {t}" for n, t in wanted.items() if have.get(n, t) != t]
    if not problems and list(wanted) != list(have):
        problems = ["the columns are in another order"]
    text = check.description + (f" ({'; '.join(problems)})" if problems else "")
    figures = {"columns": len(have)}
    return CheckResult(check.name, table, not problems, check.blocking, text, 0, (), figures)


def _unable(check: Any, table: str, problem: str) -> CheckResult:
    text = f"{check.description} (cannot be checked: {problem})"
    return CheckResult(check.name, table, False, check.blocking, text, 0)
