"""Webdataset and Infinity-MM samples: what becomes of each member, and of upstream's measures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infinity_assets.readers.base import Annotation, Media, Record, Turn
from infinity_assets.readers.infinity_mm import InfinityMM
from infinity_assets.readers.webdataset import WebDataset, WebDatasetOptions

from .conftest import SourceFilesMaker
from .test_container_tar import read_all, tar_of


def dumps(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.fixture
def webdataset(tmp_path: Path, source_files: SourceFilesMaker):
    def read(*entries: tuple[str, bytes]) -> list[Record]:
        (tmp_path / "a.tar").write_bytes(tar_of(entries))
        return read_all(source_files(tmp_path, WebDataset.patterns))

    return read


@pytest.fixture
def infinity_mm(tmp_path: Path, source_files: SourceFilesMaker):
    def read(*entries: tuple[str, bytes]) -> list[Record]:
        (tmp_path / "a.tar").write_bytes(tar_of(entries))
        files, reader = source_files(tmp_path, InfinityMM.patterns), InfinityMM()
        options = reader.Options()
        return [r for piece in reader.plan(files, options) for r in reader.read(files, piece, options)]

    return read


def test_conversations_are_the_turns(webdataset) -> None:
    """A LLaVA row in a tar must train as the same row in a JSON file does."""
    talk = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]
    (record,) = webdataset(
        ("x/7.jpg", b"j"),
        ("x/7.json", dumps({"id": 9, "conversations": talk, "source": "s", "caption": "c"})),
    )
    assert record.error is None
    assert record.native_id == "9"
    assert record.locator.member == "x/7"
    assert record.turns == (Turn("user", "<image>\nWhat?"), Turn("assistant", "A cat."))
    assert record.media == (Media("image", "x/7.jpg", b"j"),)
    assert record.extras == {"source": "s", "caption": "c"}


@pytest.mark.parametrize(
    "member", [("1.txt", b" A cat.\n"), ("1.json", b'{"text": "A cat."}')], ids=["txt", "json"]
)
def test_a_caption_answers_the_prompt(member: tuple[str, bytes], webdataset) -> None:
    """Captions arrive either way in the wild; both must become the same turns."""
    (record,) = webdataset(("1.png", b"p"), member)
    assert record.turns == (Turn("user", "<image>\nDescribe the image."), Turn("assistant", "A cat."))
    assert Annotation("caption", text="A cat.") in record.annotations


def test_a_class_is_a_label_and_no_turns_are_made_up(webdataset) -> None:
    """A class number is no answer to a question that nobody asked."""
    (record,) = webdataset(("1.cls", b"7\n"), ("1.png", b"p"), ("1.npy", b"n" * 9))
    assert record.turns == ()
    assert record.annotations == (Annotation("label", label="7"),)
    assert record.extras["npy"]["bytes"] == 9


def test_several_pictures_get_as_many_markers(webdataset) -> None:
    """Markers and media must agree, or the sample is quarantined later."""
    (record,) = webdataset(("1.a.jpg", b"a"), ("1.b.JPG", b"b"), ("1.txt", b"Two."))
    assert record.turns[0].text.count("<image>") == len(record.media) == 2


def test_the_record_does_not_depend_on_the_shard(tmp_path: Path, source_files: SourceFilesMaker) -> None:
    """Sharding anew must not give every sample a new id."""
    sample = [("b.jpg", b"j"), ("b.json", b'{"caption": "c"}')]
    for i, entries in enumerate([sample, [("a.jpg", b"k"), *sample]]):
        (tmp_path / f"{i}.tar").write_bytes(tar_of(entries))
    records = read_all(source_files(tmp_path, WebDataset.patterns))
    first, second = (r for r in records if r.native_id == "b")
    assert first.raw == second.raw


def row(**changes: Any) -> bytes:
    talk = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]
    fields = {
        "id": "i1",
        "source": "cambrian",
        "conversations": talk,
        "image": "/share/data/pic.one.png",
        "ram++_tags": ["cat"],
        "ram++_tags_score": [4.25],
        "phash": [18446744073709551615],
        "qw2vl_loss": 1.5,
    }
    return dumps(fields | changes)


def test_infinity_mm_rows_keep_what_upstream_measured(infinity_mm) -> None:
    """Logits above 1 and hashes above 2^63 must survive as they are, and the picture's real suffix too."""
    (record,) = infinity_mm(("000.jpg", b"png"), ("000.json", row()))
    assert record.error is None
    assert record.media == (Media("image", "000.png", b"png"),)
    assert record.upstream == {
        "ram++_tags": ["cat"],
        "ram++_tags_score": [4.25],
        "phash": [18446744073709551615],
        "qw2vl_loss": 1.5,
    }
    assert record.extras == {"source": "cambrian", "image": "/share/data/pic.one.png"}
    assert b"18446744073709551615" in record.raw


def test_a_bare_phash_survives(infinity_mm) -> None:
    """The scripts write a bare integer where the card shows a list."""
    (record,) = infinity_mm(("0.jpg", b"j"), ("0.json", row(phash=2**63 + 1)))
    assert record.upstream["phash"] == 2**63 + 1


@pytest.mark.parametrize(("loss", "suspect"), [(0.0, True), (0, True), (1e-9, False), (None, False)])
def test_a_loss_of_zero_is_suspect(loss: float | None, suspect: bool, infinity_mm) -> None:
    """Failed measurements were stored as 0.0; taken for real they look like the best rows of all."""
    (record,) = infinity_mm(("0.jpg", b"j"), ("0.json", row(qw2vl_loss=loss)))
    assert record.upstream["qw2vl_loss"] == loss
    assert ("qw2vl_loss_suspect" in record.upstream) is suspect


def test_an_empty_jpg_is_a_text_only_row(infinity_mm) -> None:
    """Nine million rows of stage 2 are text only; they are not broken pictures."""
    talk = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]
    (record,) = infinity_mm(("0.jpg", b""), ("0.json", row(conversations=talk, image="")))
    assert record.error is None
    assert record.media == ()
    assert len(record.turns) == 2


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([("0.json", row())], "bad_record"),
        ([("0.jpg", b"j")], "bad_record"),
        ([("0.jpg", b"j"), ("0.json", row()), ("0.txt", b"x")], "bad_record"),
        ([("0.jpg", b"j"), ("0.json", b'{"id": 1, "id": 2}')], "bad_json"),
        ([("0.jpg", b"j"), ("0.json", b"[]")], "bad_record"),
        ([("0.jpg", b"j"), ("0.json", row(conversations="hi"))], "bad_turns"),
        ([("0.jpg", b"j"), ("0.json", row(phash=2**64))], "bad_json"),
    ],
    ids=["no_jpg", "no_json", "third_member", "repeated_key", "list", "no_turns", "phash_over_64_bits"],
)
def test_rows_out_of_the_profile_are_told(entries: list[tuple[str, bytes]], reason: str, infinity_mm) -> None:
    """And only they: the row after them still comes."""
    records = infinity_mm(*entries, ("1.jpg", b"j"), ("1.json", row()))
    assert [r.error.reason if r.error else None for r in records] == [reason, None]
    assert "a.tar" in records[0].error.detail


def test_the_prompt_is_an_option(tmp_path: Path, source_files: SourceFilesMaker) -> None:
    """A Chinese source needs a Chinese question."""
    (tmp_path / "a.tar").write_bytes(tar_of([("1.jpg", b"j"), ("1.txt", "猫".encode())]))
    files, options = source_files(tmp_path, WebDataset.patterns), WebDatasetOptions(prompt="描述这张图片。")
    (piece,) = WebDataset().plan(files, options)
    (record,) = WebDataset().read(files, piece, options)
    assert record.turns[0].text == "<image>\n描述这张图片。"
