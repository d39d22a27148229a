"""What becomes of each record: its media, its markers, its ids, and the reason where it cannot be used."""

from __future__ import annotations

import json
import os

import pytest

from infinity_assets.errors import SourceError, StoreError
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.unified.stage import materialize_unified
from infinity_assets_tests.conftest import Row, Site, ingest, jsonl, parquet, picture, samples, talk
from infinity_assets_tests.stages.unified.test_workers import webdataset


def unified_rows(site: Site, name: str) -> dict[str, Row]:
    _, unified = ingest(site.platform(), name)
    return {row["native_id"]: row for row in samples(unified)}


def test_every_record_has_a_row_and_every_bad_one_a_reason(site: Site, in_process: list[str]) -> None:
    no_marker = talk("marked", "1.png")
    no_marker["conversations"][0]["value"] = "What is this, in a few plain words?"
    two_for_one = talk("two", "1.png")
    two_for_one["conversations"][0]["value"] = "<image> <image> compare"
    only_answers = {"id": "mute", "image": "1.png", "conversations": [{"from": "gpt", "value": "A dot."}]}
    rows = [
        talk("fine", "1.png"),
        talk("text"),
        no_marker,
        two_for_one,
        only_answers,
        talk("missing", "none.png"),
        talk("outside", "../other/1.png"),
        talk("absolute", "/etc/hostname"),
        talk("remote", "https://example.com/1.png"),
        talk("broken", "bad.png"),
        talk("half", "1.png", "bad.png"),
        talk("clip") | {"video": "none.mp4"},
        b"{not json",
        {"id": "shapeless"},
    ]
    files = {
        "a.jsonl": jsonl(rows),
        "1.png": picture(1),
        "bad.png": b"\x89PNG\r\n\x1a\n rest",
        "e.jsonl": b"",
    }
    site.add("src", files)
    images, unified = ingest(site.platform(), "src")
    found = samples(unified)
    decided = {row["native_id"]: (row["verdict"], row["reason"]) for row in found}
    assert decided == {
        "fine": ("keep", None),
        "text": ("keep", None),
        "marked": ("keep", None),
        "two": ("quarantine", "media_count_mismatch"),
        "mute": ("quarantine", "bad_turns"),
        "missing": ("quarantine", "missing_image"),
        "outside": ("quarantine", "path_outside_source"),
        "absolute": ("quarantine", "path_outside_source"),
        "remote": ("quarantine", "remote_media"),
        "broken": ("quarantine", decided["broken"][1]),
        "half": ("quarantine", decided["broken"][1]),
        "clip": ("quarantine", "missing_media"),
        None: ("quarantine", decided[None][1]),
        "shapeless": ("quarantine", "bad_record"),
    }
    assert len(found) == len(rows) == unified.counts.rows == unified.counts.rows_in
    assert unified.counts.kept == 3 and unified.counts.quarantined == len(rows) - 3
    assert sum(unified.counts.reasons.values()) == unified.counts.quarantined
    assert all(row["detail"] for row in found if row["verdict"] != "keep")
    assert len({row["sample_id"] for row in found}) == len(rows), "a quarantined row has an id too"
    assert [row["locator"]["row"] for row in found] == list(range(len(rows))), "source order is kept"
    marked = next(row for row in found if row["native_id"] == "marked")
    assert marked["marker_added"] and marked["turns"][0]["text"].startswith("<image>\nWhat is this")
    assert images.counts.kept == images.counts.quarantined == 1
    bad = [row for row in samples(images) if row["verdict"] != "keep"]
    assert bad[0]["width"] is None and bad[0]["bytes"] == files["bad.png"], "measures null, bytes kept"


def test_the_same_pictures_and_words_have_one_content_hash_in_every_format(
    site: Site, in_process: list[str]
) -> None:
    row = talk("same", "dots.png")
    members = {"k.json": json.dumps({**row, "image": "k.png"}).encode(), "k.png": picture(1)}
    site.add("by_path", {"a.json": json.dumps([row]).encode(), "dots.png": picture(1)})
    site.add("by_column", {"a.parquet": parquet([(row, [picture(1)])])}, reader="parquet_images")
    site.add("by_tar", {"a.tar": webdataset(members)}, reader="webdataset")
    site.add("other", {"a.json": json.dumps([row]).encode(), "dots.png": picture(2)})
    found = {name: unified_rows(site, name)["same"] for name in ("by_path", "by_column", "by_tar", "other")}
    assert all(row["verdict"] == "keep" for row in found.values())
    hashes = {name: row["content_hash"] for name, row in found.items()}
    assert hashes["by_path"] == hashes["by_column"] == hashes["by_tar"] != hashes["other"]
    assert len({row["sample_id"] for row in found.values()}) == 4, "ids are of the source's own"


def test_text_alone_and_nothing_at_all_are_sources_too(site: Site, in_process: list[str]) -> None:
    message = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}
    site.add("words", {"a.jsonl": jsonl([message])}, reader="messages", category="text")
    site.add("nothing", {"a.jsonl": b"\n\n"})
    images, unified = ingest(site.platform(), "words")
    assert (images.counts.rows, unified.counts.kept) == (0, 1)
    images, unified = ingest(site.platform(), "nothing")
    assert (images.counts.rows, unified.counts.rows) == (0, 0)
    assert site.platform().store.require(UNIFIED, "nothing").rows == 0


@pytest.mark.parametrize("changed", ["a.jsonl", "1.png"])
def test_a_file_that_changes_between_raw_and_unified_is_named_and_nothing_is_published(
    site: Site, in_process: list[str], changed: str
) -> None:
    home = site.add("src", {"a.jsonl": jsonl([talk(1, "1.png")]), "1.png": picture(1)})
    materialize_raw(site.platform(), "src", "run")
    new = {"a.jsonl": jsonl([talk(2, "1.png")]), "1.png": picture(2)}[changed]
    (home / changed).write_bytes(new)
    os.utime(home / changed, (5, 5))
    with pytest.raises(SourceError, match=rf"{changed}: changed since raw hashed it; materialize raw again"):
        materialize_unified(site.platform(), "src", "run")
    for table in (IMAGES, UNIFIED):
        assert site.platform().store.published(table, "src") is None
    (home / changed).unlink()
    with pytest.raises(SourceError, match=changed):
        materialize_unified(site.platform(), "src", "run")


def test_a_record_file_that_vanishes_inside_a_container_source_is_named(
    site: Site, in_process: list[str]
) -> None:
    home = site.add("src", {"a.parquet": parquet([(talk(1), [picture(1)])])}, reader="parquet_images")
    materialize_raw(site.platform(), "src", "run")
    (home / "a.parquet").unlink()
    with pytest.raises(SourceError, match=r"a\.parquet: changed since raw hashed it"):
        materialize_unified(site.platform(), "src", "run")


def test_unified_before_raw_says_what_to_materialize(site: Site) -> None:
    site.add("src", {"a.jsonl": jsonl([talk(1)])})
    with pytest.raises(StoreError, match="raw of src was never published; materialize raw first"):
        materialize_unified(site.platform(), "src", "run")


def test_a_picture_in_several_roles_is_stored_once_and_every_reference_finds_it(
    site: Site, in_process: list[str]
) -> None:
    rows = [talk(i, "a.png", "sub/../a.png", "./b.png") for i in range(3)]
    site.add("src", {"rows.jsonl": jsonl(rows), "a.png": picture(1), "b.png": picture(1)})
    images, unified = ingest(site.platform(), "src")
    assert images.counts.rows == 1 and unified.counts.kept == 3
    assert {tuple(row["image_ids"]) for row in samples(unified)} == {(samples(images)[0]["image_id"],) * 3}
