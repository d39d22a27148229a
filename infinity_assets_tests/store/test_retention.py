"""What is removed of old versions, and above all what is not."""

from __future__ import annotations

import json
import tempfile
from datetime import timedelta

import lance
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.errors import StoreError
from infinity_assets.store.retention import clean, release, released
from infinity_assets.store.tables import Store
from infinity_assets_tests.store.test_tables import SPEC, put, things

NOW = timedelta(0)  #: every version is older


def versions(store):
    dataset = lance.dataset(store.uri(SPEC.name, "part"))
    return {v["version"] for v in dataset.versions()}


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6), st.sets(st.integers(0, 5)), st.data())
@settings(max_examples=15, deadline=None)
def test_no_version_that_a_release_names_is_ever_removed_and_each_reads_as_it_did(letters, marks, data):
    """Lost otherwise: a model that was trained on data which nobody can look at again."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        named, content, seen = set(), {}, {}
        for place, letter in enumerate(letters):
            published, _ = put(store, letter, run_id=str(place))
            content[published.version] = published.read().to_pylist()
            if place in marks:
                release(store, f"r{place}")
                named.add(published.version)
                seen[f"r{place}"] = published.version
        latest = store.require(SPEC, "part").version
        in_use = data.draw(st.sets(st.sampled_from(sorted(versions(store)))))
        (would,) = clean(store, NOW, {("things", "part"): in_use}, dry_run=True)
        (cleaned,) = clean(store, NOW, {("things", "part"): in_use})
        assert (would.removed, would.bytes) == (cleaned.removed, None)
        left = versions(store)
        assert left == named | {latest} | in_use
        for version in left & set(content):
            found = store.past(SPEC, "part", version)
            assert found is not None and found.read().to_pylist() == content[version]
        assert released(store).get(("things", "part"), set()) == named
        (again,) = clean(store, NOW, {("things", "part"): in_use})
        assert again.removed == 0


def test_young_versions_and_those_that_staged_work_may_need_stay(tmp_path):
    """Lost otherwise: rows that a stopped run staged, whose rerun would publish fragments that are gone."""
    store = Store(tmp_path)
    put(store, "a")
    put(store, "b")
    before = versions(store)
    (found,) = clean(store, timedelta(days=1), {})
    assert found.removed == 0 and versions(store) == before
    transaction = store.begin(SPEC, "part")
    shard = transaction.stage("c", things("c"))
    (found,) = clean(store, NOW, {})
    assert found.removed == 0 and "a run is at work" in found.why_not
    transaction.commit([shard], run_id="late", inputs={})
    (found,) = clean(store, NOW, {})
    assert found.removed > 0 and (found.bytes or 0) > 0
    assert store.require(SPEC, "part").read().column("key").to_pylist() == ["c"]


def test_a_release_is_made_once_and_one_that_was_killed_half_way_holds(tmp_path):
    """Lost otherwise: two meanings of one name, or a release that protects half of its tables."""
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="nothing is published"):
        release(store, "r1")
    first, _ = put(store, "a")
    assert release(store, "r1") == {"things": {"part": first.version}}
    put(store, "b")
    assert release(store, "r1") == {"things": {"part": first.version}}, (
        "the name stands for what it stood for"
    )
    dataset = lance.dataset(store.uri(SPEC.name, "part"))
    dataset.tags.delete("release-r1")  # as if it was killed before
    list(clean(store, NOW, {}))
    assert first.version in versions(store)
    release(store, "r1")
    assert lance.dataset(store.uri(SPEC.name, "part")).tags.list()["release-r1"]["version"] == first.version
    store.objects.delete("_releases/r1.json")
    list(clean(store, NOW, {}))
    assert first.version in versions(store), "Lance's own tag holds as well"


@pytest.mark.parametrize("name", ["", "../x", "a b", "Ä", "a" * 65, ".hidden"])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(StoreError, match="no name of a release"):
        release(Store(tmp_path), name)


def test_the_list_of_a_release_is_readable_without_this_code(tmp_path):
    store = Store(tmp_path)
    put(store, "a")
    release(store, "2026-11")
    told = json.loads((tmp_path / "_releases" / "2026-11.json").read_text())
    assert set(told) == {"name", "made", "versions"} and told["versions"]["things"]["part"] >= 1
