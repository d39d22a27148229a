"""Who duplicates whom does not depend on the order of arrival; what a source shadowed comes back."""

from __future__ import annotations

from collections import defaultdict
from itertools import permutations
from typing import Any

import pytest

from infinity_assets.errors import CommitConflict, StoreError
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.deduped.stage import materialize_deduped
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.duplicate_ledger.stage import materialize_duplicate_ledger
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.tables import Transaction
from infinity_assets_tests.conftest import Row, Site, dedupe, ingest, jsonl, picture, samples, talk

SOURCES: dict[str, list[Row]] = {
    "ants": [talk(1), talk(2), talk("3", "1.png"), talk(2, question="A question of its own?")],
    "bees": [talk(2), talk(3), talk(3), talk("3", "1.png")],
    "cats": [talk(1), talk(3), talk(4), b"{"],  # type: ignore[list-item]
}


def add(site: Site, name: str, rows: list[Row] | None = None, **more: Any) -> None:
    site.add(name, {"a.jsonl": jsonl(rows or SOURCES[name]), "1.png": picture(1)}, **more)


def state(site: Site, store: str) -> dict[str, str]:
    held = site.platform(store).store
    return {
        f"{table.name}/{name}": held.require(table, name).data_version
        for table in (DUPLICATE_LEDGER, DEDUPED)
        for name in site.platform(store).catalogue
    }


def survivors(site: Site, store: str = "store") -> dict[str, list[str]]:
    """Native ids that stay, by source."""
    platform, found = site.platform(store), defaultdict(list)
    for name in platform.catalogue:
        names = platform.store.require(UNIFIED, name).read(["sample_id", "native_id"]).to_pylist()
        native = {row["sample_id"]: row["native_id"] for row in names}
        kept = platform.store.require(DEDUPED, name).read(["sample_id"], "verdict = 'keep'")
        found[name] = sorted(native[i] for i in kept.column(0).to_pylist())
    return dict(found)


def test_verdicts_do_not_depend_on_the_order_in_which_sources_arrive(
    site: Site, in_process: list[str]
) -> None:
    for name in SOURCES:
        add(site, name)
    found = {}
    for order in permutations(SOURCES):
        store = "_".join(order)
        for name in order:
            ingest(site.platform(store), name)
            dedupe(site.platform(store), name)
        for name in order:
            materialize_deduped(site.platform(store), name, "converge")
        found[order] = state(site, store)
    assert len({tuple(sorted(versions.items())) for versions in found.values()}) == 1
    kept = survivors(site, "ants_bees_cats")
    assert sorted(i for ids in kept.values() for i in ids) == ["1", "2", "2", "3", "3", "4"]


def test_priority_decides_who_stays_then_the_id(site: Site, in_process: list[str]) -> None:
    for name, priority in [("ants", 300), ("bees", 100), ("cats", 200)]:
        add(site, name, priority=priority)
    for name in SOURCES:
        ingest(site.platform(), name)
    for name in SOURCES:
        dedupe(site.platform(), name)
    assert survivors(site) == {"bees": ["2", "3", "3"], "cats": ["1", "4"], "ants": ["2"]}
    dropped = [row for row in samples(dedupe(site.platform(), "bees")) if row["verdict"] == "drop"]
    assert len(dropped) == 1 and dropped[0]["duplicate_of"] < dropped[0]["sample_id"], "the id decides"
    assert dropped[0]["reason"] == "exact_pair" and dropped[0]["duplicate_of"] in dropped[0]["detail"]


def test_a_source_taken_out_of_the_catalogue_gives_back_what_it_shadowed(
    site: Site, in_process: list[str]
) -> None:
    for name in ("ants", "bees"):
        add(site, name, priority=1 if name == "ants" else 2)
        ingest(site.platform(), name)
        dedupe(site.platform(), name)
    assert survivors(site)["bees"] == ["3"]
    (site.catalogue / "ants.yaml").unlink()
    result = dedupe(site.platform(), "bees")
    assert result.committed and survivors(site) == {"bees": ["2", "3", "3"]}


def test_a_new_source_changes_only_the_slices_that_it_touches_and_reports_them(
    site: Site, in_process: list[str]
) -> None:
    add(site, "bees")
    add(site, "cats", [talk(50), talk(51)])
    for name in ("bees", "cats"):
        ingest(site.platform(), name)
        dedupe(site.platform(), name)
    before = site.platform().store.require(DUPLICATE_LEDGER, "cats")
    add(site, "ants", priority=1)
    ingest(site.platform(), "ants")
    own, others = materialize_duplicate_ledger(site.platform(), "ants", "arrival")
    assert list(others) == ["bees"] and others["bees"].committed
    assert others["bees"].published.run_id == "arrival" and own.published.partition == "ants"
    assert site.platform().store.require(DUPLICATE_LEDGER, "cats") == before
    assert materialize_duplicate_ledger(site.platform(), "ants", "again")[1] == {}
    assert own.published.inputs.keys() == {"unified/ants", "unified/bees", "unified/cats", "policy"}


def test_evaluation_items_neither_drop_training_samples_nor_are_dropped(
    site: Site, in_process: list[str]
) -> None:
    add(site, "ants", priority=5)
    add(site, "cats", SOURCES["ants"], priority=1, category="evaluation")
    for name in ("ants", "cats"):
        ingest(site.platform(), name)
    for name in ("ants", "cats"):
        result = dedupe(site.platform(), name)
        assert result.counts.dropped == 0 and result.counts.kept == 4


def test_a_run_that_loses_a_slice_to_another_tries_again_and_reports_all_that_it_changed(
    site: Site, in_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(site, "bees", priority=3)
    add(site, "cats", priority=2)
    for name in ("bees", "cats"):
        ingest(site.platform(), name)
        materialize_duplicate_ledger(site.platform(), name, "first")
    add(site, "ants", priority=1)
    ingest(site.platform(), "ants")
    real = Transaction.commit
    refused: list[str] = []

    def commit(self: Transaction, *args: object, **kwargs: object) -> object:
        if self.partition == "cats" and not refused:
            refused.append(self.partition)
            raise CommitConflict("another run was faster")
        return real(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Transaction, "commit", commit)
    _, others = materialize_duplicate_ledger(site.platform(), "ants", "second")
    assert refused and sorted(others) == ["bees", "cats"], "a slice published before the conflict is reported"


def test_the_ledger_before_unified_says_what_to_materialize(site: Site) -> None:
    add(site, "ants")
    with pytest.raises(StoreError, match="unified of ants was never published; materialize unified first"):
        materialize_duplicate_ledger(site.platform(), "ants", "run")
