from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import blake3
import pytest

from infinity_assets.demo.defects import DemoTruth
from infinity_assets.demo.render import render_demo
from infinity_assets.readers import parse_options
from infinity_assets.readers.base import Record
from infinity_assets.readers.files import FileEntry, SourceFiles
from infinity_assets.sources.catalogue import Catalogue, load_catalogue


@dataclass(frozen=True)
class Demo:
    folder: Path
    truth: DemoTruth
    catalogue: Catalogue
    records: dict[str, list[Record]]

    def picture(self, source: str, record: Record, k: int = 0) -> bytes | None:
        """The bytes of one of a record's media; None if there are none to be had."""
        medium = record.media[k]
        if medium.data is not None:
            return medium.data
        path = (self.folder / source / medium.ref).resolve()
        inside = path.is_relative_to((self.folder / source).resolve())
        return path.read_bytes() if inside and path.is_file() else None


def read_all(catalogue: Catalogue, name: str) -> Iterator[Record]:
    """Every record of a source, by the reader that its catalogue file names."""
    source = catalogue[name]
    reader, options = parse_options(source.spec.reader)
    root = (source.file.parent / source.spec.location).resolve()
    entries = [
        FileEntry(
            p.relative_to(root).as_posix(),
            p.stat().st_size,
            blake3.blake3(p.read_bytes()).hexdigest(length=16),
        )
        for p in sorted(root.rglob("*"))
        if p.is_file()
    ]
    files = SourceFiles(entries, reader.patterns, lambda path: (root / path).open("rb"))
    for piece in reader.plan(files, options):
        yield from reader.read(files, piece, options)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    truth = render_demo(folder)
    catalogue = load_catalogue(folder / "catalogue")
    records = {name: list(read_all(catalogue, name)) for name in catalogue}
    return Demo(folder, truth, catalogue, records)
