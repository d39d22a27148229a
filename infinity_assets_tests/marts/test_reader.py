"""Questions to a snapshot: they read it alone, change nothing, hold nothing up, and end in time."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import duckdb
import polars as pl
import pytest

from infinity_assets.errors import StoreError
from infinity_assets.marts.publish import publish_quality
from infinity_assets.marts.published import kept_snapshots
from infinity_assets.marts.reader import Marts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("it's a snapshot")
    (folder / "marts").mkdir()
    (folder / "unified").mkdir()
    pl.DataFrame({"stage": ["raw", "unified"], "rows": [1, 2]}).write_parquet(
        folder / "marts" / "funnel.parquet"
    )
    pl.DataFrame({"sample_id": ["a"]}).write_parquet(folder / "unified" / "all.parquet")
    return folder


def test_marts_and_tables_are_read_by_name(folder):
    """Lost otherwise: figures of a folder whose name holds a quote."""
    marts = Marts(folder)
    assert marts.select("select rows from funnel where stage = ?", ["raw"], of=["funnel"]).item() == 1
    assert marts.select("select count(*) from unified", of=["unified"]).item() == 1


@pytest.mark.parametrize(
    "query",
    [
        "drop view funnel",
        "insert into funnel values ('x', 1)",
        "copy (select 1) to '{folder}/stolen.csv'",
        "attach '{folder}/other.db'",
        "select 1; drop view funnel",
        "set enable_external_access = true",
        "install httpfs",
    ],
)
def test_nothing_but_one_select_is_answered(folder, query):
    """Lost otherwise: a dashboard through which anybody changes what all see."""
    marts = Marts(folder)
    with pytest.raises((ValueError, StoreError)):
        marts.select(query.format(folder=str(folder).replace("'", "''")), of=["funnel"])
    assert len(marts.select("from funnel", of=["funnel"])) == 2
    assert {path.name for path in folder.iterdir()} == {"marts", "unified"}


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "http://127.0.0.1:9/x.parquet"])
def test_no_other_file_is_read(folder, path):
    """Lost otherwise: every file of the machine, in a browser."""
    with pytest.raises(StoreError):
        Marts(folder).select(f"from read_text('{path}')", of=[])


def test_no_variable_of_the_server_is_read(folder):
    """Lost otherwise: whatever the process holds, for whoever guesses its name."""
    secret = pl.DataFrame({"a": [1]})
    with pytest.raises(duckdb.CatalogException):
        Marts(folder).select("from secret", of=[])
    assert len(secret) == 1


def test_answers_are_bounded_in_rows_and_seconds(folder):
    """Lost otherwise: a click that keeps a server from answering everybody else."""
    assert len(Marts(folder).select("from range(1000000)", of=[], rows=7)) == 7
    slow = Marts(folder, seconds=0.2)
    with pytest.raises(StoreError, match="took longer"):
        slow.select("select count(*) from range(10000000) a, range(10000000) b", of=[])
    assert len(slow.select("from funnel", of=["funnel"])) == 2


def test_several_may_ask_at_the_same_time(folder):
    """Lost otherwise: two people who look at once, and one who sees the other's figures."""
    marts, seen = Marts(folder), []

    def ask(number: int) -> None:
        for _ in range(20):
            seen.append(
                marts.select("select ?::int as n from funnel limit 1", [number], of=["funnel"]).item()
                == number
            )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 80 and all(seen)


def test_a_snapshot_that_went_is_said_to_be_gone(folder, tmp_path):
    """Lost otherwise: a traceback where the answer is to load the page again."""
    gone = shutil.copytree(folder, tmp_path / "gone")
    marts = Marts(gone)
    assert len(marts.select("from funnel", of=["funnel"])) == 2
    shutil.rmtree(gone)
    with pytest.raises(StoreError, match="gone"):
        marts.select("from funnel", of=["funnel"])


def test_readers_hold_no_snapshot_up(told, tmp_path):
    """Lost otherwise: a pipeline that waits for whoever left a page open."""
    platform = type(told)(
        told.settings.model_copy(update={"home": tmp_path, "store": told.settings.store_root})
    )
    first = publish_quality(platform, plainly=True).snapshot
    reader = Marts(first.folder)
    before = reader.select("from funnel order by all", of=["funnel"])
    moved = type(told)(platform.settings.model_copy(update={"preview_url": "http://127.0.0.1:9"}))
    second = publish_quality(moved, plainly=True).snapshot
    assert second.number == 2 and kept_snapshots(tmp_path)[0].folder == second.folder
    assert reader.select("from funnel order by all", of=["funnel"]).equals(before)
