"""Runs a contract against a staged table: one pass over the columns it needs, in batches, vectorised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.quality import contract as c
from infinity_assets.readers.base import MARKERS
from infinity_assets.stages.verdicts import DROP, KEEP, QUARANTINE

BATCH_ROWS = 8_192
MAX_IDS = 20  #: examples of failing rows that a result names
MAX_SUSPECTS = 100_000  #: rows whose equal hashes are confirmed by comparing the values

Mask = npt.NDArray[np.bool_]
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
    contract: c.Contract, schema: pa.Schema, dataset: Any, facts: Facts, fresh: Any | None = None
) -> list[CheckResult]:
    """Check a staged table against its contract.

    Args:
        contract: the promises.
        schema: the declared schema of the table; metadata is ignored.
        dataset: anything with ``schema``, ``count_rows()`` and ``to_batches(columns=, batch_size=)``, such as
            a Lance dataset. Only the columns that checks read are read, ``BATCH_ROWS`` rows at a time. Beyond
            a batch, memory is 8 bytes a row for each ``unique`` check.
        facts: what the stage knows.
        fresh: the rows of ``dataset`` that were never audited against this contract, all by default.
            Blocking checks of single rows look at these alone: the others passed them, or were not committed.

    Returns:
        One result for each check, in the contract's order. A column that is missing fails its checks.
    """
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
            runs.append(_run(check, facts))
    whole = [run for run in runs if fresh is None or _looks_at_all(run.check)]
    _feed(whole, dataset, contract.key)
    _feed([run for run in runs if run not in whole], fresh, contract.key)
    for run in runs:
        results[run.check.name] = run.result(contract, dataset)
    return [results[check.name] for check in contract.checks]


def _looks_at_all(check: Any) -> bool:
    return isinstance(check, c.Unique | c.Reference | c.Conservation) or not check.blocking


def _feed(runs: Sequence[_Run], dataset: Any, key: str) -> None:
    """One pass over the columns that these checks need."""
    if not runs:
        return
    columns = sorted({p.partition(".")[0] for r in runs for p in r.check.paths()} | {key})
    for batch in dataset.to_batches(columns=columns, batch_size=BATCH_ROWS):
        for run in runs:
            run.feed(batch, key)


class _Run:
    """A check under way: counts failing rows batch by batch."""

    def __init__(self, check: Any, bad_rows: Callable[[pa.RecordBatch], Mask] | None = None) -> None:
        self.check = check
        self.rows = 0
        self.failed = 0
        self.ids: list[str] = []
        self._bad_rows = bad_rows

    def feed(self, batch: pa.RecordBatch, key: str) -> None:
        """Look at one batch."""
        self.rows += batch.num_rows
        if self._bad_rows is None:
            return
        bad = self._bad_rows(batch)
        found = np.flatnonzero(bad)
        self.failed += len(found)
        if len(found) and len(self.ids) < MAX_IDS:
            first = pa.array(found[: MAX_IDS - len(self.ids)])
            self.ids += [str(i) for i in batch.column(key).take(first).to_pylist()]

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


class _UniqueRun(_Run):
    """Keeps one 64-bit hash a row; values are compared only where two hashes are equal."""

    def __init__(self, check: c.Unique) -> None:
        super().__init__(check)
        self._hashes: list[npt.NDArray[np.uint64]] = []

    def feed(self, batch: pa.RecordBatch, key: str) -> None:
        super().feed(batch, key)
        self._hashes.append(_hashes(batch.column(self.check.column)))

    def result(self, contract: c.Contract, dataset: Any) -> CheckResult:
        hashes = np.concatenate(self._hashes) if self._hashes else np.zeros(0, np.uint64)
        hashes.sort()
        repeated = hashes[1:] == hashes[:-1]
        suspects = np.unique(hashes[1:][repeated])
        if len(suspects):
            self.failed = int(repeated.sum())
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


def _run(check: Any, facts: Facts) -> _Run:
    match check:
        case c.Unique():
            return _UniqueRun(check)
        case c.Conservation():
            return _ConservationRun(check, facts.rows_in)
        case c.NotNull():
            return _Run(check, lambda b: _any([_bad(b, p, pc.is_null, False) for p in check.columns]))
        case c.InSet():
            allowed = pa.array(check.values)
            return _Run(check, lambda b: _bad(b, check.column, lambda v: _outside(v, allowed)))
        case c.Regex():
            return _Run(check, lambda b: _bad(b, check.column, lambda v: _unlike(v, check.pattern)))
        case c.Range():
            return _Run(check, lambda b: _bad(b, check.column, lambda v: _out_of_range(v, check)))
        case c.Reference():
            known = facts.references[check.to]
            return _Run(check, lambda b: _bad(b, check.column, lambda v: _unknown(v, known)))
        case c.RequiredWhen():
            return _Run(check, lambda b: _required_when(b, check))
        case c.EqualLength():
            return _Run(check, lambda b: _lengths(b, check.columns[0]) != _lengths(b, check.columns[1]))
        case c.MediaMarkers():
            return _Run(check, lambda b: _markers_differ(b, check))
    raise TypeError(f"no engine for check type {check.type!r}")


def _bad(
    batch: pa.RecordBatch, path: str, judge: Callable[[pa.Array], pa.Array], flatten_leaf: bool = True
) -> Mask:
    """Rows where any value under ``path`` is judged bad."""
    values, rows = _resolve(batch, path, flatten_leaf)
    verdicts = _mask(judge(values))
    if rows is None:
        return verdicts
    bad: Mask = np.zeros(batch.num_rows, dtype=np.bool_)
    bad[rows[verdicts]] = True
    return bad


def _resolve(
    batch: pa.RecordBatch, path: str, flatten_leaf: bool
) -> tuple[pa.Array, npt.NDArray[np.int64] | None]:
    """Values under a dotted path, and the row of each where lists were flattened on the way."""
    top, *inner = path.split(".")
    values = batch.column(top)
    rows: npt.NDArray[np.int64] | None = None
    for name in (*inner, None):
        if _is_list(values.type) and (name is not None or flatten_leaf):
            parents = np.asarray(pc.list_parent_indices(values), dtype=np.int64)
            rows = parents if rows is None else rows[parents]
            values = pc.list_flatten(values)
        if name is not None:
            values = pc.struct_field(values, name)
    return values, rows


def _lengths(batch: pa.RecordBatch, column: str) -> npt.NDArray[np.int64]:
    lengths = pc.fill_null(pc.list_value_length(batch.column(column)), -1)
    return np.asarray(lengths, dtype=np.int64)


def _outside(values: pa.Array, allowed: pa.Array) -> pa.Array:
    return pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, value_set=allowed)))


def _unlike(values: pa.Array, pattern: str) -> pa.Array:
    return pc.fill_null(pc.invert(pc.match_substring_regex(values, pattern)), False)


def _out_of_range(values: pa.Array, check: c.Range) -> pa.Array:
    numbers = pc.cast(values, pa.float64())
    bad = pc.is_nan(numbers)
    if check.min is not None:
        bad = pc.or_(bad, pc.less(numbers, check.min))
    if check.max is not None:
        bad = pc.or_(bad, pc.greater(numbers, check.max))
    return pc.fill_null(bad, False)


def _unknown(values: pa.Array, known: frozenset[str]) -> pa.Array:
    # Few of a batch's values are distinct or few of the set are asked for: building Arrow's own hash table of
    # the whole set for every batch would cost more than one look-up for each distinct value.
    strange = [v for v in pc.unique(values).to_pylist() if v is not None and v not in known]
    return pc.is_in(values, value_set=pa.array(strange, values.type))


def _where(batch: pa.RecordBatch, when: c.Condition) -> Mask:
    listed = _mask(pc.is_in(batch.column(when.column), value_set=pa.array(when.is_in or when.not_in)))
    return listed if when.is_in else ~listed


def _required_when(batch: pa.RecordBatch, check: c.RequiredWhen) -> Mask:
    null = _mask(pc.is_null(batch.column(check.column)))
    required = _where(batch, check.when)
    bad = required & null
    return bad | (~required & ~null) if check.otherwise == "null" else bad


def _markers_differ(batch: pa.RecordBatch, check: c.MediaMarkers) -> Mask:
    rows = batch.num_rows
    texts, text_rows = _resolve(batch, f"{check.turns}.text", True)
    kinds, kind_rows = _resolve(batch, f"{check.media}.kind", True)
    assert text_rows is not None and kind_rows is not None
    bad: Mask = np.zeros(rows, dtype=np.bool_)
    for kind, marker in MARKERS.items():
        counted = np.asarray(pc.fill_null(pc.count_substring(texts, marker), 0))
        marked = np.bincount(text_rows, weights=counted, minlength=rows)
        of_kind = _mask(pc.equal(kinds, kind))
        bad |= marked != np.bincount(kind_rows[of_kind], minlength=rows)
    has_turns = np.bincount(text_rows, minlength=rows) > 0
    return bad & has_turns & _where(batch, check.when)


def _hashes(values: pa.Array) -> npt.NDArray[np.uint64]:
    hashed = pl.Series(pl.from_arrow(values)).hash().to_numpy()
    return np.asarray(hashed, dtype=np.uint64)


def _any(masks: Iterable[Mask]) -> Mask:
    combined: Mask = np.logical_or.reduce(list(masks))
    return combined


def _mask(values: pa.Array) -> Mask:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


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
