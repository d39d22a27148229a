"""What the readers' tests share: a folder as :class:`SourceFiles`, and where the real data lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import blake3
import pytest

from infinity_assets.readers.files import FileEntry, SourceFiles

SourceFilesMaker = Callable[[Path, Sequence[str]], SourceFiles]


def folder_files(folder: Path, patterns: Sequence[str]) -> SourceFiles:
    """Every file under ``folder``, hashed as ``raw`` hashes them; ``patterns`` choose the record files."""
    entries = [
        FileEntry(
            path.relative_to(folder).as_posix(),
            path.stat().st_size,
            blake3.blake3(path.read_bytes()).hexdigest(length=16),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]

    def opener(path: str) -> BinaryIO:
        return cast(BinaryIO, (folder / path).open("rb"))

    return SourceFiles(entries, patterns, opener)


@pytest.fixture
def source_files() -> SourceFilesMaker:
    """``source_files(folder, patterns)``: the folder's files as a reader sees them."""
    return folder_files


@pytest.fixture
def real_data() -> Path:
    """The folder of real data beside the repository; the test is skipped where there is none."""
    root = (Path(__file__).resolve().parents[2].parent / "shared" / "data" / "real").resolve()
    if not root.is_dir():
        pytest.skip("the real data lie beside the repository and are not here")
    return root
