"""Real archives, tables and folders: every row of every source is there, with what SOURCE.md says it has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import blake3
import pytest

from infinity_assets.readers import parse_options
from infinity_assets.readers.base import Record
from infinity_assets.readers.files import FileEntry, SourceFiles
from infinity_assets.sources.catalogue import load_catalogue
from infinity_assets.sources.roots import open_roots

CATALOGUE = Path(__file__).resolve().parents[1] / "real_catalogue"

#: source -> records, media, annotations, records with turns, as SOURCE.md counts them
COUNTS = {
    "clothing_photos": (1500, 1500, 1500, 1500),
    "coco_captions": (500, 500, 500, 500),
    "coco_instances": (100, 100, 470 + 382, 0),
    "coco_keypoints": (100, 100, 99 + 127, 0),
    "derived_parquet": (500, 500, 0, 500),
    "derived_webdataset": (200, 200, 0, 0),
    "dj_demo_parquet": (3, 3, 0, 3),
    "easy_vqa": (9673, 9673, 9673, 9673),
    "lfs_pointers": (20, 20, 0, 0),
    "native_tar_curator": (1, 1, 0, 0),
    "native_tar_mnist": (90, 90, 90, 0),
    "near_dup_ukbench": (33, 33, 0, 0),
}


def source(name: str) -> tuple[SourceFiles, list[Record]]:
    found = load_catalogue(CATALOGUE)[name]
    reader, options = parse_options(found.spec.reader)
    roots = open_roots(found.spec, found.file.parent, reader.patterns)

    def entry(path: str, size: int) -> FileEntry:
        with roots.open("records", path) as stream:
            return FileEntry(path, size, blake3.blake3(stream.read()).hexdigest(length=16))

    entries = [entry(listed.path, listed.bytes) for _, listed in roots.list()]
    files = SourceFiles(entries, roots.patterns, lambda path: roots.open("records", path))
    return files, [r for piece in reader.plan(files, options) for r in reader.read(files, piece, options)]


@pytest.mark.usefixtures("real_data")
@pytest.mark.parametrize("name", COUNTS)
def test_every_row_of_a_real_source_is_read(name: str) -> None:
    """A reader that works on our own fixtures only is of no use to anybody."""
    files, records = source(name)
    media = [m for r in records for m in r.media]
    annotations = sum(len(r.annotations) for r in records)
    assert [r.error for r in records if r.error] == []
    assert (len(records), len(media), annotations, sum(bool(r.turns) for r in records)) == COUNTS[name]
    assert all(m.data or m.ref in files for m in media)
    assert all(sum(t.text.count("<image>") for t in r.turns) == len(r.media) for r in records if r.turns)
    assert len({(r.locator, r.raw) for r in records}) == len(records)


@pytest.mark.usefixtures("real_data")
def test_the_licences_of_real_photos_come_along() -> None:
    """Of these 100 photos 62 are non-commercial; a licence filter must be able to find them."""
    _, records = source("coco_instances")
    licences = Counter(r.licence for r in records)
    assert sum(n for name, n in licences.items() if name and "NonCommercial" in name) == 62
    assert None not in licences


@pytest.mark.usefixtures("real_data")
def test_the_conflicting_labels_of_one_picture_are_both_kept() -> None:
    """One garment is filed as shorts and as skirt: a reader must not choose."""
    _, records = source("clothing_photos")
    labels = {(r.native_id or "").rsplit("/", 1)[-1][:8]: r.turns[1].text for r in records}
    assert (labels["6075b4a5"], labels["637a56e4"]) == ("shorts", "skirt")
