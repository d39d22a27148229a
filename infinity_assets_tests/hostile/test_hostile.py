"""Bad input through the whole pipeline, as a person runs it: one catalogue, one ``infinity run``.

All that is hostile runs together with good sources, in a process of its own whose memory is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.tables import Store, TableSpec
from infinity_assets_tests.hostile import cases, containers
from infinity_assets_tests.hostile.cases import Case

READERS: Mapping[str, dict[str, Any]] = {
    "pictures": {"format": "llava"},
    "references": {"format": "llava"},
    "lines": {"format": "llava"},
    "files": {"format": "llava"},
    "tars": {"format": "webdataset"},
    "parquets": {"format": "parquet_images"},
    "csvs": {"format": "captions"},
    "folders": {"format": "image_folder"},
}

CASES: list[Case] = [
    *cases.picture_cases(),
    *cases.reference_cases(),
    *cases.line_cases(),
    *containers.file_cases(),
    *containers.tar_cases(),
    *containers.parquet_cases(),
    *containers.csv_cases(),
    *containers.folder_cases(),
]

#: Rows of the good sources.
GOOD = {"good": 12, "good_b": 12}

#: Most memory of any process, in bytes. Measured: 1.7 GiB, with turns of 10 MB exported and the largest
#: picture allowed decoded.
MEMORY = 2 << 30
TIMEOUT_S = 240


@dataclass(frozen=True)
class Ran:
    """What ``infinity run`` left behind."""

    root: Path
    code: int
    out: str
    err: str
    peak: int  #: bytes of the largest process
    seconds: float
    outside: tuple[
        dict[str, tuple[int, int]], dict[str, tuple[int, int]]
    ]  #: all but the home, before and after
    broken: Mapping[str, str]  #: source -> what its error says

    def rows(self, spec: TableSpec, source: str, *columns: str) -> list[dict[str, Any]]:
        """Rows of a table."""
        found: list[dict[str, Any]] = self.store.require(spec, source).read(list(columns) or None).to_pylist()
        return found

    @property
    def store(self) -> Store:
        """Its tables."""
        return Store(str(self.root / "home" / "store"))


def infinity(*arguments: str) -> list[str]:
    """The command line of ``infinity``."""
    return [sys.executable, "-m", "infinity_assets.cli", *arguments]


def _spec(name: str, reader: dict[str, Any], **more: Any) -> dict[str, Any]:
    spec = {
        "name": name,
        "category": "general",
        "licence": {"id": "CC-BY-4.0"},
        "language": "en",
        "location": f"../sources/{name}",
        "reader": reader,
        "stages": ["2a"],
    }
    return {**spec, **more}


def build(root: Path) -> dict[str, str]:
    """Write the sources and the catalogue; gives the broken sources and what their errors say."""
    catalogue = root / "catalogue"
    catalogue.mkdir()
    for case in CASES:
        folder = root / "sources" / case.source
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in case.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(cases.made(data))
        if case.write is not None:
            case.write(folder)
    specs = [_spec(name, reader) for name, reader in READERS.items()]
    for seed, (name, count) in enumerate(GOOD.items()):
        folder = root / "sources" / name
        folder.mkdir(parents=True)
        for i in range(count):
            (folder / f"{i}.png").write_bytes(cases.whole(5000 + 100 * seed + i))
        rows = [cases.talk(f"{name} {i}", f"{i}.png") for i in range(count)]
        (folder / "rows.json").write_text(json.dumps(rows))
        specs.append(_spec(name, {"format": "llava"}))
    broken = containers.write_broken(root / "broken")
    specs += [_spec(name, {"format": "llava"}, **fields) for name, (fields, _) in broken.items()]
    for spec in specs:
        (catalogue / f"{spec['name']}.yaml").write_text(yaml.safe_dump(spec))
    mixes = {"mixes": {"2a": {"quotas": {"general": 1_000_000}}}}
    (catalogue / "mixes.yaml").write_text(yaml.safe_dump(mixes))
    return {name: says for name, (_, says) in broken.items()}


def _tree(root: Path) -> dict[str, tuple[int, int]]:
    """Everything but the home by path: kind and size."""
    found = {}
    for base, folders, names in os.walk(root):
        if Path(base) == root and "home" in folders:
            folders.remove("home")
        for name in [*folders, *names]:
            stat = (Path(base) / name).lstat()
            found[str(Path(base) / name)] = (stat.st_mode, stat.st_size if name in names else 0)
    return found


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """One ``infinity run`` over everything, in a session of its own so that it can be stopped whole."""
    root = tmp_path_factory.mktemp("hostile")
    broken = build(root)
    before, began = _tree(root), time.monotonic()
    command = infinity(
        "run", "--home", str(root / "home"), "--catalogue", str(root / "catalogue"), "--workers", "2"
    )
    with (root.parent / "out").open("w+b") as out, (root.parent / "err").open("w+b") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=root, start_new_session=True)
        while (found := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() - began > TIMEOUT_S:
                os.killpg(process.pid, 9)
            time.sleep(0.1)
        out.seek(0)
        err.seek(0)
        told = out.read().decode(), err.read().decode()
    process.returncode = os.waitstatus_to_exitcode(found[1])
    seconds = time.monotonic() - began
    yield Ran(
        root, process.returncode, *told, found[2].ru_maxrss << 10, seconds, (before, _tree(root)), broken
    )


@pytest.fixture(scope="session")
def unified(ran: Ran) -> dict[str, dict[tuple[str, int | None], dict[str, Any]]]:
    """Rows of ``unified`` by source, file and row number."""
    found: dict[str, dict[tuple[str, int | None], dict[str, Any]]] = {}
    for source in READERS:
        published = ran.store.published(UNIFIED, source)
        rows = published.read().to_pylist() if published is not None else []
        found[source] = {(r["locator"]["file"], r["locator"]["row"]): r for r in rows}
        assert len(found[source]) == len(rows), f"{source}: two rows of one place"
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_row_has_its_verdict(case: Case, unified: Any) -> None:
    """A bad row that passes is trained on; one without its reason cannot be put right upstream."""
    rows = unified[case.source]
    for place, reason in case.rows.items():
        row = rows[place]
        assert (row["verdict"], row["reason"]) == ("quarantine" if reason else "keep", reason), row["detail"]
        if reason:
            assert row["detail"] and case.says in row["detail"]
            assert row["detail"].isprintable(), "one line, and nothing that a terminal obeys"
            assert len(row["detail"]) < 1000
    for place, text in case.texts.items():
        assert text in rows[place]["turns"][1]["text"]


@pytest.mark.parametrize("source", READERS)
def test_no_row_is_lost_or_made_up(source: str, unified: Any) -> None:
    """A bad file must cost its own rows and not its neighbours', nor leave rows that nobody wrote."""
    expected = {place for case in CASES if case.source == source for place in case.rows}
    assert set(unified[source]) == expected


@pytest.mark.parametrize("source", [*READERS, *GOOD])
def test_rows_are_conserved_at_every_stage(source: str, ran: Ran) -> None:
    """In = kept + dropped + quarantined, for every stage of every source that could be read at all."""
    stats = json.loads(_cli("stats", "--home", str(ran.root / "home"), "--json").stdout)["sources"][source]
    for stage, found in stats.items():
        told = found["kept"] + found["dropped"] + found["quarantined"]
        assert found["in"] == told, stage
    kept = [stats[stage]["kept"] for stage in ("unified", "deduped", "tagged")]
    kept[-1] += stats.get("synthesized", {"kept": 0})["kept"]  # conversations written about its pictures
    assert [stats[stage]["in"] for stage in ("deduped", "tagged", "filtered")] == kept


@pytest.mark.parametrize("source", GOOD)
def test_good_sources_are_unharmed(source: str, ran: Ran) -> None:
    """Whatever lies beside them, good sources are read, kept and exported whole."""
    verdicts = Counter(row["verdict"] for row in ran.rows(FILTERED, source, "verdict"))
    assert verdicts == {"keep": GOOD[source]}
    exported = {
        row["id"]
        for file in (ran.root / "home" / "exports").rglob("*.json")
        for row in json.loads(file.read_bytes())
        if isinstance(row, dict) and "conversations" in row
    }
    assert sum(key.startswith(f"{source}-") for key in exported) == GOOD[source]


def test_files_that_cannot_be_read_are_listed(ran: Ran) -> None:
    """A file that is skipped without a word is a hole in the data that nobody knows of."""
    errors = {row["path"]: row["error"] for row in ran.rows(RAW, "references") if row["error"]}
    assert {"out.png", "dangling.png", "loop.png", "linked", "pipe.png", r"not \xff utf-8.png"} == set(errors)
    assert "leads out" in errors["out.png"]
    files = {row["path"]: row["error"] for row in ran.rows(RAW, "files") if row["error"]}
    assert set(files) == {"dangling.json", "pipe.json"}


def test_nothing_is_written_outside_the_home(ran: Ran) -> None:
    """A name out of an archive or a row must never become a file."""
    before, after = ran.outside
    assert after == before


def test_memory_and_time_are_bounded(ran: Ran) -> None:
    """A bomb that takes the machine takes everyone's work with it."""
    assert ran.peak < MEMORY, f"{ran.peak >> 20} MiB"
    assert ran.seconds < TIMEOUT_S


def test_broken_sources_fail_in_one_line(ran: Ran) -> None:
    """The engineer reads what is wrong and where; a traceback tells neither."""
    assert ran.code == 1
    failed = [text for text in ran.err.splitlines() if text.startswith("failed: ")]
    assert sorted(text.split(" of ")[1].split(":")[0] for text in failed) == sorted(ran.broken)
    for source, says in ran.broken.items():
        assert any(f" of {source}: " in text and says in text for text in failed), source
    assert "Traceback" not in ran.out + ran.err
    assert "panicked" not in ran.err


def test_largest_pictures_keep_no_bytes_and_no_guesses(ran: Ran) -> None:
    """A failed measure is null: a bomb with an entropy of 0 would look like a blank page."""
    bad = pl.DataFrame(pl.from_arrow(ran.store.require(IMAGES, "pictures").read(None, "verdict != 'keep'")))
    assert bad.height == sum(reason is not None for _, _, reason in cases.PICTURES.values())
    for measure in ("phash", "dhash", "pixel_hash", "blur", "entropy", "luminance", "contrast"):
        assert bad[measure].null_count() == bad.height


def _cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(infinity(*arguments), capture_output=True, text=True, timeout=60, check=False)


def test_sources_check_names_every_broken_location(ran: Ran) -> None:
    """Before a run of hours, a person asks whether the catalogue is sound."""
    found = _cli("sources", "check", "--catalogue", str(ran.root / "catalogue"))
    assert found.returncode == 1
    for source in set(ran.broken) - {"empty", "private"}:
        assert any(text.startswith(f"{source}.yaml:") for text in found.stdout.splitlines()), source
    assert found.stderr == ""


#: Source files that are broken: name -> (bytes, what the problem says).
SPECS: Mapping[str, tuple[bytes, str]] = {
    "no YAML": (b"name: [unclosed", "not YAML"),
    "not UTF-8": (b"name: caf\xe9", "UTF-8"),
    "zero bytes": (b"", "a source file is a mapping"),
    "scalar": (b"42", "a source file is a mapping"),
    "a tag that runs code": (b"name: !!python/object/apply:os.system ['id']", "not YAML"),
    "laughs": (
        b"a0: &a0 {x: 1, y: 2}\n"
        + b"".join(
            b"a%d: &a%d {%s}\n" % (i, i, b", ".join(b"k%d: *a%d" % (k, i - 1) for k in range(9)))
            for i in range(1, 12)
        ),
        "Extra inputs are not permitted",
    ),
    "itself inside": (b"name: x\nreader: &r {format: llava, more: *r}", "reader"),
    "100,000 brackets": (b"name: " + b"[" * 100_000, "not YAML"),
    "key twice": (b"name: a\nname: b", "is given twice"),
    "key that is a list": (b"? [a, b]\n: 1\n", "not YAML"),
    "name with dots": (b"name: ../../x", "name"),
    "control code": (b"name: \x1b[2J", "not YAML"),
    "unknown option": (b"name: a\nreader: {format: llava, pickle: true}", "pickle"),
    "unknown format": (b'name: a\nreader: {format: "\\e[2J"}', "unknown reader format"),
}


@pytest.mark.parametrize("name", SPECS)
def test_broken_source_file_is_one_line(name: str, tmp_path: Path) -> None:
    """One typing error in a catalogue of a hundred must name its file and line, and take no time."""
    body, says = SPECS[name]
    (tmp_path / "broken.yaml").write_bytes(body)
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(_spec("other", {"format": "llava"})))
    from infinity_assets.sources.catalogue import read_catalogue

    found, problems = read_catalogue(tmp_path)
    assert list(found) == ["other"]
    assert any(says in str(problem) for problem in problems), problems
    for problem in problems:
        assert str(problem).startswith("broken.yaml:")
        assert str(problem).isprintable()


def test_run_on_a_broken_catalogue_says_so_in_one_line(tmp_path: Path) -> None:
    """A traceback from a typing error in a YAML file hides the line that matters."""
    (tmp_path / "broken.yaml").write_bytes(b"name: [unclosed")
    for folder in (tmp_path, tmp_path / "nowhere"):
        found = _cli("run", "--home", str(tmp_path / "home"), "--catalogue", str(folder))
        assert found.returncode == 1
        assert found.stderr.count("\n") == 1
        assert found.stderr.startswith("error: ")
