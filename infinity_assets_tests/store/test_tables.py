"""Tables are published whole, once, and against the version that was read; content alone makes a version."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infinity_assets.errors import CommitConflict, StoreError
from infinity_assets.stages.publish import CriticalCheckFailed, publish, verdict_stats
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.store import digests
from infinity_assets.store.tables import Published, Store, TableSpec

SPEC = TableSpec("things", 1, pa.schema([("key", pa.string()), ("value", pa.float64())]), "key")
RICH = pa.schema(
    [
        ("text", pa.string()),
        ("number", pa.int64()),
        ("measure", pa.float64()),
        ("bytes", pa.binary()),
        ("words", pa.list_(pa.string())),
        ("box", pa.struct([("x", pa.float64()), ("flag", pa.bool_())])),
    ]
)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
row = st.fixed_dictionaries(
    {
        "text": st.none() | text,
        "number": st.none() | st.integers(-(2**63), 2**63 - 1),
        "measure": st.none() | st.floats(),
        "bytes": st.none() | st.binary(max_size=4),
        "words": st.none() | st.lists(st.none() | text, max_size=3),
        "box": st.none()
        | st.fixed_dictionaries({"x": st.none() | st.floats(), "flag": st.none() | st.booleans()}),
    }
)


def things(*keys: str) -> pa.Table:
    return pa.table({"key": list(keys), "value": [float(len(k)) for k in keys]}, schema=SPEC.schema)


def put(store: Store, *groups: str, run_id: str = "run") -> tuple[Published, bool]:
    """Publish one shard for each group of one-letter keys."""
    transaction = store.begin(SPEC, "part")
    shards = [transaction.stage(group, things(*group)) for group in groups]
    return transaction.commit(shards, run_id=run_id, inputs={})


@given(st.lists(row, max_size=8), st.randoms(use_true_random=False), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_a_digest_is_the_same_for_any_order_and_any_cut(
    rows: list[dict[str, Any]], random: Any, cut: int
) -> None:
    whole = digests.table_digest(pa.Table.from_pylist(rows, RICH))
    random.shuffle(rows)
    parts = [pa.Table.from_pylist(part, RICH) for part in (rows[:cut], rows[cut:])]
    assert digests.add([digests.table_digest(part) for part in parts]) == whole


@given(row, row)
@settings(max_examples=150, deadline=None)
def test_rows_that_differ_in_any_value_have_digests_that_differ(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    mixed = {k: (other if i % 2 else one)[k] for i, k in enumerate(RICH.names)}
    tables = [pa.Table.from_pylist([r], RICH) for r in (one, other, mixed)]
    for a in tables:
        for b in tables:
            same = repr(a.to_pylist()) == repr(b.to_pylist())
            assert (digests.table_digest(a) == digests.table_digest(b)) == same


@pytest.mark.parametrize("kind", [pa.float32(), pa.list_(pa.float32()), pa.struct([("x", pa.float64())])])
def test_a_measure_that_failed_is_never_taken_for_one_that_is_not_a_number(kind: pa.DataType) -> None:
    def wrap(value: float | None) -> Any:
        return [value] if pa.types.is_list(kind) else {"x": value} if pa.types.is_struct(kind) else value

    values = [None, float("nan"), float("inf"), float("-inf"), 0.0]
    found = {digests.table_digest(pa.table({"m": pa.array([wrap(v)], kind)})) for v in values}
    assert len(found) == len(values)


def test_the_parts_of_a_key_cannot_flow_into_one_another() -> None:
    keys = [("ab", "c"), ("a", "bc"), ("abc",), ("a", "b", "c"), (1,), ("1",), (1.0,), (True,), (None,)]
    assert len({digests.key_of(*parts) for parts in keys}) == len(keys)


def test_the_data_version_does_not_depend_on_how_rows_are_cut_into_shards(tmp_path: Path) -> None:
    first, _ = put(Store(tmp_path / "a"), "abcd")
    second, _ = put(Store(tmp_path / "b"), "d", "bc", "a")
    third, _ = put(Store(tmp_path / "c"), "abce")
    assert first.data_version == second.data_version != third.data_version
    assert second.read().column("key").to_pylist() == list("dbca"), "rows are read in the order of shards"
    assert second.read_shard(second.shards[1]).column("key").to_pylist() == ["b", "c"]


def test_nothing_is_visible_before_the_commit_and_equal_content_commits_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    transaction = store.begin(SPEC, "part")
    shard = transaction.stage("one", things("a", "b"))
    with transaction.preview([shard]) as staged:
        assert staged.count_rows() == 2
        assert store.published(SPEC, "part") is None and store.partitions(SPEC) == []
    with pytest.raises(StoreError, match=r"things of part was never published; materialize things"):
        store.require(SPEC, "part")
    published, new = transaction.commit([shard], run_id="first", inputs={"b": "2", "a": "1"})
    assert new and store.partitions(SPEC) == ["part"]
    again, new = put(store, "ba", run_id="second")
    assert not new and (again.version, again.run_id) == (published.version, "first")
    assert store.require(SPEC, "part") == published
    versions = {p.name for p in (tmp_path / "things" / "part.lance" / "_versions").iterdir()}
    assert not any(name.startswith("d") for name in versions), "previews are cleaned up"


def test_published_shards_are_used_again_and_not_written_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "ab")
    data = tmp_path / "things" / "part.lance" / "data"
    old = {p.name for p in data.iterdir()}
    put(store, "ab", "c")
    assert old < {p.name for p in data.iterdir()} and len(list(data.iterdir())) == len(old) + 1
    older = Store(tmp_path).require(SPEC, "part").shards[0]
    assert store.require(SPEC, "part").read_shard(older, ["key"]).column("key").to_pylist() == ["a", "b"]


def test_an_empty_partition_is_a_publication_too(tmp_path: Path) -> None:
    published, new = put(Store(tmp_path))
    assert new and published.rows == 0 and published.read().num_rows == 0
    empty, _ = put(Store(tmp_path), "")
    assert empty.version == published.version


def test_a_run_that_began_before_another_published_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for first in (True, False):
        late = store.begin(SPEC, "part")
        shard = late.stage("late", things("l", str(first)))
        winner, _ = put(store, "w" if first else "v", run_id=f"winner {first}")
        with pytest.raises(CommitConflict, match="another run published it"):
            late.commit([shard], run_id="late", inputs={})
        with pytest.raises(CommitConflict):
            late.staged("cleared away by the winner")
        assert store.require(SPEC, "part") == winner


RACE = """
import json, sys, time
from pathlib import Path
from infinity_assets.errors import CommitConflict
from infinity_assets.store.tables import Store
from infinity_assets_tests.store.test_tables import SPEC, things
root, me, runs, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

def meet(name):
    here = Path(root, name)
    here.mkdir(exist_ok=True)
    (here / me).touch()
    while sum(1 for _ in here.iterdir()) < runs:
        time.sleep(0.002)

said = []
for i in range(rounds):
    meet(f"begin{i}")
    transaction = Store(root).begin(SPEC, f"part{i // 2}")  # odd rounds: the partition is there already
    shard = transaction.stage(f"{me}{i}", things(me, str(i)))
    meet(f"commit{i}")
    try:
        transaction.commit([shard], run_id=me, inputs={})
        said.append("won")
    except CommitConflict:
        said.append("refused")
print(json.dumps(said))
"""


def test_of_several_processes_that_publish_at_once_exactly_one_wins_also_the_first_time(
    tmp_path: Path,
) -> None:
    rounds, names = 10, ("w0", "w1", "w2")
    children = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path), name, str(len(names)), str(rounds)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[2],
        )
        for name in names
    ]
    said = [json.loads(child.communicate(timeout=120)[0]) for child in children]
    store = Store(tmp_path)
    for i in range(rounds):
        assert sorted(outcome[i] for outcome in said) == ["refused", "refused", "won"]
        if i % 2:
            winner = names[[outcome[i] for outcome in said].index("won")]
            held = store.require(SPEC, f"part{i // 2}")
            assert held.run_id == winner and held.read().column("key").to_pylist() == [winner, str(i)]


def test_a_table_of_another_schema_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    put(Store(tmp_path), "a")
    newer = TableSpec(SPEC.name, 2, SPEC.schema, SPEC.key)
    for read in (Store(tmp_path).published, Store(tmp_path).begin):
        with pytest.raises(
            StoreError, match=r"written with schema things v1, this code reads v2; materialize"
        ):
            read(newer, "part")


def test_a_folder_that_is_no_table_of_ours_is_refused_and_left_alone(tmp_path: Path) -> None:
    import lance

    uri = str(tmp_path / "things" / "part.lance")
    lance.write_dataset(things("a"), uri)
    with pytest.raises(StoreError, match=r"part\.lance: not a table of this platform"):
        Store(tmp_path).begin(SPEC, "part")
    assert lance.dataset(uri).count_rows() == 1


@pytest.mark.parametrize("name", ["", "..", "../other", "a/b", "a\\b", "A", "a.b", "ä", "a\0", "a\n"])
def test_a_partition_name_cannot_leave_the_store(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="is not a partition name"):
        Store(tmp_path / "store").begin(SPEC, name)
    assert [p.name for p in tmp_path.iterdir()] in ([], ["store"])


def test_rows_of_other_columns_are_never_staged(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="columns"):
        Store(tmp_path).begin(SPEC, "part").stage("k", pa.table({"key": ["a"]}))


def test_a_failed_critical_check_commits_nothing_and_what_was_there_stays_readable(tmp_path: Path) -> None:
    def manifest(*paths: str) -> pa.Table:
        rows = [{"file_id": f"records/{p}", "root": "records", "path": p, "bytes": 1} for p in paths]
        return pa.Table.from_pylist(rows, RAW.schema)

    def attempt(table: pa.Table, rows_in: int) -> None:
        transaction = Store(tmp_path).begin(RAW, "files")
        key = digests.table_digest(table)
        shard = transaction.stage(key, table, verdict_stats(table, RAW.key))
        publish(transaction, [shard], rows_in=rows_in, run_id="run", engine="arrow", inputs={})

    attempt(manifest("a", "b"), 2)
    before = Store(tmp_path).require(RAW, "files")
    for table, rows_in, check in [
        (manifest("a", "a"), 2, "unique_file_id"),
        (manifest("a", "/etc/passwd"), 2, "path_stays_inside"),
        (manifest("a"), 2, "rows_conserved"),
    ]:
        with pytest.raises(
            CriticalCheckFailed, match=f"nothing was committed, what was there stays.*{check}"
        ):
            attempt(table, rows_in)
        held = Store(tmp_path).require(RAW, "files")
        assert held == before and held.read().column("path").to_pylist() == ["a", "b"]
    attempt(manifest("a", "b", "c"), 3)
    assert Store(tmp_path).require(RAW, "files").rows == 3


@given(names=st.lists(st.text("abcde", min_size=1, max_size=3), unique=True, max_size=5))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_small_objects_are_put_whole_listed_and_deleted_without_a_trace(
    tmp_path: Path, names: list[str]
) -> None:
    objects = Store(tmp_path / "objects").objects
    for name in names:
        objects.put(f"folder/{name}", name.encode())
        assert (
            not objects.create(f"folder/{name}", b"late") and objects.get(f"folder/{name}") == name.encode()
        )
    assert objects.children("folder") == sorted(names) and objects.get("folder/none") is None
    objects.delete("folder/none")
    objects.delete_prefix("folder")
    objects.delete_prefix("folder")
    assert objects.children("folder") == [] and not objects.exists_prefix("folder")
