"""The containers: slices that survive appending, records that do not depend on slicing, nothing lost."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import blake3
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.readers import READERS, json_rows, parse_options
from infinity_assets.readers.base import Record, Slice, canonical_json
from infinity_assets_tests.readers.conftest import folder_files

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=12)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
rows = st.lists(
    st.builds(
        lambda extra, text: {"extra": extra, "instruction": text, "output": "ok"},
        values,
        st.text(st.characters(codec="utf-8")),
    ),
    max_size=12,
)
LAYOUTS = ["lines", "compact", "one a line", "indent 0", "indent 2", "nested", "ascii lines", "windows lines"]


def write(layout: str, items: list[Any]) -> bytes:
    if layout == "lines":
        return b"".join(orjson.dumps(item) + b"\n" for item in items)
    if layout == "windows lines":
        return b"\xef\xbb\xbf" + b"\r\n\r\n".join(orjson.dumps(item) for item in items)
    if layout == "ascii lines":
        return "\n".join(json.dumps(item) for item in items).encode()
    if layout == "one a line":
        return b"[\n" + b",\n".join(orjson.dumps(item) for item in items) + b"\n]\n"
    if layout == "compact":
        return orjson.dumps(items)
    if layout == "nested":
        return json.dumps({"first": ["x", {"list": []}], "list": {"of": items}, "last": [1]}).encode()
    return json.dumps(items, indent=int(layout[-1]), ensure_ascii=False).encode()


def read_bytes(
    content: bytes, layout: str = "lines", slice_bytes: int = 8 << 20
) -> tuple[list[Slice], list[Record]]:
    spec: dict[str, Any] = {"format": "mapping", "question": "{instruction}", "answer": "{output}"}
    reader, options = parse_options(spec | ({"rows": "list.of"} if layout == "nested" else {}))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "SLICE_BYTES", slice_bytes)
        (Path(folder) / "rows.json").write_bytes(content)
        files = folder_files(Path(folder), reader.patterns)
        slices = list(reader.plan(files, options))
        return slices, [r for piece in slices for r in reader.read(files, piece, options)]


@settings(max_examples=25, deadline=None)
@given(rows, st.sampled_from(LAYOUTS))
def test_what_was_written_is_what_is_read(items: list[Any], layout: str) -> None:
    """A user would lose or change native values."""
    _, records = read_bytes(write(layout, items), layout)
    assert [r.raw for r in records] == [canonical_json(item) for item in items]
    assert [r.locator.row for r in records] == list(range(len(items)))
    assert [r.turns[0].text for r in records] == [item["instruction"] for item in items]


@settings(max_examples=25, deadline=None)
@given(rows, st.sampled_from(LAYOUTS), st.integers(1, 200), st.randoms(use_true_random=False))
def test_slicing_does_not_change_records(items: list[Any], layout: str, size: int, random: Any) -> None:
    """The result would depend on how many workers there are; damaged files too."""
    content = bytearray(write(layout, items))
    for _ in range(random.randrange(3)):
        if content:
            at = random.randrange(len(content))
            content[at : at + random.randrange(4)] = random.choice(
                [b'"', b"}", b"{", b"]", b"[", b"\\", b"\n", b""]
            )
    whole_slices, whole = read_bytes(bytes(content), layout)
    small_slices, small = read_bytes(bytes(content), layout, size)
    assert small == whole
    assert len(small_slices) >= len(whole_slices)


@settings(max_examples=25, deadline=None)
@given(rows, rows, st.sampled_from([x for x in LAYOUTS if x != "nested"]), st.integers(1, 200))
def test_appended_rows_leave_earlier_slices_as_they_were(
    before: list[Any], more: list[Any], layout: str, size: int
) -> None:
    """A growing source would be read, decoded and paid for again from its start."""
    old, _ = read_bytes(write(layout, before), layout, size)
    new, records = read_bytes(write(layout, before + more), layout, size)
    assert new[: max(0, len(old) - 1)] == old[:-1]
    assert len(records) == len(before) + len(more)


def test_a_slice_of_lines_is_named_by_its_bytes() -> None:
    """Equal content would be read twice, changed content not at all."""
    content = b'{"instruction":"a","output":"b"}\n' * 3
    slices, _ = read_bytes(content, slice_bytes=40 * json_rows.LINE_SLICES)
    assert [(s.start, s.end, s.first_row) for s in slices] == [(0, 66, 0), (66, 99, 2)]
    assert [s.content for s in slices] == [
        blake3.blake3(content[s.start : s.end]).hexdigest(length=16) for s in slices
    ]


def test_offsets_lead_back_to_the_row() -> None:
    """A passport could not show the raw row."""
    for layout in LAYOUTS:
        items = [{"instruction": "é" * n, "output": "x"} for n in range(4)]
        content = write(layout, items)
        _, records = read_bytes(content, layout)
        for record, item in zip(records, items, strict=True):
            value, _ = json.JSONDecoder().raw_decode(content[record.locator.offset :].decode())
            assert value == item


@pytest.mark.parametrize("layout", ["lines", "compact", "nested"])
def test_memory_does_not_grow_with_the_file(layout: str) -> None:
    """A large file would end in a killed worker."""
    reader, options = parse_options(
        {"format": "mapping", "question": "{instruction}"}
        | ({"rows": "list.of"} if layout == "nested" else {})
    )
    with tempfile.TemporaryDirectory() as folder:
        items = [{"instruction": "x" * 4000, "output": str(n)} for n in range(6000)]
        (Path(folder) / "rows.json").write_bytes(write(layout, items))
        del items
        files = folder_files(Path(folder), reader.patterns)
        tracemalloc.start()
        count = sum(1 for piece in reader.plan(files, options) for _ in reader.read(files, piece, options))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count == 6000
    assert peak < 8 << 20


def test_every_reader_of_rows_says_that_a_file_is_not_json(tmp_path: Path) -> None:
    """A page of HTML in place of data would look like an empty source."""
    (tmp_path / "rows.json").write_text("<!doctype html>\n<title>Sign in</title>\n")
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "spaces.json").write_bytes(b"\xef\xbb\xbf \n\n")
    for name in ("alpaca", "captions", "llava", "mapping", "messages", "sharegpt"):
        reader, options = READERS[name], READERS[name].Options()
        files = folder_files(tmp_path, reader.patterns)
        found = [r for piece in reader.plan(files, options) for r in reader.read(files, piece, options)]
        assert [r.error.reason for r in found if r.error] == ["unreadable_file"]
        assert "rows.json" in str(found[0].error)
