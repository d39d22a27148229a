"""What a source gives depends on its files alone, not on history, slices or the number of workers."""

from __future__ import annotations

import os
import random
import shutil
from datetime import timedelta
from typing import Any

import pytest

from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.unified.stage import materialize_unified
from infinity_assets.store.tables import Transaction
from infinity_assets_tests.conftest import Site, ingest, jsonl, parquet, picture, samples, talk

TABLES = (RAW, IMAGES, UNIFIED)


def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infinity_assets.readers.json_rows.SLICE_BYTES", 700)


def content(site: Site, store: str, name: str) -> list[str]:
    """Data versions of what a store holds, and every sample: what must not depend on history."""
    held = [site.platform(store).store.require(table, name) for table in TABLES]
    rows = held[-1].read().to_pylist()
    return [*(p.data_version for p in held), *sorted(map(repr, rows))]


def assert_as_from_scratch(site: Site, name: str) -> None:
    fresh = f"fresh{sum(1 for _ in site.folder.glob('fresh*'))}"
    ingest(site.platform(fresh), name)
    assert content(site, "store", name) == content(site, fresh, name)


def lance_versions(site: Site, name: str) -> list[int]:
    store = site.platform().store
    return [store.require(table, name).version for table in TABLES]


def data_files(site: Site, table: str, name: str) -> set[str]:
    return {p.name for p in (site.folder / "store" / table / f"{name}.lance" / "data").iterdir()}


class Edits:
    """Random changes of one source's files: rows and pictures come, go, change and repeat."""

    def __init__(self, site: Site, seed: int) -> None:
        self.random = random.Random(seed)
        self.files: dict[str, list[object]] = {"a.jsonl": [], "m.jsonl": []}
        self.next = 0
        pictures = {f"images/{i}.png": picture(i) for i in range(6)}
        self.home = site.add("edited", pictures | {f"images/{i}.jpg": picture(i) for i in range(2)})
        for _ in range(8):
            self.append()
        self.write()

    def row(self) -> object:
        self.next += 1
        names = [f"images/{self.random.randrange(8)}.png" for _ in range(self.random.randrange(3))]
        if self.random.random() < 0.2:
            names.append(f"images/{self.random.randrange(2)}.jpg")  # the same bytes under another name
        return talk(self.next, *names) if self.random.random() > 0.1 else b"{broken %d" % self.next

    def rows(self) -> list[object]:
        return self.files[self.random.choice(sorted(self.files))]

    def append(self) -> None:
        self.rows().append(self.row())

    def add_file(self) -> None:
        self.files[f"{self.random.choice('bkz')}{self.next}.jsonl"] = [self.row(), self.row()]

    def remove_row(self) -> None:
        rows = self.rows()
        if rows:
            rows.pop(self.random.randrange(len(rows)))

    def repeat(self) -> None:
        known = [row for rows in self.files.values() for row in rows]
        target = self.rows()
        target.insert(self.random.randint(0, len(target)), self.random.choice(known or [self.row()]))

    def change_picture(self) -> None:
        path = self.home / "images" / f"{self.random.randrange(8)}.png"
        if path.exists() and self.random.random() < 0.4:
            path.unlink()
        else:
            path.write_bytes(self.random.choice([picture(self.random.randrange(20)), b"no picture"]))

    def step(self) -> None:
        change = self.random.choice(
            [self.append, self.add_file, self.remove_row, self.repeat, self.repeat, self.change_picture]
        )
        change()
        self.write()

    def write(self) -> None:
        for path, rows in self.files.items():
            (self.home / path).write_bytes(jsonl(rows))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_any_edits_a_rerun_gives_what_a_first_run_would(
    site: Site, in_process: list[str], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    small_slices(monkeypatch)
    edits = Edits(site, seed)
    ingest(site.platform(), "edited")
    for _ in range(8):
        edits.step()
        ingest(site.platform(), "edited")
        assert_as_from_scratch(site, "edited")


def test_appended_rows_and_files_are_written_alone_and_old_ones_stay_where_they_are(
    site: Site, in_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_slices(monkeypatch)
    rows = [talk(i, f"images/{i % 3}.png") for i in range(9)] + [talk(0, "images/0.png")]
    home = site.add("grows", {"a.jsonl": jsonl(rows)} | {f"images/{i}.png": picture(i) for i in range(3)})
    ingest(site.platform(), "grows")
    shards = site.platform().store.require(UNIFIED, "grows").shards
    old = {table.name: data_files(site, table.name, "grows") for table in TABLES}
    in_process.clear()
    (home / "images" / "3.png").write_bytes(picture(3))
    (home / "b.jsonl").write_bytes(jsonl([talk("new", "images/3.png", "images/0.png")]))
    with (home / "a.jsonl").open("ab") as end:
        end.write(jsonl([talk("last", "images/1.png")]))
    ingest(site.platform(), "grows")
    assert sorted(in_process) == ["draft", "draft", "images"], "only the tail of a.jsonl and b.jsonl are read"
    assert len(shards) >= 3
    kept = [s.key for s in site.platform().store.require(UNIFIED, "grows").shards]
    assert [s.key for s in shards[:-1]] == kept[: len(shards) - 1], "published fragments were written again"
    assert len(data_files(site, "unified", "grows") - old["unified"]) == 2
    assert len(data_files(site, "images", "grows") - old["images"]) == 1
    assert_as_from_scratch(site, "grows")


def test_nothing_changed_means_no_work_and_no_new_version_anywhere(site: Site, in_process: list[str]) -> None:
    home = site.add("still", {"a.jsonl": jsonl([talk(1, "1.png"), talk(2)]), "1.png": picture(1)})
    ingest(site.platform(), "still")
    before = lance_versions(site, "still")
    in_process.clear()
    for path in home.iterdir():
        os.utime(path, (1, 1))
    images, unified = ingest(site.platform(), "still", "another run")
    assert not images.committed and not unified.committed
    assert lance_versions(site, "still") == before and in_process == []


def test_ids_and_rows_do_not_depend_on_slices_or_on_the_number_of_workers(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [talk(i % 7, f"images/{i % 3}.png") for i in range(12)] + [b"{", b"{"]
    site.add("cut", {"a.jsonl": jsonl(rows)} | {f"images/{i}.png": picture(i) for i in range(3)})
    ingest(site.platform("whole", workers=1), "cut")
    small_slices(monkeypatch)
    monkeypatch.setattr("infinity_assets.stages.images.plan.SHARD_IMAGES", 1)
    ingest(site.platform("tiny", workers=2), "cut")
    assert content(site, "whole", "cut") == content(site, "tiny", "cut")
    held = site.platform("tiny").store
    assert len(held.require(UNIFIED, "cut").shards) > len(
        site.platform("whole").store.require(UNIFIED, "cut").shards
    )
    ids = held.require(UNIFIED, "cut").read(["sample_id"]).column(0).to_pylist()
    assert len(set(ids)) == 14, "equal records have ids of their own"


def test_a_record_that_repeats_a_later_one_is_numbered_as_in_a_first_run(
    site: Site, in_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_slices(monkeypatch)
    home = site.add("twice", {"m.jsonl": jsonl([talk(1), talk(2), talk(2), talk(3), talk(4)])})
    ingest(site.platform(), "twice")
    for name, rows in [("a.jsonl", [talk(4), talk(5)]), ("z.jsonl", [talk(2), talk(5)])]:
        (home / name).write_bytes(jsonl(rows))
        ingest(site.platform(), "twice")
        assert_as_from_scratch(site, "twice")


def test_a_new_measure_of_pictures_is_published_even_where_no_verdict_changes(
    site: Site, in_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("measured", {"a.jsonl": jsonl([talk(1, "1.png")]), "1.png": picture(1)})
    ingest(site.platform(), "measured")
    for module in ("images.shard", "unified.stage", "unified.reuse"):
        monkeypatch.setattr(f"infinity_assets.stages.{module}.MEASURE_VERSION", 999)
    monkeypatch.setattr("infinity_assets.stages.images.measure.blur", lambda grey: 123.0)
    images, unified = ingest(site.platform(), "measured")
    assert images.committed and images.published.notes["measure_version"] == 999
    assert samples(images, "blur") == [{"blur": 123.0}] and not unified.committed
    assert_as_from_scratch(site, "measured")
    in_process.clear()
    ingest(site.platform(), "measured")
    assert in_process == [], "what was seen to be equal is not read again"


def test_a_new_measure_of_pictures_leaves_texts_alone(
    site: Site, in_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lab would pay for reading 43 million texts anew, because a picture's blur is told otherwise."""
    files = {"a.jsonl": jsonl([talk(1), talk(2)]), "b.jsonl": jsonl([talk(3, "1.png")]), "1.png": picture(1)}
    site.add("both", files)
    ingest(site.platform(), "both")
    for module in ("images.shard", "unified.stage", "unified.reuse"):
        monkeypatch.setattr(f"infinity_assets.stages.{module}.MEASURE_VERSION", 999)
    in_process.clear()
    ingest(site.platform(), "both")
    assert sorted(in_process) == ["draft", "images"]
    assert_as_from_scratch(site, "both")


def test_pictures_left_by_a_run_that_died_before_its_samples_do_not_show_in_the_data_version(
    site: Site, in_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = site.add("back", {"a.jsonl": jsonl([talk(1, "1.png")]), "1.png": picture(1)})
    ingest(site.platform(), "back")
    (home / "1.png").write_bytes(picture(2))
    materialize_raw(site.platform(), "back", "dies")
    real = Transaction.commit

    def commit(self: Transaction, *args: Any, **kwargs: Any) -> Any:
        if self.spec is UNIFIED:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "commit", commit)
        with pytest.raises(KeyboardInterrupt):
            materialize_unified(site.platform(), "back", "dies")
    (home / "1.png").write_bytes(picture(1))
    ingest(site.platform(), "back")
    assert_as_from_scratch(site, "back")


def test_appending_to_a_parquet_source_by_a_file_reads_that_file_alone(
    site: Site, in_process: list[str]
) -> None:
    rows = [(talk(i, "x"), [picture(i % 2)]) for i in range(4)]
    home = site.add("columns", {"a.parquet": parquet(rows)}, reader="parquet_images")
    ingest(site.platform(), "columns")
    in_process.clear()
    (home / "b.parquet").write_bytes(parquet([(talk(9, "x"), [picture(1), picture(9)])]))
    _, unified = ingest(site.platform(), "columns")
    assert in_process == ["draft", "images"]
    assert unified.counts.kept == 5, unified.counts
    assert_as_from_scratch(site, "columns")


@pytest.mark.parametrize("loss", ["made anew", "cleaned up"])
def test_a_raw_table_that_lost_its_past_costs_work_and_never_a_change(
    site: Site, in_process: list[str], loss: str
) -> None:
    home = site.add("past", {"a.jsonl": jsonl([talk(1, "1.png"), talk(2, "2.png")]), "1.png": picture(1)})
    ingest(site.platform(), "past")
    raw = site.platform().store.require(RAW, "past")
    if loss == "made anew":
        shutil.rmtree(raw.uri)
    else:
        (home / "beside.txt").write_bytes(b"changes raw, not unified")
        ingest(site.platform(), "past")
    (home / "1.png").write_bytes(picture(3))
    (home / "2.png").write_bytes(picture(2))
    materialize_raw(site.platform(), "past", "again")
    if loss == "cleaned up":
        dataset = site.platform().store.require(RAW, "past").dataset()
        dataset.cleanup_old_versions(timedelta(0), delete_unverified=True)
    materialize_unified(site.platform(), "past", "again")
    assert_as_from_scratch(site, "past")


def test_a_store_made_anew_under_the_same_name_is_not_taken_for_the_old_one(
    site: Site, in_process: list[str]
) -> None:
    home = site.add("reset", {"a.jsonl": jsonl([talk(1)])})
    ingest(site.platform(), "reset")
    shutil.rmtree(site.folder / "store")
    (home / "b.jsonl").write_bytes(jsonl([talk(2)]))
    _, unified = ingest(site.platform(), "reset")
    assert unified.counts.kept == 2
