"""Without these, a moved threshold costs a day of measuring, or a source that grew is measured anew."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from infinity_assets.errors import StoreError
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.filtered import stage as room
from infinity_assets.stages.filtered.policy import Policy, load_policy
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.filtered.stage import materialize_filtered
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.publish import verdict_stats
from infinity_assets.stages.tagged import stage as tagging
from infinity_assets.stages.tagged.stage import materialize_tagged
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.tables import Store, TableSpec

SOURCE = "tiny"
IMAGE = "0" * 32


def sample(number: int, answer: str = "A red cup.") -> dict[str, Any]:
    return {
        "sample_id": f"{SOURCE}-{number:032x}",
        "source": SOURCE,
        "record_hash": f"{number:032x}",
        "locator": {"file": "a.json", "row": number},
        "turns": [{"role": "user", "text": "<image> What is it?"}, {"role": "assistant", "text": answer}],
        "media": [{"kind": "image", "ref": "a.png", "embedded": False, "image_id": IMAGE}],
        "annotations": [],
        "extras": "{}",
        "upstream": "{}",
        "licence": "MIT",
        "question_tokens": 5,
        "answer_tokens": 5,
        "image_ids": [IMAGE],
        "content_hash": f"{number:032x}",
        "question_hashes": [],
        "turn_hashes": [],
        "marker_added": False,
        "verdict": "keep",
    }


def store_of(tmp_path: Path, shards: list[list[dict[str, Any]]], dropped: tuple[int, ...] = ()) -> Store:
    """A store where ``images``, ``unified`` and ``deduped`` are published."""
    store = Store(tmp_path / "store")
    picture = {"image_id": IMAGE, "byte_length": 1, "width": 300, "height": 300, "blur": 90.0, "entropy": 5.0}
    put(store, IMAGES, [[{**picture, "verdict": "keep"}]], {})
    unified = put(store, UNIFIED, shards, {})
    gone = {f"{SOURCE}-{n:032x}" for n in dropped}
    verdicts = [
        [
            {"sample_id": s["sample_id"], "verdict": "keep"}
            if s["sample_id"] not in gone
            else {"sample_id": s["sample_id"], "verdict": "drop", "reason": "exact_pair", "duplicate_of": "x"}
            for s in shard
        ]
        for shard in shards
    ]
    put(store, DEDUPED, verdicts, {"unified": unified})
    return store


def put(store: Store, spec: TableSpec, shards: list[list[dict[str, Any]]], inputs: dict[str, str]) -> str:
    transaction = store.begin(spec, SOURCE)
    staged = []
    for shard in shards:
        table = pa.Table.from_pylist(shard, spec.schema)
        staged.append(transaction.stage(f"{hash_of(shard)}", table, verdict_stats(table, spec.key)))
    published, _ = transaction.commit(staged, run_id="test", inputs=inputs)
    return published.data_version


def hash_of(shard: list[dict[str, Any]]) -> str:
    from infinity_assets.store.digests import key_of

    return key_of(repr(shard))


def platform_of(store: Store, policy: Policy | None = None) -> Platform:
    spec = SimpleNamespace(category="general", language=["en"])
    catalogue = {SOURCE: SimpleNamespace(spec=spec)}
    parts = {"store": store, "catalogue": catalogue, "policy": policy or load_policy(None)}
    return cast(Platform, SimpleNamespace(settings=Settings(), **parts))


def stricter() -> Policy:
    content = load_policy(None).model_dump()
    content["rules"]["image_too_small"] |= {"action": "drop", "limit": 301}
    return Policy.model_validate(content)


def forbid(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    def called(*_: Any, **__: Any) -> None:
        raise AssertionError(f"{name} was called")

    monkeypatch.setattr(module, name, called)


def test_what_deduped_dropped_is_not_tagged_and_what_is_broken_is_dropped(tmp_path: Path) -> None:
    store = store_of(tmp_path, [[sample(1), sample(2)], [sample(3, " ")]], dropped=(2,))
    platform = platform_of(store)
    tagged = materialize_tagged(platform, SOURCE, "r1")
    assert (tagged.counts.rows_in, tagged.counts.kept) == (2, 2)
    assert tagged.notes["tagged"] == 1
    filtered = materialize_filtered(platform, SOURCE, "r1")
    assert (filtered.counts.kept, filtered.counts.reasons) == (1, {"empty_turn": 1})
    assert filtered.notes["findings"] == {"empty_turn": 1}
    assert all(c.passed for c in (*tagged.checks, *filtered.checks))


def test_a_second_run_reads_nothing_and_commits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = platform_of(store_of(tmp_path, [[sample(1)], [sample(2)], []]))
    materialize_tagged(platform, SOURCE, "r1")
    first = materialize_filtered(platform, SOURCE, "r1")
    forbid(monkeypatch, tagging, "tag_batch")
    forbid(monkeypatch, room, "filter_batch")
    forbid(monkeypatch, room, "decide_again")
    assert not materialize_tagged(platform, SOURCE, "r2").committed
    again = materialize_filtered(platform, SOURCE, "r2")
    assert not again.committed
    assert again.published.data_version == first.published.data_version


def test_a_moved_threshold_measures_nothing_and_equals_a_fresh_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [[sample(1), sample(2, "Yes.")], [sample(3)]]
    platform = platform_of(store_of(tmp_path / "one", samples))
    materialize_tagged(platform, SOURCE, "r1")
    first = materialize_filtered(platform, SOURCE, "r1")
    fresh = platform_of(store_of(tmp_path / "two", samples), stricter())
    materialize_tagged(fresh, SOURCE, "r1")
    expected = materialize_filtered(fresh, SOURCE, "r1")
    forbid(monkeypatch, room, "filter_batch")
    forbid(monkeypatch, room, "count_answers")
    moved = materialize_filtered(platform_of(platform.store, stricter()), SOURCE, "r2")
    assert moved.counts.reasons == {"image_too_small": 3}
    assert moved.published.data_version == expected.published.data_version
    assert moved.notes == expected.notes
    back = materialize_filtered(platform, SOURCE, "r3")
    assert back.published.data_version == first.published.data_version


def test_a_source_that_grows_is_measured_where_it_grew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path, [[sample(1)]])
    platform = platform_of(store)
    materialize_tagged(platform, SOURCE, "r1")
    materialize_filtered(platform, SOURCE, "r1")
    store_of(tmp_path, [[sample(1)], [sample(2)]])
    seen: list[int] = []
    original = room.filter_batch

    def counting(rows: pa.Table, *args: Any) -> pa.Table:
        seen.append(rows.num_rows)
        return original(rows, *args)

    monkeypatch.setattr(room, "filter_batch", counting)
    materialize_tagged(platform, SOURCE, "r2")
    assert materialize_filtered(platform, SOURCE, "r2").counts.kept == 2
    assert seen == [1]


def test_tables_of_different_versions_are_not_joined(tmp_path: Path) -> None:
    store = store_of(tmp_path, [[sample(1)]])
    platform = platform_of(store)
    materialize_tagged(platform, SOURCE, "r1")
    put(store, UNIFIED, [[sample(1), sample(2)]], {})
    with pytest.raises(StoreError, match="deduped of tiny was made from another version"):
        materialize_tagged(platform, SOURCE, "r2")
    with pytest.raises(StoreError, match="tagged of tiny was made from another version"):
        materialize_filtered(platform, SOURCE, "r2")


def test_nothing_published_says_what_to_materialize(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="materialize unified first"):
        materialize_filtered(platform_of(Store(tmp_path / "empty")), SOURCE, "r1")


def test_a_published_table_has_the_declared_schema(tmp_path: Path) -> None:
    platform = platform_of(store_of(tmp_path, [[sample(1)]]))
    materialize_tagged(platform, SOURCE, "r1")
    result = materialize_filtered(platform, SOURCE, "r1")
    assert result.published.read().schema.remove_metadata().equals(FILTERED.schema)
