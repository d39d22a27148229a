"""Hostile and broken JSON: the bad row is named, its neighbours are read, and nothing huge is held."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.readers import json_rows, json_scan, parse_options
from infinity_assets.readers.base import Record
from infinity_assets.readers.json_values import BadJson, parse
from infinity_assets_tests.readers.conftest import folder_files

GOOD = b'{"instruction":"%d","output":"a"}'


def read(folder: Path, content: bytes, **options: str) -> list[Record]:
    (folder / "rows.json").write_bytes(content)
    reader, chosen = parse_options({"format": "alpaca"} | options)
    files = folder_files(folder, reader.patterns)
    return [r for piece in reader.plan(files, chosen) for r in reader.read(files, piece, chosen)]


def reasons(records: list[Record]) -> list[str]:
    return [r.error.reason if r.error else "ok" for r in records]


#: One row that is wrong in itself, and what the error must name.
BAD_VALUES = {
    "nan": (b'{"instruction":NaN}', "NaN"),
    "infinity": (b'{"instruction":-Infinity}', "Infinity"),
    "number_out_of_range": (b'{"instruction":1e999}', "range"),
    "integer_over_64_bits": (b'{"instruction":"x","output":"y","phash":18446744073709551616}', "64 bits"),
    "negative_over_64_bits": (b'{"phash":-9223372036854775809}', "64 bits"),
    "million_digits": (b'{"phash":' + b"1" * 1_000_000 + b"}", "64 bits"),
    "lone_high_surrogate": (b'{"instruction":"\\ud83d"}', "surrogate"),
    "lone_low_surrogate": (b'{"instruction":"\\ude00 x"}', "surrogate"),
    "latin_1": (b'{"instruction":"caf\xe9","output":""}', "UTF-8"),
    "overlong_utf8": (b'{"instruction":"\xc0\xaf"}', "UTF-8"),
    "surrogate_in_utf8": (b'{"instruction":"\xed\xa0\x80"}', "UTF-8"),
    "repeated_key": (b'{"instruction":"a","instruction":"b"}', "'instruction' is repeated"),
    "repeated_key_inside": (b'{"instruction":"a","meta":{"k":1,"k":1}}', "'k' is repeated"),
    "repeated_key_behind_escape": (b'{"a":1,"a":"\\u003a"}', "'a' is repeated"),
    "repeated_key_by_escape": (b'{"a":1,"\\u0061":2}', "'a' is repeated"),
    "single_quotes": (b"{'instruction':'a'}", "line 1 column 2"),
    "trailing_comma": (b'{"instruction":"a",}', "column"),
    "control_character": (b'{"instruction":"a\x01b"}', "control character"),
    "nul_byte": (b'{"instruction":"a",\x00}', "column"),
    "comment": (b'{"instruction":"a"/* c */}', "column"),
    "deep_nesting": (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested"),
    "deep_but_parsable": (b'{"a":' * 400 + b"1" + b"}" * 400, "nested"),
    "python_true": (b'{"instruction":True}', "column"),
    "extra_value": (b'{"instruction":"a"} "b"', "column"),
}


@pytest.mark.parametrize("layout", ["lines", "array", "compact"])
@pytest.mark.parametrize("name", sorted(BAD_VALUES))
def test_a_bad_row_is_named_and_its_neighbours_are_read(tmp_path: Path, name: str, layout: str) -> None:
    """One bad row would cost its file, or would enter with other values than upstream wrote."""
    bad, expected = BAD_VALUES[name]
    parts = [GOOD % 0, bad, GOOD % 2]
    content = {
        "lines": b"\n".join(parts),
        "array": b"[\n  " + b",\n  ".join(parts) + b"\n]",
        "compact": b"[" + b",".join(parts) + b"]",
    }[layout]
    records = read(tmp_path, content)
    if name == "extra_value" and layout != "lines":  # two elements, the comma between them is missing
        assert reasons(records) == ["ok", "bad_record", "bad_record", "ok"]
        return
    assert reasons(records) == ["ok", "bad_json", "ok"]
    error = records[1].error
    assert error is not None
    assert expected in error.detail
    assert "row 1 at byte" in error.detail
    assert "\n" not in error.detail
    assert len(error.detail) < 300
    assert records[1].raw == bad


#: Arrays where brackets or quotes are broken: reasons, and the instructions that are read.
BROKEN_ARRAYS = {
    "missing_brace_compact": (
        b"[" + GOOD % 0 + b',{"instruction":"1","output":"a",' + GOOD % 2 + b"," + GOOD % 3 + b"]",
        ["ok", "bad_json", "ok", "ok"],
    ),
    "missing_brackets": (
        b"[\n"
        + GOOD % 0
        + b',\n{"instruction":"1","history":[["a","b"],\n'
        + GOOD % 2
        + b",\n"
        + GOOD % 3
        + b"\n]",
        ["ok", "bad_json", "ok", "ok"],
    ),
    "missing_inner_bracket": (
        b"[" + GOOD % 0 + b',{"instruction":"1","history":[["a","b"]},' + GOOD % 2 + b"]",
        ["ok", "bad_json", "ok"],
    ),
    "missing_quote": (
        b"[\n" + GOOD % 0 + b',\n{"instruction":"1,"output":"a"},\n' + GOOD % 2 + b",\n" + GOOD % 3 + b"\n]",
        ["ok", "bad_json", "ok", "ok"],
    ),
    "raw_line_end_in_text": (
        b"[\n" + GOOD % 0 + b',\n{"instruction":"1\n x","output":"a"},\n' + GOOD % 2 + b"\n]",
        ["ok", "bad_json", "ok"],
    ),
    "two_commas": (b"[" + GOOD % 0 + b",," + GOOD % 1 + b",]", ["ok", "ok"]),
    "no_comma": (b"[" + GOOD % 0 + b" " + GOOD % 1 + b"]", ["ok", "ok"]),
    "stray_brace": (b"[" + GOOD % 0 + b"}," + GOOD % 1 + b"]", ["ok", "bad_json", "ok"]),
    "rows_of_other_kinds": (
        b'[1, "a", null, [' + GOOD % 0 + b"], " + GOOD % 1 + b"]",
        ["bad_record"] * 4 + ["ok"],
    ),
    "cut_in_row": (b"[" + GOOD % 0 + b"," + (GOOD % 1)[:-5], ["ok", "unreadable_file"]),
    "cut_between_rows": (b"[" + GOOD % 0 + b"," + GOOD % 1 + b",", ["ok", "ok", "unreadable_file"]),
    "two_arrays": (b"[" + GOOD % 0 + b"][" + GOOD % 1 + b"]", ["ok", "unreadable_file"]),
    "only_a_bracket": (b"[", ["unreadable_file"]),
    "empty_array": (b" [ ] \n", []),
    "unclosed_compact": (
        b"[" + GOOD % 0 + b',{"instruction":"1","history":[' + GOOD % 2 + b"," + GOOD % 3 + b"]",
        ["ok", "unreadable_file"],
    ),
    "pretty_values": (
        b'{\n "instruction":"0",\n "output":""\n}\n{\n "instruction":"1",\n "output":""\n}\n',
        ["ok", "ok"],
    ),
    "lines_first_bad": (b"oops\n" + GOOD % 1 + b"\n", ["bad_json", "ok"]),
    "lines_cut": (GOOD % 0 + b"\n" + (GOOD % 1)[:-5], ["ok", "bad_json"]),
    "lines_of_array_elements": (GOOD % 0 + b",\n" + GOOD % 1 + b"\n", ["bad_json", "ok"]),
    "utf_16": ('{"instruction":"a"}'.encode("utf-16"), ["unreadable_file"]),
    "gzip": (b"\x1f\x8b\x08\x00abc", ["unreadable_file"]),
    "lfs_pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        ["unreadable_file"],
    ),
}


@pytest.mark.parametrize("name", sorted(BROKEN_ARRAYS))
def test_a_broken_array_gives_its_good_rows(tmp_path: Path, name: str) -> None:
    """A missing bracket in one of a million rows would cost all those behind it."""
    content, expected = BROKEN_ARRAYS[name]
    records = read(tmp_path, content)
    assert reasons(records) == expected
    assert [r.locator.row for r in records] == list(range(len(expected)))
    for record in records:
        if record.error and record.error.reason == "unreadable_file":
            assert f"row {record.locator.row} at byte {record.locator.offset}" in record.error.detail


@pytest.mark.parametrize("layout", ["lines", "array", "text in array", "unclosed"])
def test_a_huge_row_is_reported_without_being_held(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row of gigabytes would kill the worker at every try."""
    for module in (json_rows, json_scan):
        monkeypatch.setattr(module, "RECORD_LIMIT", 1 << 20)
    huge = b'{"instruction":"' + b'x\\"y' * 10_000_000 + b'"}'
    if layout == "text in array":
        huge = huge[15:-1]
    parts = [GOOD % 0, huge if layout != "unclosed" else huge[:-2], GOOD % 2]
    content = b"\n".join(parts) if layout == "lines" else b"[" + b",".join(parts) + b"]"
    (tmp_path / "rows.json").write_bytes(content)
    reader, options = parse_options({"format": "alpaca"})
    files = folder_files(tmp_path, reader.patterns)
    del content, huge, parts
    tracemalloc.start()
    records = [r for piece in reader.plan(files, options) for r in reader.read(files, piece, options)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20
    if layout == "unclosed":
        assert reasons(records) == ["ok", "unreadable_file"]
    else:
        assert reasons(records) == ["ok", "too_large", "ok"]
        assert "row 1 at byte" in str(records[1].error)


def test_a_turn_of_ten_megabytes_is_legal(tmp_path: Path) -> None:
    """Long documents would be refused."""
    records = read(tmp_path, b'[{"instruction":"' + b"x" * 10_000_000 + b'","output":""}]')
    assert reasons(records) == ["ok"]
    assert len(records[0].turns[0].text) == 10_000_000


def test_recovery_gives_up_in_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where no row closes would be scanned for days."""
    monkeypatch.setattr(json_scan, "RESCAN_LIMIT", 10_000)
    records = read(tmp_path, b"[\n" + b'{"a":[1,\n' * 1000 + b"]")
    assert reasons(records)[-1] == "unreadable_file"
    assert "gave up" in str(records[-1].error)
    assert set(reasons(records)[:-1]) == {"bad_json"}


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    """Part files that hold nothing would look like damage."""
    assert read(tmp_path, b"") == []


def test_hashes_of_64_bits_and_colons_are_kept() -> None:
    """Perceptual hashes above 2^63, and texts full of colons, would be refused or changed."""
    for raw in (
        b'{"phash":[18446744073709551615,9223372036854775808],"n":-9223372036854775808}',
        b'{"a":"::::","b":"\\u003a \\":","c":{"d":[{"e":":"}]}}',
        b'{"a":"12345678901234567890123 -98765432109876543210"}',
    ):
        value, canonical = parse(raw)
        assert parse(canonical) == (value, canonical)
    with pytest.raises(BadJson, match="repeated"):
        parse(b'{"a":1, "a" : 2}')


def test_rows_of_an_object_are_found_by_keys(tmp_path: Path) -> None:
    """A list inside an object, or one that is missing, would be read as nothing."""
    (tmp_path / "rows.json").write_bytes(
        b'{"rows":{"x":[{"q":"no"}]},"data":{"n":"\\"rows\\":[","rows":[{"q":"0"},{"q":"1"}],"z":[]}}'
    )
    for path, expected in (("data.rows", ["0", "1"]), ("data.none", [])):
        reader, options = parse_options({"format": "mapping", "rows": path, "question": "{q}"})
        files = folder_files(tmp_path, reader.patterns)
        records = [r for piece in reader.plan(files, options) for r in reader.read(files, piece, options)]
        assert [r.turns[0].text for r in records if not r.error] == expected
        assert bool(expected) or "check the option 'rows'" in str(records[0].error)


@given(
    st.lists(st.sampled_from([b"{}", b" ", b"\t", b"\r\n", b"\n", b"\x0b", b"\xa0"]), max_size=30),
    st.integers(1, 5),
    st.integers(0, 3),
)
def test_slices_of_lines_end_where_lines_end(parts: list[bytes], block: int, start: int) -> None:
    """Lost otherwise: a row cut in two, or one that is counted and never read."""
    stream = io.BytesIO(b"".join(parts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "_BLOCK", block)
        found = list(json_rows.line_ends(stream, start))
    assert found == [at + size for at, size, _ in json_rows.read_lines(stream, start, -1)]
