"""Indexes of large tables: single rows are found fast, and nobody's publication is disturbed by them."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infinity_assets.errors import CommitConflict
from infinity_assets.store import lookup
from infinity_assets.store.reading import ReadingStore
from infinity_assets.store.shards import TableSpec
from infinity_assets.store.tables import Published, Store

SPEC = TableSpec(
    name="things",
    version=1,
    key="sample_id",
    lookup=("sample_id",),
    schema=pa.schema([pa.field("sample_id", pa.string(), nullable=False), pa.field("n", pa.int64())]),
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(lookup, "INDEX_ROWS", 10)
    return Store(tmp_path)


def table(first: int, rows: int = 20) -> pa.Table:
    numbers = list(range(first, first + rows))
    return pa.table({"sample_id": [f"a-{n:05d}" for n in numbers], "n": numbers}, schema=SPEC.schema)


def publish(store: Store, *firsts: int, run_id: str = "run", made_by: str = "1") -> Published:
    transaction = store.begin(SPEC, "a")
    shards = [transaction.stage(f"key-{first}", table(first)) for first in firsts]
    return transaction.commit(shards, run_id=run_id, inputs={}, made_by=made_by)[0]


def indexes(published: Published) -> list[str]:
    return [i.field_names[0] for i in published.dataset().describe_indices()]


def find(published: Published, n: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = published.read(where=f"sample_id = 'a-{n:05d}'").to_pylist()
    return rows


def test_what_is_published_can_be_looked_up_again_after_it_grew(store: Store) -> None:
    """An overwrite drops indexes; a table that lost its own would be read whole for every page."""
    first = publish(store, 0)
    assert indexes(first) == ["sample_id"]
    grown = publish(store, 0, 20)
    assert store.published(SPEC, "a") == grown
    assert indexes(grown) == ["sample_id"]
    assert [find(grown, n)[0]["n"] for n in (0, 39)] == [0, 39] and find(grown, 40) == []
    assert "ScalarIndexQuery" in grown.dataset().scanner(filter="sample_id = 'a-00003'").explain_plan()
    assert find(first, 19)[0]["n"] == 19, "a reader of the version before loses nothing"


def test_small_tables_get_no_index(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version more for each of a hundred tiny tables would be paid for by everyone, for nothing."""
    monkeypatch.setattr(lookup, "INDEX_ROWS", 1000)
    found = publish(store, 0)
    assert indexes(found) == [] and found.version == 2


def test_an_index_built_while_a_run_works_does_not_refuse_the_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was published by anyone else: a refusal would throw hours of work away."""
    monkeypatch.setattr(lookup, "INDEX_ROWS", 1000)
    publish(store, 0)
    transaction = store.begin(SPEC, "a")
    shard = transaction.stage("key-7", table(7))
    monkeypatch.setattr(lookup, "INDEX_ROWS", 10)
    publish(store, 0)  # equal content: nothing is committed, the missing index is built
    assert indexes(store.require(SPEC, "a")) == ["sample_id"]
    published, committed = transaction.commit([shard], run_id="late", inputs={})
    assert committed and indexes(published) == ["sample_id"] and find(published, 7)[0]["n"] == 7


def test_an_index_hides_no_other_publication(store: Store) -> None:
    """The winner's table must not be overwritten because an index came after it."""
    transaction = store.begin(SPEC, "a")
    shard = transaction.stage("key-7", table(7))
    publish(store, 0, run_id="winner")
    with pytest.raises(CommitConflict):
        transaction.commit([shard], run_id="loser", inputs={})
    assert store.require(SPEC, "a").run_id == "winner"


def test_a_run_that_died_before_its_index_left_a_table_that_reads_and_mends(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("infinity_assets.store.tables.build_indexes", die)
        with pytest.raises(KeyboardInterrupt):
            publish(store, 0)
    left = store.require(SPEC, "a")
    assert indexes(left) == [] and find(left, 3)[0]["n"] == 3
    again = publish(store, 0)
    assert again.data_version == left.data_version and indexes(store.require(SPEC, "a")) == ["sample_id"]


def test_a_server_sees_what_was_published_since_and_a_store_that_was_made_anew(store: Store) -> None:
    """A page that shows yesterday's table, or one of a folder that was deleted, answers another question."""
    reading = ReadingStore(store.root)
    assert reading.published(SPEC, "a") is None
    first = publish(store, 0)
    assert reading.require(SPEC, "a") == first and reading.require(SPEC, "a").dataset().count_rows() == 20
    assert reading.published(SPEC, "a") is reading.published(SPEC, "a"), "it is not opened twice"
    grown = publish(store, 0, 20)
    assert reading.require(SPEC, "a") == grown and find(reading.require(SPEC, "a"), 39)[0]["n"] == 39
    shutil.rmtree(Path(store.root) / "things")
    assert reading.published(SPEC, "a") is None
    publish(store, 100)
    publish(store, 100, 120)
    again = reading.require(SPEC, "a")
    assert again.version == grown.version and find(again, 39) == [] and find(again, 139)[0]["n"] == 139


def test_a_server_sees_every_publication_however_soon_after_a_look(store: Store) -> None:
    """A folder's time says that nothing is new; it must not say so of what came a moment later."""
    reading = ReadingStore(store.root)
    for n in range(12):
        if n % 3 == 0:
            time.sleep(0.15)
        published = publish(store, *range(0, 20 * n + 20, 20))
        assert reading.require(SPEC, "a") == published
        if n % 4 == 0:
            time.sleep(0.15)
        assert reading.require(SPEC, "a") is reading.require(SPEC, "a")
        other = f"b{n}"
        store.begin(SPEC, other)
        assert other in reading.names(SPEC) and reading.published(SPEC, other) is None


def test_what_a_server_remembers_of_a_column_hides_no_row(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id that is there and said not to be is an edge that nobody is told of."""
    ids = [f"a-{n:032x}" for n in (0, 7, 2**60 - 1, 2**60, 2**127)]
    transaction = store.begin(SPEC, "a")
    rows = pa.table({"sample_id": ids, "n": range(5)}, schema=SPEC.schema)
    transaction.commit([transaction.stage("key", rows)], run_id="run", inputs={})
    reading = ReadingStore(store.root)
    found = reading.require(SPEC, "a")
    assert all(reading.may_hold(found, "sample_id", i) for i in ids)
    assert not any(reading.may_hold(found, "sample_id", f"a-{n:032x}") for n in (1, 6, 8, 2**60 - 2))
    monkeypatch.setattr("infinity_assets.store.reading.TAILS", 1)
    fresh = ReadingStore(store.root)
    assert fresh.may_hold(fresh.require(SPEC, "a"), "sample_id", ids[1]), "what does not fit is looked up"


def test_a_shard_keeps_the_run_and_the_code_that_made_it(store: Store) -> None:
    """A later run that only adds rows did not touch the rows of before, and must not be blamed for them."""
    publish(store, 0, run_id="first", made_by="1.1")
    grown = publish(store, 0, 20, run_id="second", made_by="1.2")
    assert [(s.run_id, s.code_version) for s in grown.shards] == [("first", "1.1"), ("second", "1.2")]
    assert store.require(SPEC, "a").shards == grown.shards
