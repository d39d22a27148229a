"""Parquet with pictures inside: the layouts in the wild, schemas that drift, files that are damaged."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.readers import parquet_rows
from infinity_assets.readers.base import Media, Record, Turn
from infinity_assets.readers.files import FileEntry, SourceFiles
from infinity_assets.readers.parquet_images import ParquetImages, ParquetImagesOptions

from .conftest import SourceFilesMaker, folder_files

PNG = b"\x89PNG" + b"x" * 2000
TALK = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]
PAIR = [{"user": "What?", "assistant": "A cat.", "source": "s"}]


def read_all(files: SourceFiles) -> list[Record]:
    reader, options = ParquetImages(), ParquetImagesOptions()
    return [r for piece in reader.plan(files, options) for r in reader.read(files, piece, options)]


@pytest.fixture
def read(tmp_path: Path):
    def run(*tables: list[dict[str, Any]], **options: Any) -> list[Record]:
        for i, rows in enumerate(tables):
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{i}.parquet", **options)
        return read_all(folder_files(tmp_path, ParquetImages.patterns))

    return run


def test_cauldron_rows(read) -> None:
    """Texts never mention their pictures there: markers are put before the first question."""
    (record,) = read(
        [{"images": [{"bytes": PNG, "path": None}, {"bytes": None, "path": "a/./b.png"}], "texts": PAIR}]
    )
    assert record.error is None
    assert record.turns == (Turn("user", "<image>\n<image>\nWhat?"), Turn("assistant", "A cat."))
    assert record.media == (Media("image", "images[0]", PNG), Media("image", "a/b.png"))
    assert record.extras == {"texts": [{"source": "s"}]}


def test_finevision_ratings_are_upstream_measures(read) -> None:
    """Ratings must stay usable as measures, per turn and as their least."""
    row = {"images": [{"bytes": PNG, "path": None}], "texts": PAIR, "source": "s", "relevance_ratings": [4],
           "relevance_min": 4, "visual_dependency_ratings": None, "width_min": 3}  # fmt: skip
    (record,) = read([row])
    assert record.upstream == {"relevance_ratings": [4], "relevance_min": 4}
    assert record.extras == {"source": "s", "width_min": 3, "texts": [{"source": "s"}]}


def test_onevision_rows(read) -> None:
    """An id, a conversation with its marker, one picture as a struct; text-only rows have none."""
    rows = [
        {"id": "a1", "image": {"bytes": PNG, "path": "x.png"}, "conversations": TALK, "data_source": "d"},
        {"id": "a2", "image": None, "conversations": TALK[1:], "data_source": "d"},
    ]
    first, second = read(rows)
    assert (first.native_id, first.media, first.turns[0].text) == (
        "a1",
        (Media("image", "x.png", PNG),),
        "<image>\nWhat?",
    )
    assert (second.error, second.media) == (None, ())


@pytest.mark.parametrize(
    ("text", "count", "turns"),
    [
        ("<__dj__image> A bed.", 1, ["<image>\nDescribe the image.", "A bed."]),
        (
            "<__dj__image><__dj__image> Beds.<|__dj__eoc|>",
            2,
            ["<image>\n<image>\nDescribe the image.", "Beds."],
        ),
        ("See <__dj__image> there.", 1, ["See <image> there."]),
        ("Only text.", 0, ["Only text."]),
    ],
    ids=["caption", "two_pictures", "interleaved", "text_only"],
)
def test_data_juicer_rows(text: str, count: int, turns: list[str], read) -> None:
    """Native marks become ours: left in, a model would learn to say them."""
    (record,) = read([{"images": ["p.png"] * count, "text": text, "image_bytes": [PNG] * count}])
    assert [t.text for t in record.turns] == turns
    assert [m.data for m in record.media] == [PNG] * count


def test_files_of_other_schemas_are_read_side_by_side(read) -> None:
    """One odd shard among thousands must not stop the source, nor be misread."""
    records = read(
        [{"image": {"bytes": PNG, "path": None}, "conversations": TALK}],
        [{"image": PNG, "conversations": TALK, "new": 1.5}],
        [{"images": ["a/../b.png"], "conversations": TALK}],
        [{"image": 7, "conversations": TALK}],
        [{"conversations": "text"}],
        [{"image": PNG, "other": 1}],
    )
    assert [r.error.reason if r.error else None for r in records] == [
        *(None, None, None),
        *("bad_record", "bad_turns", "bad_record"),
    ]
    assert [r.media[0].ref for r in records[:3]] == ["image[0]", "image[0]", "b.png"]
    assert records[1].extras == {"new": 1.5}
    assert all("parquet, row 0" in r.error.detail for r in records if r.error)


def test_a_picture_without_bytes_and_path_is_an_empty_picture(read) -> None:
    """It must be found missing later, not disappear here and shift the others."""
    (record,) = read(
        [{"images": [{"bytes": PNG, "path": "a"}, {"bytes": None, "path": None}], "texts": PAIR}]
    )
    assert record.media[1] == Media("image", "images[1]", b"")


def test_binaries_and_odd_values_keep_their_identity(read) -> None:
    """Every native value is in raw or told by its hash; megabytes are not copied into extras."""
    table = [{"text": "t", "small": b"ab", "big": PNG, "nan": float("nan"), "u": 2**63 - 1}]
    (record,) = read(table)
    assert record.extras["small"] == {"base64": "YWI="}
    assert record.extras["big"]["bytes"] == len(PNG)
    assert record.extras["nan"] == "nan"
    assert json.loads(record.raw)["u"] == 2**63 - 1


def test_a_text_that_is_not_utf8_spoils_its_row_only(tmp_path: Path, source_files: SourceFilesMaker) -> None:
    """pyarrow raises for the whole batch; here it is one row with the column's name."""
    raw = pa.array([b"good", b"\xff\xfe", b"fine"], pa.binary())
    text = pa.StringArray.from_buffers(3, *raw.buffers()[1:])
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet")
    records = read_all(source_files(tmp_path, ParquetImages.patterns))
    assert [r.error.reason if r.error else None for r in records] == [None, "bad_record", None]
    assert "column text" in records[1].error.detail


def test_a_damaged_row_group_loses_only_itself(tmp_path: Path, source_files: SourceFilesMaker) -> None:
    """And the record says how many rows were lost."""
    rows = [{"text": f"row {i} " + "x" * 50} for i in range(30)]
    options = {
        "row_group_size": 10,
        "compression": "none",
        "use_dictionary": False,
        "write_page_checksum": False,
    }
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", **options)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    start = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(1).column(0).data_page_offset
    data[start : start + 40] = b"\xff" * 40
    (tmp_path / "a.parquet").write_bytes(data)
    records = read_all(source_files(tmp_path, ParquetImages.patterns))
    bad = [r for r in records if r.error]
    assert len(records) == 21
    assert [(r.error.reason, r.locator.row) for r in bad if r.error] == [("unreadable_file", 10)]
    assert "10 rows lost" in bad[0].error.detail
    assert records[-1].locator.row == 29


def test_a_flipped_bit_is_found_by_the_checksum(tmp_path: Path, source_files: SourceFilesMaker) -> None:
    """Without it a damaged picture or text would train as if it were upstream's."""
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(pa.Table.from_pylist([{"text": "a white cat"}]), tmp_path / "a.parquet", **options)
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data.replace(b"a white cat", b"a white cut"))
    (record,) = read_all(source_files(tmp_path, ParquetImages.patterns))
    assert record.error is not None
    assert record.error.reason == "unreadable_file"


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"not parquet at all", b"PAR1" + b"\xff" * 64 + b"\x40\0\0\0PAR1"], ids=range(4)
)
def test_a_damaged_file_is_one_record(data: bytes, tmp_path: Path, source_files: SourceFilesMaker) -> None:
    """A broken shard is told as a row of the source, and the others are read."""
    (tmp_path / "a.parquet").write_bytes(data)
    pq.write_table(pa.Table.from_pylist([{"text": "t"}]), tmp_path / "b.parquet")
    records = read_all(source_files(tmp_path, ParquetImages.patterns))
    assert [r.error.reason if r.error else None for r in records] == ["unreadable_file", None]


def test_a_row_over_the_limit_is_told(read, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one row of gigabytes takes the worker down."""
    monkeypatch.setattr(parquet_rows, "ROW_LIMIT", 1000)
    records = read([{"text": "t", "image": PNG}, {"text": "t", "image": b"x"}])
    assert [r.error.reason if r.error else None for r in records] == ["too_large", None]


def test_a_failing_store_is_not_a_damaged_file() -> None:
    """Else an outage would quarantine good rows for ever."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the store is gone")

    entry = FileEntry("a.parquet", 100, "0" * 32)
    files = SourceFiles([entry], ["*.parquet"], lambda _: Failing(b"x" * 100))
    with pytest.raises(OSError, match="the store is gone"):
        read_all(files)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=40), st.integers(1, 9), st.integers(1, 400))
def test_slicing_changes_no_record(texts: list[str], group: int, slice_bytes: int) -> None:
    """Rows and errors are the same for any slice and row group size."""
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{"text": t} for t in texts]), out, row_group_size=group)
    files = SourceFiles(
        [FileEntry("a.parquet", len(out.getvalue()), "0" * 32)],
        ["*.parquet"],
        lambda _: io.BytesIO(out.getvalue()),
    )
    whole = read_all(files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_rows, "SLICE_BYTES", slice_bytes)
        assert read_all(files) == whole
    assert [r.locator.row for r in whole] == list(range(len(texts)))
