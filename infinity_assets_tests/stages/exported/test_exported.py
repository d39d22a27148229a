from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import webdataset
import yaml
from PIL import Image

from infinity_assets.errors import StoreError
from infinity_assets.readers import READERS
from infinity_assets.stages.exported import shard as shard_module
from infinity_assets.stages.exported.base import fold_pairs
from infinity_assets.stages.exported.files import HashedFile, TarStream, tar_header
from infinity_assets.stages.exported.folders import current_export, read_manifest
from infinity_assets.stages.exported.formats import EXPORTERS
from infinity_assets.stages.exported.parity import export_parity
from infinity_assets.stages.exported.stage import materialize_exported
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.mixed.stage import materialize_mixed
from infinity_assets_tests.readers.conftest import folder_files
from infinity_assets_tests.stages.exported.stores import Deployment, Row, image_id, qa, unified_row

FORMATS = sorted(EXPORTERS)


def export(deployment: Deployment, name: str, **options: Any) -> Path:
    materialize_exported(deployment, name, "3", "run", shard_samples=16, **options)  # type: ignore[arg-type]
    return current_export(deployment.settings.exports_root, name, "3")


def plan(deployment: Deployment) -> list[str]:
    """Keys of the lines, straight from the table."""
    at: dict[int, str] = {}
    for row in deployment.store.require(MIXED, "3").read().to_pylist():
        for reading, position in enumerate(row["positions"]):
            at[position] = row["sample_id"] + (f"-{reading}" if reading else "")
    return [at[i] for i in range(len(at))]


def expected(deployment: Deployment) -> dict[str, dict[str, Any]]:
    from infinity_assets.stages.unified.schema import UNIFIED

    samples = {}
    for source in deployment.catalogue:
        for row in deployment.store.require(UNIFIED, source).read().to_pylist():
            samples[row["sample_id"]] = row
    return samples


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.mark.parametrize("name", FORMATS)
def test_every_line_of_the_plan_is_exported_once_and_in_order(deployment: Deployment, name: str) -> None:
    """Otherwise a trainer would see another mix than the one that was decided."""
    folder = export(deployment, name)
    manifest = read_manifest(folder)
    back = list(EXPORTERS[name].read(folder, [f["file"] for f in manifest["files"]]))
    assert [line.key for line in back] == plan(deployment)
    assert len(set(plan(deployment))) == len(back) == manifest["samples"] == 66
    samples = expected(deployment)
    for line in back:
        sample = samples["-".join(line.key.split("-")[:2])]
        assert line.pairs == fold_pairs([(t["role"], t["text"]) for t in sample["turns"]])
        assert [p.split(".")[0].removesuffix("-2048") for p in line.pictures] == sample["image_ids"]


def test_all_formats_of_one_plan_agree(deployment: Deployment) -> None:
    """Otherwise two teams that train from two formats would train on different data."""
    exports = {name: export(deployment, name) for name in FORMATS}
    result = export_parity(exports)
    assert result.passed, result.description
    assert result.figures == {"lines": 66, "formats": 4}


def test_parity_names_a_line_that_differs(deployment: Deployment) -> None:
    """Otherwise the blocking check would pass an export that someone edited."""
    exports = {name: export(deployment, name) for name in FORMATS}
    part = exports["llava"] / "part-00001.json"
    records = json.loads(part.read_bytes())
    records[3]["conversations"][-1]["value"] += "!"
    part.write_text(json.dumps(records))
    result = export_parity(exports)
    assert not result.passed and result.blocking
    assert result.failed_rows == 1 and len(result.failing_ids) == 1


def test_parity_fails_on_a_missing_picture(deployment: Deployment) -> None:
    """Otherwise a lost image folder would show itself in the middle of a training run."""
    exports = {name: export(deployment, name) for name in FORMATS}
    next((exports["llava"] / "images").rglob("*.png")).unlink()
    result = export_parity(exports)
    assert not result.passed and "is missing" in result.description


@pytest.mark.parametrize("name", FORMATS)
def test_the_number_of_processes_does_not_change_a_byte(
    deployment: Deployment, tmp_path: Path, name: str
) -> None:
    """Otherwise an export could not be made again, or checked, on another machine."""
    folder = export(deployment, name)
    one = contents(folder)
    folder.rename(tmp_path / "aside")
    deployment.workers = 2
    assert contents(export(deployment, name)) == one


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_that_is_there_is_not_written_again(deployment: Deployment, name: str) -> None:
    """Otherwise a nightly run would rewrite terabytes that nobody changed."""
    folder = export(deployment, name)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    result = materialize_exported(deployment, name, "3", "again", shard_samples=16)  # type: ignore[arg-type]
    assert not result.committed
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_current_moves_to_the_new_plan_and_the_old_export_stays(deployment: Deployment) -> None:
    """Otherwise a trainer that is reading an export would lose it under its feet."""
    old = export(deployment, "webdataset")
    deployment.source("gamma", [Row(qa("New?"))], category="text")
    materialize_mixed(deployment, "3", "run")  # type: ignore[arg-type]
    new = export(deployment, "webdataset")
    assert new != old and old.is_dir()
    assert [p.name for p in new.parent.iterdir() if p.name.startswith(".")] == []


def test_an_unfinished_export_is_never_current(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise half an export could be trained on."""
    load = shard_module._load
    calls = []

    def fail_late(*args: Any) -> Any:
        calls.append(1)
        if len(calls) > 2:
            raise OSError("no space left on device")
        return load(*args)

    monkeypatch.setattr(shard_module, "_load", fail_late)
    with pytest.raises(OSError, match="no space"):
        export(deployment, "infinity_mm")
    with pytest.raises(StoreError, match="no export yet"):
        current_export(deployment.settings.exports_root, "infinity_mm", "3")
    monkeypatch.undo()
    (staging,) = (deployment.settings.exports_root / "infinity_mm" / "3").glob(".staging-*")
    finished = {p.name: p.stat().st_mtime_ns for p in staging.glob("part-*")}
    assert len(finished) == 2
    folder = export(deployment, "infinity_mm")
    assert {n: (folder / n).stat().st_mtime_ns for n in finished} == finished, "finished shards are kept"
    assert not list(folder.rglob(".*"))


KILLED = """
import os, sys
from pathlib import Path
from infinity_assets.stages.exported import shard
from infinity_assets.stages.exported.stage import materialize_exported
from infinity_assets_tests.stages.exported.stores import Deployment
seen = []
add = shard._pictures
def kill(*args):
    seen.append(1)
    if len(seen) == 3:
        os.kill(os.getpid(), 9)
    return add(*args)
shard._pictures = kill
materialize_exported(Deployment(Path(sys.argv[1])), "llava", "3", "killed", shard_samples=16)
"""


def test_kill_in_the_middle_then_a_rerun_gives_the_same_bytes(deployment: Deployment, tmp_path: Path) -> None:
    """Otherwise a pre-empted machine would mean starting over, or a broken export."""
    killed = subprocess.run([sys.executable, "-c", KILLED, str(deployment.folder)], check=False)
    assert killed.returncode == -signal.SIGKILL
    resumed = contents(export(deployment, "llava"))
    folder = current_export(deployment.settings.exports_root, "llava", "3")
    folder.rename(tmp_path / "aside")
    assert contents(export(deployment, "llava")) == resumed


def test_a_sample_that_was_taken_down_after_planning_stops_the_export(deployment: Deployment) -> None:
    """Otherwise a stale plan would export a line that must not leave, or lose it silently."""
    from infinity_assets_tests.stages.exported.stores import publish_source

    publish_source(deployment.store, "beta", [Row(qa(f"Text {i}?")) for i in range(6)])
    with pytest.raises(StoreError, match=r"beta: 1 planned samples .* materialize mixed again"):
        export(deployment, "llava")


def test_webdataset_reads_our_tars(deployment: Deployment) -> None:
    """Otherwise the export would need our own loader."""
    folder = export(deployment, "webdataset")
    shards = [str(folder / f["file"]) for f in read_manifest(folder)["files"]]
    back = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert [s["__key__"] for s in back] == plan(deployment)
    samples = expected(deployment)
    for sample in back:
        record = json.loads(sample["json"])
        ids = samples["-".join(record["id"].split("-")[:2])]["image_ids"]
        pictures = [v for k, v in sample.items() if k.split(".")[-1] in {"jpg", "png"}]
        small = [n for n in record["image"] if "-2048" in n]
        assert small or [image_id(p) for p in pictures] == ids, "original bytes, in order"


def test_infinity_mm_profile(deployment: Deployment) -> None:
    """Otherwise Infinity-MM's own tools could not unpack it: two members a key, an empty .jpg for text."""
    folder = export(deployment, "infinity_mm")
    several = set()
    for file in read_manifest(folder)["files"]:
        with tarfile.open(folder / file["file"]) as archive:
            members = archive.getmembers()
            for member in members:
                key, _, suffix = member.name.partition(".")
                assert len(member.name) < 100
                if suffix not in {"json", "jpg"}:
                    several.add(suffix)
                if suffix == "json":
                    record = json.loads(archive.extractfile(member).read())  # type: ignore[union-attr]
                    assert record["id"] == key
                    jpg = archive.getmember(f"{key}.jpg")
                    assert (jpg.size == 0) == (record["image"] == "")
                    assert all(0 <= p < 1 << 64 for p in record.get("phash", []))
    assert several == {"1.jpg"}


def records_of(name: str, folder: Path) -> list[Any]:
    reader = READERS[name]
    patterns = ("part-*.json",) if name == "llava" else reader.patterns
    files = folder_files(folder, patterns)
    options = reader.Options()
    return [r for piece in reader.plan(files, options) for r in reader.read(files, piece, options)]


@pytest.mark.parametrize("name", ["llava", "infinity_mm", "webdataset"])
def test_our_reader_gives_back_the_turns_and_pictures(deployment: Deployment, name: str) -> None:
    """Otherwise an export could not be taken in again as a source, and something was lost on the way."""
    folder = export(deployment, name)
    samples = expected(deployment)
    records = records_of(name, folder)
    assert [r.native_id for r in records] == plan(deployment)
    for record in records:
        sample = samples["-".join(record.native_id.split("-")[:2])]
        assert record.error is None
        assert [(t.role, t.text) for t in record.turns] == [(t["role"], t["text"]) for t in sample["turns"]]
        data = [(folder / m.ref).read_bytes() if m.data is None else m.data for m in record.media]
        if all("-2048" not in m.ref for m in record.media) and "Large" not in sample["turns"][0]["text"]:
            assert [image_id(bytes(d)) for d in data] == sample["image_ids"]


def test_llava_mix_file_lists_every_part(deployment: Deployment) -> None:
    """Otherwise LLaVA-NeXT's trainer could not be pointed at the export."""
    folder = export(deployment, "llava")
    mix = yaml.safe_load((folder / "mix.yaml").read_text())
    assert [d["json_path"] for d in mix["datasets"]] == [f["file"] for f in read_manifest(folder)["files"]]
    assert {d["sampling_strategy"] for d in mix["datasets"]} == {"all"}


def test_finevision_schema(deployment: Deployment) -> None:
    """Otherwise code written for FineVision would not open the files."""
    folder = export(deployment, "finevision")
    parquet = pq.ParquetFile(folder / "part-00000.parquet")
    table = parquet.read()
    assert parquet.metadata.row_group(0).num_rows <= 100
    row = table.to_pylist()[0]
    assert set(row["texts"][0]) == {"user", "assistant"}
    assert table.column("relevance_ratings").null_count == len(table)
    shown = [i for r in table.to_pylist() for i in r["images"] if "-2048" not in i["path"]]
    assert all(image_id(i["bytes"]) == i["path"].split(".")[0] for i in shown)


def test_a_large_picture_is_made_smaller_and_upright(deployment: Deployment) -> None:
    """Otherwise one panorama would stall a data loader, or lie on its side."""
    folder = export(deployment, "llava")
    (large,) = (folder / "images").rglob("*-2048.jpg")
    with Image.open(large) as image:
        assert image.size == (341, 2048), "3000 x 500 with EXIF orientation 6 stands upright"
        assert not image.getexif()


def test_the_published_table_has_a_row_for_each_shard(deployment: Deployment) -> None:
    """Otherwise nobody could say which shard holds a sample, or that a shard was changed."""
    result = materialize_exported(deployment, "webdataset", "3", "run", shard_samples=16)  # type: ignore[arg-type]
    rows = result.published.read().to_pylist()
    assert [(r["first"], r["last"], r["samples"]) for r in rows] == [
        (0, 15, 16),
        (16, 31, 16),
        (32, 47, 16),
        (48, 63, 16),
        (64, 65, 2),
    ]
    folder = Path(result.notes["folder"])
    assert all(image_id((folder / r["file"]).read_bytes()) == r["content_hash"] for r in rows)
    assert all(c.passed for c in result.checks)
    assert set(result.published.inputs) == {"mixed/3", "unified/alpha", "unified/beta"}


def test_tar_headers_are_those_of_tarfile(tmp_path: Path) -> None:
    """Otherwise the fast path could write archives that some readers refuse."""
    for name, size in (("a.json", 0), ("x" * 95 + ".jpg", 123_456), ("k-1.1.jpg", 7 << 30)):
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o444
        assert tar_header(name, size) == info.tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(ValueError, match="99 bytes"):
        tar_header("x" * 100, 1)
    ours, theirs = HashedFile(tmp_path / "ours.tar"), io.BytesIO()
    tar = TarStream(ours)
    with tarfile.open(fileobj=theirs, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in (("a.json", b"{}"), ("a.jpg", b""), ("b.jpg", bytes(range(256)) * 99)):
            tar.add(name, data)
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o444
            archive.addfile(info, io.BytesIO(data))
    tar.close()
    ours.close()
    assert (tmp_path / "ours.tar").read_bytes() == theirs.getvalue()
    assert ours.hexdigest() == image_id(theirs.getvalue())


def test_turns_fold_into_pairs() -> None:
    """Otherwise system prompts and tool results would be lost in formats of pairs."""
    turns = [("system", "S"), ("user", "Q"), ("assistant", "A"), ("tool", "T"), ("assistant", "B")]
    assert fold_pairs(turns) == (("S\n\nQ", "A"), ("T", "B"))
    assert fold_pairs([("user", "Q")]) == (("Q", ""),)
    assert fold_pairs([("assistant", "A")]) == (("", "A"),)


def test_unknown_format_says_which_there_are(deployment: Deployment) -> None:
    """Otherwise a typing error would end in a KeyError."""
    with pytest.raises(StoreError, match="there are: llava, infinity_mm, webdataset, finevision"):
        export(deployment, "parquet")


def test_the_test_store_matches_the_schema() -> None:
    """Guards this file's own fixture: a row of it has every column of unified."""
    from infinity_assets.stages.unified.schema import UNIFIED

    assert set(unified_row("s", 0, Row(qa("?")))) == set(UNIFIED.schema.names)
