"""Without these, a table that breaks its contract is published, or a good one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pytest

from infinity_assets.errors import CatalogueError
from infinity_assets.quality import audit as engine
from infinity_assets.quality.audit import CheckResult, Facts, audit
from infinity_assets.quality.contract import Contract, load_contract, tables
from infinity_assets.quality.drift import drift
from infinity_assets.quality.engines import EngineName

TABLES = [
    "raw",
    "images",
    "unified",
    "duplicate_ledger",
    "deduped",
    "tagged",
    "tag_associations",
    "synthesis_plan",
    "synthesis_qa",
    "synthesized",
    "scored",
    "benchmark_fingerprints",
    "contamination",
    "filtered",
    "mixed",
    "exported",
]
TURN = pa.struct([("role", pa.string()), ("text", pa.string())])
MEDIUM = pa.struct([("kind", pa.string()), ("image_id", pa.string())])
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("turns", pa.list_(TURN)),
        ("media", pa.list_(MEDIUM)),
        ("tags", pa.list_(pa.string())),
        ("origins", pa.list_(pa.string())),
        ("score", pa.float32()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
    ]
)
KEPT = {"column": "verdict", "is_in": ["keep"]}


class Staged:
    """A table with the three members of a Lance dataset that an audit uses."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.schema = table.schema
        self.read: set[str] = set()

    def count_rows(self) -> int:
        return int(self.table.num_rows)

    def to_batches(self, columns: list[str], batch_size: int) -> Any:
        self.read |= set(columns)
        return self.table.select(columns).to_batches(max_chunksize=3)


def row(i: int, **changes: Any) -> dict[str, Any]:
    good = {
        "id": f"s-{i}",
        "turns": [{"role": "user", "text": "<image> what?"}, {"role": "assistant", "text": "a cat"}],
        "media": [{"kind": "image", "image_id": f"im{i % 3}"}],
        "tags": ["cat"],
        "origins": ["caption"],
        "score": 0.5,
        "verdict": "keep",
        "reason": None,
    }
    return {**good, **changes}


@pytest.fixture(params=["arrow", "great_expectations"])
def judged_by(request: pytest.FixtureRequest) -> EngineName:
    """Each engine in turn: what users are told must not depend on which one they have."""
    name: EngineName = request.param
    return name


def check_one(
    check: dict[str, Any],
    rows: list[dict[str, Any]],
    facts: Facts | None = None,
    judged_by: EngineName = "arrow",
) -> CheckResult:
    contract = Contract.model_validate(
        {
            "table": "t",
            "version": 1,
            "description": "",
            "key": "id",
            "checks": [{"name": "x", "description": "promise", **check}],
        }
    )
    table = pa.Table.from_pylist(rows, SCHEMA)
    (result,) = audit(contract, SCHEMA, Staged(table), facts or Facts(len(rows)), engine=judged_by)
    return result


CASES = [
    ({"type": "not_null", "columns": ["score", "id"]}, {"score": None}),
    ({"type": "not_null", "columns": ["media.image_id"]}, {"media": [{"kind": "image", "image_id": None}]}),
    ({"type": "unique", "column": "id"}, {"id": "s-1"}),
    ({"type": "in_set", "column": "verdict", "values": ["keep"]}, {"verdict": "maybe"}),
    (
        {"type": "in_set", "column": "turns.role", "values": ["user", "assistant"]},
        {"turns": [{"role": "dog"}]},
    ),
    ({"type": "regex", "column": "id", "pattern": "^s-[0-9]+$"}, {"id": "s 4"}),
    ({"type": "regex", "column": "tags", "pattern": "^[a-z]+$"}, {"tags": ["ok", "NOT OK"]}),
    ({"type": "range", "column": "score", "min": 0, "max": 1}, {"score": 1.5}),
    ({"type": "range", "column": "score"}, {"score": float("nan")}),
    (
        {"type": "required_when", "column": "reason", "when": {"column": "verdict", "not_in": ["keep"]}}
        | {"otherwise": "null"},
        {"verdict": "drop"},
    ),
    (
        {"type": "required_when", "column": "reason", "when": {"column": "verdict", "not_in": ["keep"]}}
        | {"otherwise": "null"},
        {"reason": "blurry"},
    ),
    ({"type": "equal_length", "columns": ["tags", "origins"]}, {"tags": ["cat", "dog"]}),
    ({"type": "media_markers", "when": KEPT}, {"media": []}),
    ({"type": "media_markers", "when": KEPT}, {"media": [{"kind": "video", "image_id": "im1"}]}),
    ({"type": "reference", "column": "media.image_id", "to": "images"}, {"media": [{"image_id": "gone"}]}),
]


@pytest.mark.parametrize(("check", "defect"), CASES)
def test_each_check_finds_its_defect_names_the_row_and_passes_good_rows(
    check: dict[str, Any], defect: dict[str, Any], judged_by: EngineName
) -> None:
    facts = Facts(10, {"images": frozenset({"im0", "im1", "im2"})})
    good = [row(i) for i in range(10)]
    assert check_one(check, good, facts, judged_by).passed
    bad = [*good[:7], row(7, **defect), *good[8:]]
    result = check_one(check, bad, facts, judged_by)
    assert not result.passed
    assert result.blocking
    assert result.failed_rows == 1
    assert result.failing_ids == (bad[7]["id"],)
    assert result.description.startswith("promise")


def test_rows_outside_the_condition_and_rows_without_turns_need_no_markers(judged_by: EngineName) -> None:
    check = {"type": "media_markers", "when": KEPT}
    set_aside = row(1, media=[], verdict="quarantine", reason="missing_image")
    annotated = row(2, turns=[])
    assert check_one(check, [row(0), set_aside, annotated], None, judged_by).passed


def test_a_marker_is_counted_in_any_turn_and_of_any_medium(judged_by: EngineName) -> None:
    turns = [{"role": "user", "text": "<image><video>?"}, {"role": "assistant", "text": "<image>"}]
    media = [{"kind": k, "image_id": "im1"} for k in ("image", "video", "image")]
    told = check_one(
        {"type": "media_markers", "when": KEPT}, [row(0, turns=turns, media=media)], None, judged_by
    )
    assert told.passed


def test_repeats_are_exact_even_where_hashes_collide(
    monkeypatch: pytest.MonkeyPatch, judged_by: EngineName
) -> None:
    import numpy as np

    monkeypatch.setattr(engine, "_hashes", lambda values: np.zeros(len(values), np.uint64))
    check = {"type": "unique", "column": "id"}
    assert check_one(check, [row(i) for i in range(10)], None, judged_by).passed
    result = check_one(check, [row(0), row(1), row(0), row(0)], None, judged_by)
    assert (result.failed_rows, result.failing_ids) == (2, ("s-0",))


def test_a_lost_row_or_an_unknown_verdict_breaks_conservation() -> None:
    check = {"type": "conservation"}
    rows = [row(0), row(1, verdict="drop", reason="r"), row(2, verdict="quarantine", reason="r")]
    good = check_one(check, rows)
    assert good.passed
    assert good.figures == {"rows_in": 3, "rows": 3, "keep": 1, "drop": 1, "quarantine": 1}
    assert check_one(check, rows, Facts(4)).failed_rows == 1
    assert not check_one(check, [*rows, row(3, verdict="lost")]).passed


def test_an_empty_table_passes_every_check(judged_by: EngineName) -> None:
    facts = Facts(0, {"images": frozenset()})
    for check, _ in [*CASES, ({"type": "conservation"}, {})]:
        assert check_one(check, [], facts, judged_by).passed


def test_a_missing_column_or_set_fails_the_check_instead_of_the_run() -> None:
    result = check_one({"type": "not_null", "columns": ["gone"]}, [row(0)])
    assert not result.passed
    assert "columns missing: gone" in result.description
    result = check_one({"type": "reference", "column": "id", "to": "images"}, [row(0)])
    assert not result.passed
    assert "'images'" in result.description


def test_another_schema_is_named_column_by_column() -> None:
    contract = load_contract("tagged")
    from infinity_assets.stages.tagged.schema import TAGGED

    at = TAGGED.schema.get_field_index("question_type")
    wrong = TAGGED.schema.remove(at).append(pa.field("extra", pa.int8()))
    (result, *_) = audit(contract, TAGGED.schema, Staged(wrong.empty_table()), Facts(0), engine="arrow")
    assert not result.passed
    assert "question_type is missing" in result.description
    assert "extra is not declared" in result.description


def test_failing_ids_are_bounded_and_a_warning_does_not_block(judged_by: EngineName) -> None:
    check = {"type": "range", "column": "score", "max": 0, "severity": "warn"}
    result = check_one(check, [row(i) for i in range(50)], None, judged_by)
    assert (len(result.failing_ids), result.failed_rows, result.blocking) == (20, 50, False)


def test_only_the_columns_of_the_checks_are_read(judged_by: EngineName) -> None:
    contract = Contract.model_validate(
        {"table": "t", "version": 1, "description": "", "key": "id"}
        | {"checks": [{"type": "range", "name": "x", "description": "", "column": "score", "min": 0}]}
    )
    staged = Staged(pa.Table.from_pylist([row(0)], SCHEMA))
    audit(contract, SCHEMA, staged, Facts(1), engine=judged_by)
    assert staged.read == {"id", "score"}


def test_every_table_has_a_contract_whose_columns_exist() -> None:
    import importlib

    from infinity_assets.store.tables import TableSpec

    assert tables() == sorted(TABLES)
    for name in TABLES:
        contract = load_contract(name)
        try:
            room = importlib.import_module(f"infinity_assets.stages.{name}.schema")
        except ModuleNotFoundError:
            continue
        specs = [room.exported_spec("llava")] if name == "exported" else list(vars(room).values())
        for spec in specs:
            if isinstance(spec, TableSpec) and spec.name.startswith(name):
                assert set(contract.columns()) <= set(spec.schema.names)
                assert contract.key == spec.key
                required = {f.name for f in spec.schema if not f.nullable}
                (not_null,) = (c for c in contract.checks if c.name == "required_columns")
                assert required <= set(not_null.paths())


def test_every_export_format_shares_one_contract_and_keeps_its_name() -> None:
    assert load_contract("exported_webdataset").table == "exported_webdataset"
    assert load_contract("exported_webdataset").checks == load_contract("exported").checks


def test_an_unknown_table_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CatalogueError, match="tagged"):
        load_contract("nothing")


def test_drift_warns_beyond_the_limit_and_never_blocks() -> None:
    contract = load_contract("unified")
    before = {"rows": 1000, "reasons": {"bad_json": 10}, "languages": {"en": 900, "zh": 100}}
    after = {"rows": 1000, "reasons": {"bad_json": 200}, "languages": {"en": 890, "zh": 110}}
    drops, languages = drift(contract, before, after)
    assert (drops.passed, drops.blocking) == (False, False)
    assert "bad_json moved by +19.0%" in drops.description
    assert languages.passed


def test_drift_without_a_past_passes_with_a_note() -> None:
    (drops,) = drift(load_contract("deduped"), None, {"rows": 5, "reasons": {}})
    assert drops.passed
    assert "nothing to compare with" in drops.description
    few = drift(load_contract("deduped"), {"rows": 5, "reasons": {}}, {"rows": 5, "reasons": {"x": 5}})
    assert few[0].passed


def test_rows_that_passed_before_are_not_read_again_and_new_ones_are(
    tmp_path: Path, judged_by: EngineName
) -> None:
    """A source that grows must not be audited whole each time, and what it grew by must be."""
    old, new = made(tmp_path / "old", ["a", "b"]), made(tmp_path / "new", ["c", "B"])
    both = made(tmp_path / "both", ["a", "b", "c", "B"])
    contract = small_contract()
    (unique, regex) = audit(contract, both.schema, both, Facts(4), fresh=new, engine=judged_by)
    assert unique.passed
    assert (regex.passed, regex.failed_rows, regex.failing_ids) == (False, 1, ("B",))
    assert all(
        result.passed for result in audit(contract, both.schema, both, Facts(4), fresh=old, engine=judged_by)
    )
    twice = made(tmp_path / "twice", ["a", "b", "a"])
    (unique, _) = audit(
        contract, twice.schema, twice, Facts(3), fresh=made(tmp_path / "again", ["a"]), engine=judged_by
    )
    assert not unique.passed


def made(folder: Path, ids: list[str]) -> Any:
    return lance.write_dataset(pa.table({"id": ids}), str(folder))


def small_contract() -> Contract:
    shared = {"severity": "critical", "description": "it holds", "column": "id"}
    checks = [
        {"type": "unique", "name": "unique_id", **shared},
        {"type": "regex", "name": "lower_case", "pattern": "^[a-z]$", **shared},
    ]
    return Contract.model_validate(
        {"table": "small", "version": 1, "description": "small", "key": "id", "checks": checks}
    )
