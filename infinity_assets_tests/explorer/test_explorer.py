"""The explorer's index: a sample that cannot be found, or is found under a wrong verdict, is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import lance
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.explorer import index as index_module
from infinity_assets.explorer.chosen import chosen
from infinity_assets.explorer.index import SampleIndex
from infinity_assets.explorer.query import MAX_PAGE, BadQuery, Query, quoted
from infinity_assets.explorer.rows import READ
from infinity_assets.explorer.schema import INDEXED
from infinity_assets.explorer.search import Clock, View, look, near
from infinity_assets.lineage.passport import passport
from infinity_assets.platform import Platform
from infinity_assets.quality.audit import CheckResult
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.publish import keep_checks
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.stages.synthesized.schema import SYNTHESIZED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.unified.stage import materialize_unified
from infinity_assets_tests.conftest import Site, jsonl, talk
from infinity_assets_tests.lineage.story import FILE, SOURCES, tell


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("explored"))


@pytest.fixture(scope="module")
def platform(site: Site) -> Platform:
    return tell(site)


@pytest.fixture(scope="module")
def index(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> SampleIndex:
    found = SampleIndex(platform.store, tmp_path_factory.mktemp("index"))
    assert found.refresh().behind == ()
    return found


@pytest.fixture
def own(platform: Platform, site: Site, tmp_path: Path) -> Iterator[tuple[Site, SampleIndex]]:
    """A copy of the site that a test may change, with an index of its own."""
    shutil.copytree(site.folder, tmp_path / "site", symlinks=True)
    copy = Site(tmp_path / "site")
    yield copy, SampleIndex(copy.platform("home/store").store, tmp_path / "index")


def asked(index: SampleIndex, **filters: str) -> View:
    query, ids = chosen(index.store, Query.parse(filters))
    return look(index, query, Clock(), ids.ids if ids else None)


def ids(view: View) -> list[str]:
    return [row["sample_id"] for row in view.rows]


def everything(platform: Platform) -> dict[str, list[str]]:
    return {
        source: [
            sample_id
            for spec in (UNIFIED, SYNTHESIZED)
            if (table := platform.store.published(spec, source)) is not None
            for sample_id in table.read(["sample_id"]).column(0).to_pylist()
        ]
        for source in SOURCES
    }


def test_every_sample_is_there_once_with_the_verdict_that_its_passport_tells(
    platform: Platform, index: SampleIndex
) -> None:
    for source, known in everything(platform).items():
        rows = asked(index, source=source).rows
        assert [row["sample_id"] for row in rows] == known
        for row in rows:
            found = passport(platform.store, row["sample_id"])
            assert found is not None
            ending = found.ending
            assert (row["stage"], row["verdict"], row["reason"]) == (
                ending.stage,
                ending.verdict,
                ending.reason,
            )
            assert row["licence"] == found.row["licence"] and row["language"] == found.row["language"]


def test_a_stage_its_verdicts_and_reasons_find_exactly_the_rows_of_its_table(
    platform: Platform, index: SampleIndex
) -> None:
    looked = 0
    for spec in READ:
        if spec is IMAGES or "verdict" not in spec.schema.names:
            continue
        for source in platform.store.partitions(spec):
            table = platform.store.require(spec, source).read(["sample_id", "verdict", "reason"]).to_pylist()
            for verdict, reason in {("", ""), *((r["verdict"], r["reason"] or "") for r in table)}:
                same = [
                    r["sample_id"]
                    for r in table
                    if not verdict or (r["verdict"], r["reason"] or "") == (verdict, reason)
                ]
                view = asked(index, source=source, stage=spec.name, verdict=verdict, reason=reason)
                assert sorted(ids(view)) == sorted(same) and view.total == len(same)
                looked += 1
            lost = [r["sample_id"] for r in table if r["verdict"] != "keep"]
            assert ids(asked(index, source=source, stage=spec.name, verdict="not_kept")) == lost
    assert looked > 15


def test_counts_beside_the_filters_are_what_a_click_on_them_finds(index: SampleIndex) -> None:
    whole = asked(index)
    clicked = 0
    for name, values in whole.counts.items():
        for value, count in values:
            assert asked(index, **{name: value}).total == count, (name, value)
            clicked += 1
    assert clicked > 20 and whole.counted == whole.total
    of_stage = asked(index, stage="deduped")
    for name in ("verdict", "reason"):
        for value, count in of_stage.counts[name]:
            assert asked(index, stage="deduped", **{name: value}).total == count


def test_words_are_found_in_any_source_case_and_script_and_obey_no_syntax(index: SampleIndex) -> None:
    found = asked(index, text="COLOURED Dots")
    assert {"talks", "copies"} <= {row["source"] for row in found.rows}
    assert asked(index, text="dots nosuchword").total == 0, "all words are asked for"
    assert asked(index, text="alert owned").total == 1
    for odd in ('"', "'); DROP TABLE x", "text:dots", "*", "dots OR nosuchword", "\\", "(", "🙂"):
        asked(index, text=odd)
    assert asked(index, text="dots OR nosuchword").total == 0


def test_chinese_is_searched_by_its_words(tmp_path: Path, site: Site) -> None:
    own = Site(tmp_path)
    own.add(
        "chinese", {"a.jsonl": jsonl([talk(1, question="湖边的风筝是什么颜色的？", answer="是红色的。")])}
    )
    platform = own.platform()
    materialize_raw(platform, "chinese", "r")
    materialize_unified(platform, "chinese", "r")
    index = SampleIndex(platform.store, tmp_path / "index")
    index.refresh()
    assert asked(index, text="风筝").total == asked(index, text="颜色 红色").total == 1
    assert asked(index, text="大象").total == 0


def test_the_nearest_come_first_with_their_distance(platform: Platform, index: SampleIndex) -> None:
    (copy,) = asked(index, source="copies").rows
    found = near(index, Query.parse({"near": copy["sample_id"]}), Clock())
    assert found is not None
    assert found.pictures[0]["distance"] == 0 and found.pictures[0]["source"] == "talks"
    assert [row["distance"] for row in found.pictures] == sorted(row["distance"] for row in found.pictures)
    assert found.questions[0]["likeness"] == 1.0 and found.questions[0]["source"] == "talks"
    assert copy["sample_id"] not in {row["sample_id"] for row in (*found.pictures, *found.questions)}
    kept = near(index, Query.parse({"near": copy["sample_id"], "verdict": "quarantine"}), Clock())
    assert kept is not None and all(row["verdict"] == "quarantine" for row in kept.questions)
    assert near(index, Query.parse({"near": "talks-" + "0" * 32}), Clock()) is None
    assert near(index, Query.parse({"near": "nosuch-" + "0" * 32}), Clock()) is None


def test_a_check_leads_to_its_failing_rows_and_a_mix_to_those_that_it_left_out(
    platform: Platform, index: SampleIndex
) -> None:
    first, second = everything(platform)["talks"][:2]
    image_id = platform.store.require(UNIFIED, "talks").read(["image_ids"]).to_pylist()[0]["image_ids"][0]
    gone = "talks-" + "0" * 32
    odd = ("'; DROP TABLE x", "../../etc/passwd")
    for table, name, failing in (
        ("unified", "odd_rows", (second, first, gone, *odd)),
        ("images", "odd_pictures", (image_id,)),
        ("duplicate_ledger", "odd_edges", (f"same_pictures:{second}:{first}",)),
    ):
        keep_checks(
            platform.store, table, "talks", "r", [CheckResult(name, table, False, True, "", 9, failing)]
        )
    assert set(ids(asked(index, check="odd_rows"))) == {first, second}
    assert ids(asked(index, check="odd_rows", stage="unified", source="talks", verdict="quarantine")) == []
    assert first in ids(asked(index, check="odd_pictures"))
    assert asked(index, check="odd_edges").total == 0, "the ledger is not asked unless it is named"
    assert set(ids(asked(index, check="odd_edges", stage="duplicate_ledger"))) == {first, second}
    assert asked(index, check="no_such_check").total == 0
    mixed = platform.store.require(MIXED, "4").read(["sample_id", "verdict"]).to_pylist()
    for verdict in ("keep", "drop"):
        same = {row["sample_id"] for row in mixed if row["verdict"] == verdict}
        assert set(ids(asked(index, stage="mixed", verdict=verdict))) == same
    kept = {row["sample_id"] for row in mixed if row["verdict"] == "keep"}
    assert set(ids(asked(index, stage="mixed", source="4", verdict="keep"))) == kept
    assert asked(index, stage="mixed", source="3").total == 0


def test_what_was_published_since_is_found_and_what_was_not_is_not_made_again(
    own: tuple[Site, SampleIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, index = own
    index.refresh()
    before = asked(index, source="talks").total
    made: list[str] = []
    make = SampleIndex._make
    monkeypatch.setattr(
        SampleIndex, "_make", lambda self, name, tables: (made.append(name), make(self, name, tables))[1]
    )
    site.add("talks", {FILE: jsonl([talk("new", question="Where is the walrus?")])}, stages=["4"])
    platform = site.platform("home/store")
    materialize_raw(platform, "talks", "later")
    materialize_unified(platform, "talks", "later")
    index.refresh()
    assert made == ["talks"] and before > 1
    assert asked(index, text="walrus").total == asked(index, source="talks").total == 1
    shutil.rmtree(Path(platform.store.root) / "unified" / "copies.lance")
    index.refresh()
    assert made == ["talks"] and index.sources() == ["scenes", "talks"]


def test_a_kill_while_it_is_made_leaves_the_index_of_before(own: tuple[Site, SampleIndex]) -> None:
    site, index = own
    index.refresh()
    before = ids(asked(index))
    site.add("talks", {FILE: jsonl([talk("new", question="Where is the walrus?")])}, stages=["4"])
    platform = site.platform("home/store")
    materialize_raw(platform, "talks", "later")
    materialize_unified(platform, "talks", "later")
    code = f"""
import os, lance
from pathlib import Path
from infinity_assets.explorer.index import SampleIndex
from infinity_assets.store.tables import Store
lance.LanceDataset.create_scalar_index = lambda *a, **k: os.kill(os.getpid(), 9)
SampleIndex(Store({platform.store.root!r}), Path({str(index.folder)!r})).refresh()
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    fresh = SampleIndex(platform.store, index.folder)
    assert ids(asked(fresh)) == before
    fresh.refresh()
    assert asked(fresh, text="walrus").total == 1


def test_large_sources_are_found_by_indexes_just_the_same(
    platform: Platform, index: SampleIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "LARGE", 1)
    large = SampleIndex(platform.store, tmp_path)
    large.refresh()
    assert large.open("talks").describe_indices()
    views: list[Callable[[SampleIndex], Any]] = [
        asked,
        lambda i: asked(i, stage="deduped", verdict="not_kept"),
        lambda i: asked(i, tag="(no tag)"),
        lambda i: asked(i, question_type="none"),
        lambda i: asked(i, text="dots", verdict="keep"),
    ]
    for view in views:
        assert view(large) == view(index)


def test_a_view_ends_when_its_time_is_up_and_says_where(index: SampleIndex) -> None:
    query = Query.parse({})
    view = look(index, query, Clock(-1.0))
    assert view.cut_at == "copies" and view.bounded and not view.rows
    assert look(index, Query.parse({"text": "dots"}), Clock(-1.0)).cut_at == "copies"


def test_what_cannot_be_is_refused_before_anything_is_asked() -> None:
    for wrong in (
        {"sources": "talks"},
        {"source": "../talks"},
        {"source": "Talks"},
        {"stage": "unified' OR 1=1"},
        {"verdict": "kept"},
        {"reason": "a b"},
        {"near": "talks-1"},
        {"page": "-1"},
        {"page": str(MAX_PAGE + 1)},
        {"page": "١"},
        {"text": "x" * 201},
        {"tag": "a\x00b"},
        {"licence": "\x1b[31m"},
        {"compare": "2"},
    ):
        with pytest.raises(BadQuery):
            Query.parse(wrong)


_VALUES = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=40).filter(str.isprintable)


@given(_VALUES, _VALUES, st.sampled_from(["", "keep", "not_kept"]), st.integers(0, MAX_PAGE))
def test_an_address_gives_back_its_view(tag: str, text: str, verdict: str, page: int) -> None:
    query = Query(tag=tag, text=text, verdict=verdict, page=page)
    assert Query.parse(dict(parse_qsl(query.address))) == query


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("one")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=12), min_size=1, max_size=4, unique=True), st.data())
def test_a_value_is_only_ever_a_value(one: Path, values: list[str], data: st.DataObject) -> None:
    """A licence that ends a filter and begins another shows rows that nobody asked for."""
    table = pa.table({"value": values})
    dataset = lance.write_dataset(table, str(one / "x.lance"), mode="overwrite")
    wanted = data.draw(st.sampled_from([*values, "' OR 'a' = 'a", "nothing"]))
    found = dataset.scanner(filter=f"value = {quoted(wanted)}").to_table().column("value").to_pylist()
    assert found == [value for value in values if value == wanted]


def test_the_declared_columns_are_those_that_are_written(index: SampleIndex) -> None:
    for source in SOURCES:
        assert index.open(source).schema.remove_metadata() == INDEXED


def test_lancedb_opens_the_index_and_the_tables_and_searches_words_in_them(platform, index):
    """A researcher's notebook speaks LanceDB; a private format would shut it out."""
    import lancedb

    opened = lancedb.connect(str(index.folder))
    words = "picture"
    for source in index.sources():
        found = opened.open_table(source).search(words, query_type="fts").limit(10_000).to_arrow()
        assert sorted(found.column("sample_id").to_pylist()) == sorted(
            ids(asked(index, source=source, text=words))
        )
    unified = lancedb.connect(f"{platform.settings.store_root}/unified")
    (table,) = [unified.open_table(name) for name in unified.table_names()[:1]]
    assert table.count_rows() == len(everything(platform)[table.name])
