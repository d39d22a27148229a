"""CSV and TSV rows: quotes, line ends inside cells, damage, and slices that do not change records."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.readers import csv_rows, json_rows, parse_options
from infinity_assets.readers.base import Record, Slice
from infinity_assets_tests.readers.conftest import folder_files


def read(
    content: bytes, name: str = "rows.csv", slice_bytes: int = 8 << 20, **options: Any
) -> tuple[list[Slice], list[Record]]:
    reader, chosen = parse_options({"format": "captions"} | options)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "SLICE_BYTES", slice_bytes)
        (Path(folder) / name).write_bytes(content)
        files = folder_files(Path(folder), reader.patterns)
        slices = list(reader.plan(files, chosen))
        return slices, [r for piece in slices for r in reader.read(files, piece, chosen)]


cells = st.text(st.sampled_from('a,"\n\r\té 5'), max_size=6)
tables = st.lists(st.tuples(cells, cells, cells), max_size=8)


def write(table: list[tuple[str, str, str]], line_end: str) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows(
        [("image", "text", "z"), *table]
    )
    return out.getvalue().encode()


@settings(max_examples=50, deadline=None)
@given(tables, tables, st.sampled_from(["\n", "\r\n"]), st.integers(1, 60))
def test_cells_survive_whatever_they_hold_and_however_they_are_cut(
    before: list[Any], more: list[Any], line_end: str, size: int
) -> None:
    """Captions with commas, quotes or line ends would be torn apart; growing files would be read again."""
    old, _ = read(write(before, line_end), slice_bytes=size)
    new, small = read(write(before + more, line_end), slice_bytes=size)
    _, whole = read(write(before + more, line_end))
    expected = [dict(zip(("image", "text", "z"), row, strict=True)) for row in before + more]
    assert [orjson.loads(r.raw) for r in whole] == expected
    assert small == whole
    assert new[: max(0, len(old) - 1)] == old[:-1]


def test_columns_may_be_named_by_the_catalogue_and_tsv_by_its_name() -> None:
    """Files without a header row would lose their first row to it."""
    _, records = read(b"a.png\tA cat\nb.png\tA dog\n", "rows.tsv", columns=["image", "text"])
    assert [(r.media[0].ref, r.turns[1].text) for r in records] == [("a.png", "A cat"), ("b.png", "A dog")]


def test_a_quote_inside_a_plain_cell_is_a_character() -> None:
    """An inch mark would swallow the rows behind it."""
    _, records = read(b'image,text\na.png,5" pipe\nb.png,x\n')
    assert [r.turns[1].text for r in records] == ['5" pipe', "x"]


BAD: dict[str, tuple[bytes, list[str]]] = {
    "too_many_cells": (b"image,text\na,b,c\nd,e\n", ["bad_record", "ok"]),
    "too_few_cells": (b"image,text\na\nd,e\n", ["bad_record", "ok"]),
    "not_utf8": (b"image,text\na,caf\xe9\nd,e\n", ["bad_record", "ok"]),
    "text_behind_a_quote": (b'image,text\na,"b"c\nd,e\n', ["bad_record", "ok"]),
    "quote_never_closed": (b'image,text\na,b\nd,"e\nf,g\n', ["ok", "unreadable_file"]),
    "quote_in_header_never_closed": (b'image,"text\na,b\n', ["unreadable_file"]),
    "repeated_column": (b"image,image\na,b\n", ["unreadable_file"]),
    "header_only": (b"image,text\n", []),
    "empty": (b"", []),
    "byte_order_mark_and_blank_lines": (b"\xef\xbb\xbfimage,text\r\n\r\na,b\r\n", ["ok"]),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_damage_is_named_and_costs_only_its_row(name: str) -> None:
    """One bad row would cost the file."""
    content, expected = BAD[name]
    _, records = read(content)
    assert [r.error.reason if r.error else "ok" for r in records] == expected


def test_a_huge_row_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """One cell of gigabytes would kill the worker."""
    for module in (json_rows, csv_rows):
        monkeypatch.setattr(module, "RECORD_LIMIT", 1000)
    long = b"x" * 5000
    _, records = read(b'image,text\na,"' + b"y\n" * 2000 + b'"\nb,' + long + b"\nc,d\n")
    assert [r.error.reason if r.error else "ok" for r in records] == ["too_large", "too_large", "ok"]
