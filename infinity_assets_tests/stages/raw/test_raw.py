"""What raw tells of a source: every file by its content, what changed upstream, and what cannot be read."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from infinity_assets.errors import SourceError
from infinity_assets.sources import roots
from infinity_assets.stages.publish import StageResult, kept_checks
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.stages.raw.upstream import UPSTREAM_CHECKS
from infinity_assets_tests.conftest import Row, Site, ingest, jsonl, picture, samples, talk


def raw(site: Site, name: str = "src", store: str = "store") -> StageResult:
    return materialize_raw(site.platform(store), name, "run")


def by_path(result: StageResult) -> dict[str, Row]:
    return {row["path"]: row for row in samples(result)}


def test_a_file_silently_replaced_upstream_is_a_new_version_that_names_it(site: Site) -> None:
    home = site.add("src", {"a.jsonl": jsonl([talk(1)]), "b.jsonl": jsonl([talk(2)]), "c.png": picture(1)})
    first = raw(site)
    assert first.committed and first.notes["added"] == 3
    before = (home / "a.jsonl").stat()
    (home / "a.jsonl").write_bytes(jsonl([talk(3)]))
    os.utime(home / "a.jsonl", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (home / "a.jsonl").stat().st_size == before.st_size, "same name, size and time: content decides"
    (home / "b.jsonl").unlink()
    (home / "d.png").write_bytes(picture(2))
    second = raw(site)
    assert second.committed and second.published.data_version != first.published.data_version
    assert second.notes["paths"] == {
        "added": ["records/d.png"],
        "removed": ["records/b.jsonl"],
        "changed": ["records/a.jsonl"],
    }


def test_times_do_not_make_a_version(site: Site) -> None:
    home = site.add("src", {"a.jsonl": jsonl([talk(1)])})
    first = raw(site)
    os.utime(home / "a.jsonl", (7, 7))
    again = raw(site)
    assert not again.committed and again.published.version == first.published.version
    assert raw(site, store="other").published.data_version == first.published.data_version


def test_a_new_upstream_revision_is_recorded_even_with_the_same_files(site: Site) -> None:
    files = {"a.jsonl": jsonl([talk(1)])}
    site.add("src", files, revision="v1")
    first = raw(site)
    site.add("src", files, revision="v2")
    second = raw(site)
    assert first.published.data_version != second.published.data_version
    assert second.published.inputs == {"revision": "v2"} and second.notes["changed"] == 0


def warned(result: StageResult) -> dict[str, tuple[str, ...]]:
    """Checks of the source that failed, and the files that they name; none blocks."""
    found = [check for check in result.checks if check.name in UPSTREAM_CHECKS]
    assert len(found) == len(UPSTREAM_CHECKS) and not any(check.blocking for check in found)
    return {check.name: check.failing_ids for check in found if not check.passed}


def test_a_source_that_lost_or_replaced_files_or_has_no_licence_is_told_by_name(site: Site) -> None:
    """Otherwise a day's rows go, or change under a pinned revision, and nobody looks."""
    files = {"a.jsonl": jsonl([talk(1)]), "b.jsonl": jsonl([talk(2)])}
    home = site.add("src", files, revision="v1")
    assert warned(raw(site)) == {}
    (home / "a.jsonl").write_bytes(jsonl([talk(3)]))
    (home / "b.jsonl").unlink()
    result = raw(site)
    lost = {"upstream_files_are_there": ("records/b.jsonl",)}
    assert warned(result) == lost | {"upstream_files_keep_their_content": ("records/a.jsonl",)}
    assert result.committed
    kept = kept_checks(site.platform().store, "raw", "src")[-1]["checks"]
    assert {check["name"] for check in kept if not check["passed"]} == set(warned(result))
    assert warned(raw(site)) == {}
    site.add("src", {"a.jsonl": jsonl([talk(4)])}, revision="v2", licence={"id": "LicenseRef-unknown"})
    assert warned(raw(site)) == {"licence_permits_use": ("LicenseRef-unknown",)}


def hostile(home: Path) -> None:
    """Everything that a folder may hold beside readable files."""
    outside = home.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(picture(66))
    (home / "images").mkdir(exist_ok=True)
    (home / "images" / "link.png").symlink_to(outside / "secret.png")
    (home / "images" / "inside.png").symlink_to("1.png")
    (home / "images" / "broken.png").symlink_to("none.png")
    (home / "images" / "circle.png").symlink_to("circle.png")
    (home / "folder_link").symlink_to(outside)
    (home / "inner_link").symlink_to(home / "images")
    os.mkfifo(home / "images" / "pipe.png")
    listener = socket.socket(socket.AF_UNIX)
    with contextlib.chdir(home / "images"):  # a socket's path holds 108 bytes at most
        listener.bind("socket.png")
    listener.close()
    (home / "images" / "two words.png").write_bytes(picture(2))
    (home / "images" / "two\nlines.png").write_bytes(picture(3))
    (home / "images" / "ünï.png").write_bytes(picture(4))
    Path(os.fsdecode(os.fsencode(home / "images") + b"/b\xffd.png")).write_bytes(picture(5))
    (home / "empty.txt").write_bytes(b"")


NAMES = ["1", "two words", "two\nlines", "ünï", "inside", "link", "broken", "circle", "pipe", "socket"]


def test_unreadable_files_links_pipes_and_odd_names_are_rows_and_stop_nothing_else(
    site: Site, in_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [talk(name, f"images/{name}.png") for name in NAMES]
    home = site.add(
        "src",
        {"a.jsonl": jsonl([*rows, talk("leaves", "folder_link/secret.png")]), "images/1.png": picture(1)},
    )
    hostile(home)
    real = roots.LocalRoot.open

    def no_disk(self: Any, path: str) -> Any:
        if path == "images/two words.png":
            raise SourceError(f"{path}: Input/output error")
        return real(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(roots.LocalRoot, "open", no_disk)
        _, unified = ingest(site.platform(), "src")
    found = by_path(raw(site, store="again"))
    errors = {path: row["error"] for path, row in found.items() if row["error"]}
    assert errors == {
        "folder_link": "a link that leads out of the source; copy the file in",
        "inner_link": "a link to a folder, which is not followed",
        "images/link.png": "a link that leads out of the source; copy the file in",
        "images/broken.png": "cannot be read: No such file or directory",
        "images/circle.png": errors["images/circle.png"],
        "images/pipe.png": "not a regular file",
        "images/socket.png": "not a regular file",
        "images/b\\xffd.png": "the file's name is not UTF-8; rename it",
    }
    assert all((row["content_hash"] is None) == (row["error"] is not None) for row in found.values())
    assert found["images/two\nlines.png"]["bytes"] == len(picture(3)) and found["empty.txt"]["bytes"] == 0
    assert not any("secret" in path for path in found), "nothing outside the source is read"
    decided = {r["native_id"]: (r["verdict"], r["reason"]) for r in samples(unified)}
    assert [decided[name][0] for name in NAMES] == ["keep"] + ["quarantine"] + ["keep"] * 3 + [
        "quarantine"
    ] * 5
    assert {decided[name][1] for name in [NAMES[1], *NAMES[5:]]} == {"unreadable_file"}
    assert decided["leaves"] == ("quarantine", "missing_image")
    _, again = ingest(site.platform(), "src")
    assert again.counts.kept == 5, "a file that is readable again brings its row back"


def test_a_folder_that_cannot_be_listed_is_told_and_not_taken_for_empty(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("src", {"a.jsonl": jsonl([talk(1)]), "shut/b.jsonl": jsonl([talk(2)])})
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    result = raw(site)
    assert by_path(result)["shut"]["error"] == "the folder cannot be read: Permission denied"
    assert result.notes["unreadable_files"] == 1


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"location": "../sources/none"}, "no such file or folder; check `location`"),
        ({"media": "../sources/none"}, "no such file or folder; check `location` and `media`"),
        (
            {"location": "../sources/src/*.parquet"},
            r"there are no files at .*parquet .`location` in src\.yaml",
        ),
        ({"location": "ftp://host/file"}, "unknown kind of location"),
    ],
)
def test_a_location_that_leads_nowhere_is_told_with_the_file_to_correct(
    site: Site, more: dict[str, str], told: str
) -> None:
    site.add("src", {"a.jsonl": jsonl([talk(1)])}, **more)
    with pytest.raises(SourceError, match=told):
        raw(site)


def test_media_in_a_root_of_their_own_and_a_location_with_a_glob(site: Site, in_process: list[str]) -> None:
    site.add(
        "src",
        {
            "rows/a.jsonl": jsonl([talk(1, "1.png")]),
            "rows/b.jsonl": jsonl([talk(2)]),
            "pictures/1.png": picture(1),
        },
        location="../sources/src/rows/a*.jsonl",
        media="../sources/src/pictures",
    )
    _, unified = ingest(site.platform(), "src")
    assert sorted(r["file_id"] for r in samples(raw(site))) == ["media/1.png", "records/a.jsonl"]
    assert unified.counts.kept == unified.counts.rows == 1
