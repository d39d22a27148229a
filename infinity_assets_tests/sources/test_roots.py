"""A local folder gives what lies in it, however it is asked, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinity_assets.errors import SourceError
from infinity_assets.sources.roots import LocalRoot


@pytest.fixture
def root(tmp_path: Path) -> LocalRoot:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    folder = tmp_path / "source"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").write_text("mine")
    (folder / "a" / "near").symlink_to(folder / "a" / "b")
    (folder / "a" / "same").symlink_to("b/file")
    (folder / "a" / "out").symlink_to(tmp_path / "secret")
    (folder / "key").symlink_to(tmp_path / "secret" / "key")
    (tmp_path / "door").symlink_to(folder)
    return LocalRoot(tmp_path / "door")


@pytest.mark.parametrize("path", ["a/b/file", "a/near/file", "a/same", "a/b/../b/file", "a//b/./file"])
def test_what_lies_in_the_folder_is_read(root: LocalRoot, path: str) -> None:
    """A source whose media are linked within it would lose them."""
    with root.open(path) as stream:
        assert stream.read() == b"mine"


@pytest.mark.parametrize(
    "path", ["key", "a/out/key", "../secret/key", "a/../../secret/key", "a/near/../../../secret/key"]
)
def test_nothing_outside_the_folder_is_read(root: LocalRoot, path: str) -> None:
    """A source file from the web could have secrets of this machine published."""
    with pytest.raises(SourceError, match="leads out"):
        root.open(path)
    with pytest.raises(SourceError, match="leads out"):
        root.open(str((root.folder / path).resolve()))


def test_files_are_listed_by_what_they_are(root: LocalRoot) -> None:
    """A link would be followed out of the source, or a folder counted as a file."""
    listed = {file.path: file for file in root.list()}
    assert {path: file.error for path, file in listed.items()} == {
        "a/b/file": None,
        "a/near": "a link to a folder, which is not followed",
        "a/same": None,
        "a/out": "a link that leads out of the source; copy the file in",
        "key": "a link that leads out of the source; copy the file in",
    }
    assert listed["a/same"].bytes == 4
    assert all(root.stat(path) == file for path, file in listed.items())
