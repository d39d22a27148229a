"""Without these, a row that one engine refuses is published by the other, or other rows are blamed for it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from infinity_assets.errors import AuditFailed
from infinity_assets.quality.audit import CheckResult, Facts, audit
from infinity_assets.quality.contract import Contract, load_contract, tables
from infinity_assets.quality.engines import EngineName, expectations
from infinity_assets.quality.engines.loading import load
from infinity_assets.quality.engines.validation import Validation
from infinity_assets_tests.quality.test_audit import SCHEMA, Staged

WHEN: list[dict[str, Any]] = [
    {"column": "verdict", "is_in": ["keep", "drop"]},
    {"column": "verdict", "not_in": ["keep"]},
    {"column": "verdict", "is_in": ['it\'s `@x` "quoted"\n', "keep"]},
]
CHECKS: list[dict[str, Any]] = [
    {"type": "not_null", "columns": ["score", "reason", "turns"]},
    {"type": "not_null", "columns": ["media.image_id", "verdict"]},
    {"type": "unique", "column": "id"},
    {"type": "unique", "column": "reason"},
    {"type": "in_set", "column": "verdict", "values": ["keep", "drop"]},
    {"type": "in_set", "column": "turns.role", "values": ["user", "assistant"]},
    {"type": "in_set", "column": "tags", "values": ["", "a"]},
    {"type": "regex", "column": "reason", "pattern": "^[a-z]+$"},
    {"type": "regex", "column": "tags", "pattern": "^(?:a|nan|None)?$"},
    {"type": "range", "column": "score"},
    {"type": "range", "column": "score", "min": 0},
    {"type": "range", "column": "score", "max": 1},
    {"type": "range", "column": "score", "min": 0, "max": 1},
    *({"type": "required_when", "column": "reason", "when": when, "otherwise": "null"} for when in WHEN),
    *({"type": "required_when", "column": "score", "when": when, "otherwise": "any"} for when in WHEN),
    {"type": "equal_length", "columns": ["tags", "origins"]},
    *({"type": "media_markers", "when": when} for when in WHEN),
]
ALL = Contract.model_validate(
    {"table": "t", "version": 1, "description": "", "key": "id"}
    | {"checks": [{"name": f"c{i}", "description": "promise", **c} for i, c in enumerate(CHECKS)]}
)

WORDS = st.sampled_from(
    ["", "a", "a\n", "nan", "None", "NULL", "keep", "drop", 'it\'s `@x` "quoted"\n', "é\x00", "0", "<NA>"]
)
MAYBE = st.none() | WORDS
TEXTS = st.none() | st.sampled_from(["", "<image>", "<image><video> <image>", "<audio>", "image"])
TURNS = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "dog", None]), "text": TEXTS})
MEDIA = st.fixed_dictionaries({"kind": st.sampled_from(["image", "video", None]), "image_id": MAYBE})
LISTS = st.none() | st.lists(MAYBE, max_size=3)
ROWS = st.fixed_dictionaries(
    {
        "id": WORDS | st.integers(0, 50).map(str),
        "turns": st.none() | st.lists(st.none() | TURNS, max_size=3),
        "media": st.none() | st.lists(st.none() | MEDIA, max_size=3),
        "tags": LISTS,
        "origins": LISTS,
        "score": st.none() | st.floats(width=32) | st.sampled_from([0.0, -0.0, 1.0]),
        "verdict": MAYBE,
        "reason": MAYBE,
    }
)


def judged(rows: list[dict[str, Any]], engine: EngineName) -> list[CheckResult]:
    table = pa.Table.from_pylist(rows, SCHEMA)
    return audit(ALL, SCHEMA, Staged(table), Facts(len(rows)), engine=engine)


# Shrinking would take minutes: an example is a table of a few rows as it is.
@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(ROWS, max_size=12))
def test_both_engines_give_the_same_verdicts_and_blame_the_same_rows(rows: list[dict[str, Any]]) -> None:
    assert judged(rows, "great_expectations") == judged(rows, "arrow")


@pytest.mark.parametrize("size", [1, 2, 5])
def test_verdicts_do_not_depend_on_where_chunks_are_cut(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A repeat, or a bad value of a list, in another chunk than its neighbours must still be counted once."""
    rows: list[dict[str, Any]] = [
        {"id": f"s-{i % 9}", "turns": [{"role": "dog", "text": "<image>"}] * (i % 4), "media": []}
        | {
            "tags": ["a", "b"][: i % 3],
            "origins": ["a"],
            "score": float(i),
            "verdict": "keep",
            "reason": None,
        }
        for i in range(14)
    ]
    monkeypatch.setattr(expectations, "CHUNK_ROWS", size)
    assert judged(rows, "great_expectations") == judged(rows, "arrow")


def test_more_failing_rows_than_a_report_names_are_all_counted() -> None:
    rows = [
        {"id": f"{i}", "turns": [], "media": [], "tags": [], "origins": [], "score": 2.0}
        | {"verdict": "maybe", "reason": None}
        for i in range(500)
    ]
    found = judged(rows, "great_expectations")
    assert found == judged(rows, "arrow")
    assert max(result.failed_rows for result in found) == 500


@pytest.mark.parametrize("name", tables())
def test_every_contract_has_its_suites_and_severity_says_what_blocks(name: str) -> None:
    contract = load_contract(name)
    rows = [check for check in contract.checks if isinstance(check, expectations.c.RowCheck)]
    suites = expectations.suites(tuple(rows), declared(name))
    asked = [(at, e) for suite in suites for at, e in zip(suite.checks, suite.expectations, strict=True)]
    assert {at for at, _ in asked} == set(range(len(rows)))
    for at, expectation in asked:
        assert expectation.meta == {"check": rows[at].name}
        assert (expectation.severity.value == "critical") is rows[at].blocking


def test_a_warning_is_no_critical_expectation() -> None:
    check = expectations.c.Range(
        type="range", name="x", severity="warn", description="", column="score", min=0
    )
    (suite,) = expectations.suites((check,), SCHEMA)
    assert [e.severity.value for e in suite.expectations] == ["warning"]


def test_what_great_expectations_cannot_evaluate_fails_loudly_instead_of_blaming_rows() -> None:
    """It reports its own errors as broken promises; a user would look for bad rows where there are none."""
    import great_expectations.expectations as gxe
    import pandas as pd

    absent = Validation([gxe.ExpectColumnValuesToNotBeNull(column="gone")], "BOOLEAN_ONLY")
    with pytest.raises(AuditFailed, match=r"could not evaluate expect_column_values_to_not_be_null.*gone"):
        absent.evaluate(pd.DataFrame({"there": [1]}))


def test_all_that_great_expectations_cannot_evaluate_is_named_in_the_contracts_order() -> None:
    """Of several only one was named, now this, now that: who repaired it met the next one in the next run."""
    import great_expectations.expectations as gxe
    import pandas as pd

    gone = [gxe.ExpectColumnValuesToNotBeNull(column=f"gone_{number}") for number in range(7)]
    sound = gxe.ExpectColumnValuesToNotBeNull(column="there")
    several = Validation([gone[0], sound, *gone[1:]], "BOOLEAN_ONLY")
    with pytest.raises(AuditFailed) as raised:
        several.evaluate(pd.DataFrame({"there": [1]}))
    told = str(raised.value)
    named = [told.index(f"'column': 'gone_{number}'") for number in range(5)]
    assert named == sorted(named) and "and 2 more" in told
    assert "gone_5" not in told and "'there'" not in told


@given(
    st.lists(st.tuples(st.sampled_from(["keep", "drop", "it's", None]), st.integers(-1, 2)), min_size=1),
    st.sets(st.sampled_from(["keep", "drop", "it's"]), min_size=1),
    st.integers(-1, 2),
)
def test_rows_of_a_condition_are_those_that_great_expectations_itself_finds(rows, values, least) -> None:
    """Rows that a rule is not about would be blamed by it, or others pass unseen."""
    load()
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.row_conditions import Column

    from infinity_assets.quality.engines.rows import RowsEngine, _holds

    frame = pa.table(
        {"condition": pa.array([row[0] for row in rows], pa.string()), "turns": [row[1] for row in rows]}
    ).to_pandas()
    verdict, turns = Column("condition"), Column("turns") > least
    for one in (verdict.is_in(values), verdict.is_not_in(values), turns, verdict.is_in(values) & turns):
        assert _holds(frame, one) is not None, "what contracts ask is answered without pandas' parser"
        (ours, theirs) = (
            engine._apply_row_condition_filter(frame, one.dict(), {})
            for engine in (RowsEngine(), PandasExecutionEngine())
        )
        assert ours.equals(theirs)


def declared(name: str) -> pa.Schema:
    """The schema of a table that has a contract."""
    import importlib

    from infinity_assets.store.tables import TableSpec

    rooms = {"contamination": "filtered.contamination.kinds"}
    rooms |= dict.fromkeys(["synthesis_plan", "synthesis_qa"], "synthesized.schema")
    module = importlib.import_module(f"infinity_assets.stages.{rooms.get(name, f'{name}.schema')}")
    if name == "exported":
        schema: pa.Schema = module.exported_spec("llava").schema
        return schema
    (spec,) = (s for s in vars(module).values() if isinstance(s, TableSpec) and s.name == name)
    return spec.schema
