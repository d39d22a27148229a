"""Snapshots: whole or not there, immutable, shared where nothing changed, and true to the tables."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from infinity_assets.errors import StoreError
from infinity_assets.marts import snapshot as module
from infinity_assets.marts.narrow import NARROW
from infinity_assets.marts.published import current_snapshot
from infinity_assets.marts.snapshot import publish_snapshot
from infinity_assets.settings import Settings
from infinity_assets_tests.lineage.story import EVIL


def nothing(folder: Path, number: int) -> None:
    """What dbt would leave for the next snapshot, without rows."""
    (folder / "marts").mkdir()
    text = pl.String()
    shares = {
        "stage": text,
        "partition": text,
        "measure": text,
        "code": text,
        "rows": pl.Int64(),
        "share": pl.Float64(),
    }
    pl.DataFrame(schema=shares).write_parquet(folder / "marts" / "shares.parquet")
    pl.read_parquet(folder / "checks" / "all.parquet").write_parquet(
        folder / "marts" / "check_results.parquet"
    )


@pytest.fixture
def elsewhere(told, tmp_path):
    """The same store with a home of its own, where no snapshot was taken yet."""
    settings = told.settings.model_copy(update={"home": tmp_path, "store": told.settings.store_root})
    return type(told)(Settings(**settings.model_dump()))


def test_every_row_of_every_table_is_there(elsewhere):
    """Lost otherwise: marts about a part of the data that are read as about all of it."""
    taken = publish_snapshot(elsewhere, nothing, "test")
    for name, one in NARROW.items():
        rows = sum(
            len(elsewhere.store.require(one.spec, p).read([one.spec.key], one.where))
            for p in elsewhere.store.partitions(one.spec)
        )
        found = pl.read_parquet(taken.folder / name / "*.parquet")
        assert len(found) == rows == taken.rows[name], name
        assert found.schema == pl.DataFrame(pl.from_arrow(pa.Table.from_batches([], one.schema))).schema
    assert taken.rows["unified"] > 8 and taken.rows["mixed"]


def test_what_did_not_change_is_not_written_again(elsewhere):
    """Lost otherwise: hours a night that copy millions of rows over themselves."""
    first = publish_snapshot(elsewhere, nothing, "test")
    again = publish_snapshot(elsewhere, nothing, "test")
    assert first.made and not again.made and again.folder == first.folder
    other = publish_snapshot(elsewhere, nothing, "another version of the models")
    assert other.made and other.number == 2
    for path in (other.folder / "unified").glob("talks*"):
        assert path.stat().st_ino == (first.folder / "unified" / path.name).stat().st_ino


def test_old_snapshots_go_and_the_current_one_stays(elsewhere):
    """Lost otherwise: a disk that fills up, or a dashboard whose files vanish."""
    for number in range(4):
        last = publish_snapshot(elsewhere, nothing, f"models {number}", kept=2)
    folders = [p for p in (elsewhere.settings.home / "quality").iterdir() if p.is_dir()]
    assert len(folders) == 2 and last.folder in folders
    assert current_snapshot(elsewhere.settings.home).folder == last.folder


def test_two_writers_do_not_meet(elsewhere):
    """Lost otherwise: a snapshot that two runs wrote halves of."""

    def meanwhile(folder: Path, number: int) -> None:
        with pytest.raises(StoreError, match="another process is writing"):
            publish_snapshot(elsewhere, nothing, "the other")
        nothing(folder, number)

    assert publish_snapshot(elsewhere, meanwhile, "the one").made


def _killed(platform, where: str) -> None:
    """A run that dies by SIGKILL while it finishes, or right before the pointer is switched."""

    def die(folder: Path, number: int) -> None:
        nothing(folder, number)
        if where == "finish":
            os.kill(os.getpid(), signal.SIGKILL)

    if where == "switch":
        Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    publish_snapshot(platform, die, "killed")
    time.sleep(10)


@pytest.mark.parametrize("where", ["finish", "switch"])
def test_a_killed_run_changes_nothing_and_the_next_one_clears_up(where, elsewhere):
    """Lost otherwise: a dashboard over half a snapshot, or one that no run can ever replace."""
    first = publish_snapshot(elsewhere, nothing, "first")
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(elsewhere, where))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert current_snapshot(elsewhere.settings.home).folder == first.folder
    after = publish_snapshot(elsewhere, nothing, "killed")
    assert after.made and after.number == 2
    left = sorted(p.name for p in (elsewhere.settings.home / "quality").iterdir() if p.is_dir())
    assert left == sorted([first.folder.name, after.folder.name])


def test_no_text_of_a_sample_is_in_a_snapshot(elsewhere):
    """Lost otherwise: sentences of people that a take-down does not reach."""
    taken = publish_snapshot(elsewhere, nothing, "test")
    for path in taken.folder.rglob("*.parquet"):
        frame = pl.read_parquet(path)
        for column in frame.select(pl.col(pl.String)):
            assert not column.str.contains(EVIL[:20], literal=True).any(), path
    assert module.KEPT > 1
