"""Single rows of later tables: found where they can stand, and the same as by a search of the whole."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.lineage import reader
from infinity_assets.lineage.reader import Reader
from infinity_assets.store.reading import ReadingStore
from infinity_assets.store.shards import TableSpec
from infinity_assets.store.tables import Store

SCHEMA = pa.schema([pa.field("sample_id", pa.string(), nullable=False), pa.field("n", pa.int64())])
EARLY, LATE = (TableSpec(name=name, version=1, key="sample_id", schema=SCHEMA) for name in ("early", "late"))


def publish(store: Store, spec: TableSpec, shards: list[list[int]]) -> None:
    """One shard for each list of numbers."""
    transaction = store.begin(spec, "a")
    made = []
    for place, numbers in enumerate(shards):
        rows = pa.table({"sample_id": [f"a-{n:032x}" for n in numbers], "n": numbers}, schema=SCHEMA)
        made.append(transaction.stage(f"{spec.name}-{place}-{numbers}", rows))
    transaction.commit(made, run_id="run", inputs={})


@settings(deadline=None, max_examples=25)
@given(
    kept=st.lists(st.lists(st.booleans(), min_size=1, max_size=30), min_size=1, max_size=3),
    window=st.sampled_from([1, 3, 2048]),
    swapped=st.booleans(),
)
def test_a_sample_is_found_in_a_later_table_wherever_rows_were_lost(
    kept: list[list[bool]], window: int, swapped: bool
) -> None:
    """A stage that is left out of a passport hides why a sample was dropped; another's row would be a lie."""
    early, number = [], 0
    for shard in kept:
        early.append(list(range(number, number + len(shard))))
        number += len(shard)
    late = [
        [n for n, stays in zip(numbers, shard, strict=True) if stays]
        for numbers, shard in zip(early, kept, strict=True)
    ]
    late = [shard[::-1] if swapped else shard for shard in late]  # an order that nobody promised
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(1) as pool,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(reader, "WINDOW", window)
        store = Store(folder)
        publish(store, EARLY, early)
        publish(store, LATE, late)
        for root in (store, ReadingStore(folder)):
            look = Reader(root, pool)
            for place, numbers in enumerate(early):
                for n in numbers:
                    wanted = f"a-{n:032x}"
                    (first,) = look.find(EARLY, "a", f"sample_id = '{wanted}'")
                    assert (first.place, first.row["n"]) == (place, n)
                    found = look.later(LATE, first, place, wanted)
                    assert [(one.row["sample_id"], one.row["n"]) for one in found] == (
                        [(wanted, n)] if n in late[place] else []
                    )
                    assert all(one.place == place for one in found)


def test_what_a_server_remembers_of_a_table_ends_with_its_version(tmp_path):
    """A passport that tells of the version of before tells of a file or a policy that is no more."""
    publish(Store(tmp_path), EARLY, [[1]])
    store = ReadingStore(tmp_path)
    with ThreadPoolExecutor(1) as pool:

        def rows() -> int:
            look = Reader(store, pool)
            table = look.published(EARLY, "a")
            assert table is not None
            return look.remembered(table, "rows", lambda: table.rows)

        assert [rows(), rows()] == [1, 1]
        publish(Store(tmp_path), EARLY, [[1], [2]])
        assert [rows(), rows()] == [2, 2]
