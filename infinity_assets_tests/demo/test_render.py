"""The demo is what people see first and what the pipeline's checks are measured against."""

from __future__ import annotations

import hashlib
import io
import json
import time
from pathlib import Path

import pytest
from PIL import Image

from infinity_assets.demo.defects import KINDS, DemoTruth, Planted
from infinity_assets.demo.render import render_demo
from infinity_assets.errors import SourceError
from infinity_assets.readers.base import Record
from infinity_assets.stages.mixed.spec import load_mixes
from infinity_assets_tests.demo.conftest import Demo


def planted_record(demo: Demo, one: Planted) -> Record:
    found = [
        r
        for r in demo.records[one.source]
        if r.locator.file == one.locator.file
        and (one.locator.row is None or r.locator.row == one.locator.row)
    ]
    assert len(found) == 1, f"{one.kind}: {len(found)} records at {one.locator}"
    return found[0]


def by_id(demo: Demo, source: str, native_id: str) -> Record:
    found = [r for r in demo.records[source] if r.native_id == native_id]
    assert len(found) == 1, f"{source}: {len(found)} records have the id {native_id}"
    return found[0]


def of_kind(demo: Demo, kind: str) -> list[Planted]:
    chosen = [p for p in demo.truth.planted if p.kind == kind]
    assert chosen, kind
    return chosen


def tree_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def content(demo: Demo, source: str, record: Record) -> tuple[object, ...]:
    turns = tuple((t.role, t.text) for t in record.turns)
    pictures = tuple(
        hashlib.sha256(demo.picture(source, record, k) or b"").hexdigest() for k in range(len(record.media))
    )
    return turns, pictures


def test_same_bytes_on_every_run(demo: Demo, tmp_path: Path) -> None:
    """Else a person who follows the documentation sees other numbers than it shows."""
    start = time.process_time()
    render_demo(tmp_path / "again")
    assert time.process_time() - start < 20, "rendering has become slow (about 4.5 s when written)"
    assert tree_hash(tmp_path / "again") == tree_hash(demo.folder)


def test_refuses_a_folder_in_use(tmp_path: Path) -> None:
    """Else a mistyped path would mix invented samples into a person's own files."""
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(SourceError, match="not empty"):
        render_demo(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_truth_file_reads_back(demo: Demo) -> None:
    """Else a later run cannot be scored."""
    again = DemoTruth.read(demo.folder / "truth.json")
    assert again == demo.truth
    raw = json.loads((demo.folder / "truth.json").read_text())
    assert raw["version"] == 1 and raw["planted"][0].keys() >= {
        "kind",
        "source",
        "locator",
        "expected",
        "caught_by",
    }


def test_truth_of_another_version_is_refused(tmp_path: Path) -> None:
    """Else a run would be scored against fields that mean something else."""
    (tmp_path / "truth.json").write_text('{"version": 2}')
    with pytest.raises(ValueError, match="version 2"):
        DemoTruth.read(tmp_path / "truth.json")


def test_mix_is_valid(demo: Demo) -> None:
    """Else the demo ends before its last stage."""
    assert sorted(load_mixes(demo.folder / "mixes" / "demo.yaml")) == ["1", "2a", "2b", "2c", "3", "4"]


def test_every_record_is_read_and_counted(demo: Demo) -> None:
    """Else the funnel starts with a number that the truth does not know."""
    assert {name: len(rows) for name, rows in demo.records.items()} == dict(demo.truth.samples)
    assert 1_900 <= sum(demo.truth.samples.values()) <= 2_400
    assert len({demo.catalogue[n].spec.format for n in demo.catalogue}) >= 8


def test_readers_refuse_only_what_was_broken(demo: Demo) -> None:
    """Else the demo blames the reader for a file that the demo itself got wrong."""
    expected = {
        (p.source, p.locator.file, p.locator.row): KINDS[p.kind].reasons
        for p in of_kind(demo, "bad_json_line")
    }
    refused = {
        (name, r.locator.file, r.locator.row): (r.error.reason,)
        for name, rows in demo.records.items()
        for r in rows
        if r.error is not None
    }
    assert refused == expected


def test_locators_and_ids_of_truth_name_their_records(demo: Demo) -> None:
    """Else planted samples count as missed although they were caught."""
    for one in demo.truth.planted:
        assert planted_record(demo, one).native_id == one.native_id, one
        for source, native_id in one.twins:
            by_id(demo, source, native_id)
    for name, rows in demo.records.items():
        ids = [r.native_id for r in rows if r.native_id is not None]
        assert len(ids) == len(set(ids)), name


def test_exact_copies_are_equal_across_formats(demo: Demo) -> None:
    """Else a duplicate that formats write differently cannot be found, and the ledger is blamed for it."""
    crossing = 0
    for one in of_kind(demo, "exact_duplicate"):
        (source, native_id), copy = one.twins[0], planted_record(demo, one)
        assert content(demo, one.source, copy) == content(demo, source, by_id(demo, source, native_id)), one
        crossing += source != one.source
    assert crossing >= 15


def test_near_copies_differ_in_bytes_only(demo: Demo) -> None:
    """Else near duplicates test nothing that exact ones do not."""
    for one in of_kind(demo, "near_duplicate"):
        (source, native_id), copy = one.twins[0], planted_record(demo, one)
        ours, theirs = content(demo, one.source, copy), content(demo, source, by_id(demo, source, native_id))
        assert ours[0] == theirs[0] and (ours[1] != theirs[1] or not copy.turns), one


def test_everything_else_is_distinct(demo: Demo) -> None:
    """Else deduplication drops samples that the truth calls clean."""
    copies = {(p.source, p.native_id) for p in demo.truth.planted if p.group is not None}
    seen: dict[tuple[object, ...], str] = {}
    for name, rows in demo.records.items():
        for record in rows:
            if (
                record.error is None
                and (name, record.native_id) not in copies
                and _intact(demo, name, record)
            ):
                key = content(demo, name, record)
                assert key not in seen, f"{name} {record.native_id} equals {seen[key]}"
                seen[key] = f"{name} {record.native_id}"


def _intact(demo: Demo, name: str, record: Record) -> bool:
    return all(demo.picture(name, record, k) for k in range(len(record.media)))


def test_images_are_broken_as_stated_and_no_other(demo: Demo) -> None:
    """Else a clean picture is quarantined, or a broken one passes, and the score is wrong either way."""
    broken = {
        (p.source, p.native_id): p.kind
        for p in demo.truth.planted
        if p.kind
        in {
            "corrupt_image", "truncated_image", "oversized_image", "zero_byte_image", "lfs_pointer",
                "missing_image",
            "path_outside_source",
        }
    }  # fmt: skip
    found = {}
    for name, rows in demo.records.items():
        for record in rows:
            for k in range(len(record.media)):
                if not _opens(demo.picture(name, record, k)):
                    found[(name, record.native_id)] = broken.get((name, record.native_id), "not planted")
    assert found == broken


def _opens(data: bytes | None) -> bool:
    try:
        with Image.open(io.BytesIO(data or b"")) as image:
            if image.width * image.height > 100_000_000:
                return False
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True


def test_conversations_are_broken_as_stated_and_no_other(demo: Demo) -> None:
    """Else format rules are blamed for dropping samples that are sound, or praised for nothing."""
    kinds = {"marker_mismatch", "missing_marker", "empty_turn", "roles_not_alternating"}
    planted = {(p.source, p.native_id): p.kind for p in demo.truth.planted if p.kind in kinds}
    found = {}
    for name, rows in demo.records.items():
        for record in rows:
            text = "".join(t.text for t in record.turns)
            roles = [t.role for t in record.turns]
            if record.error is not None or not record.turns:
                continue
            if len(record.media) and "<image>" not in text:
                found[(name, record.native_id)] = "missing_marker"
            elif len(record.media) != text.count("<image>"):
                found[(name, record.native_id)] = "marker_mismatch"
            elif roles != ["user", "assistant"] * (len(roles) // 2):
                found[(name, record.native_id)] = "roles_not_alternating"
            elif not all(t.text.strip() for t in record.turns):
                found[(name, record.native_id)] = "empty_turn"
    assert found == planted


def test_contaminated_items_repeat_the_benchmark(demo: Demo) -> None:
    """Else the contamination check has nothing to find in the demo."""
    dressed = 0
    for one in of_kind(demo, "contaminated"):
        copy, item = planted_record(demo, one), by_id(demo, *one.twins[0])
        assert copy.turns[0].text.startswith(item.turns[0].text) and copy.turns[1] != item.turns[1]
        same = demo.picture(one.source, copy) == demo.picture("demo_eval", item)
        assert same == (copy.turns[0] == item.turns[0]), (
            "the picture is encoded again where the question is dressed"
        )
        dressed += not same
    assert 5 <= dressed < len(of_kind(demo, "contaminated")), "leaks come both as they are and in disguise"


def test_yes_region_leans_to_yes(demo: Demo) -> None:
    """Else the dashboard has no bias to show."""
    records = demo.records["demo_scenes_llava"][-80:]
    assert sum(r.turns[-1].text.startswith("Yes") for r in records) == 72
    assert of_kind(demo, "yes_bias")[0].native_id == records[0].native_id


def test_upstream_hashes_pass_the_signed_range(demo: Demo) -> None:
    """Else an overflow of signed 64 bits would go unnoticed until real data comes."""
    hashes = [r.upstream["phash"][0] for r in demo.records["demo_documents_wds"] if "phash" in r.upstream]
    assert max(hashes) >= 2**63 and min(hashes) >= 0


def test_extension_lies_only_where_planted(demo: Demo) -> None:
    """Else clean files are annotated as wrongly named."""
    lying = {(p.source, p.native_id) for p in of_kind(demo, "wrong_extension")}
    expected = {b"\x89P": ".png", b"\xff\xd8": ".jpg", b"GI": ".gif"}
    for name, rows in demo.records.items():
        for record in rows:
            for k, medium in enumerate(record.media):
                suffix = expected.get((demo.picture(name, record, k) or b"")[:2])
                wrong = suffix is not None and not medium.ref.endswith(suffix)
                assert wrong == ((name, record.native_id) in lying) or suffix is None, (name, medium.ref)


def test_licences_of_rows_reach_their_records(demo: Demo) -> None:
    """Else rows that nobody may use pass under their source's licence."""
    for kind in ("unlicensed", "noncommercial"):
        for one in of_kind(demo, kind):
            licence = planted_record(demo, one).licence
            stated = one.detail if one.detail != "no licence stated" else None
            assert licence == stated
            assert demo.catalogue[one.source].spec.licence.id == "LicenseRef-unknown"
    sound = [r.licence for r in demo.records["demo_formulas_jsonl"] if r.licence is not None]
    assert len(sound) > 150
