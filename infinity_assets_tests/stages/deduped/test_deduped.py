"""Every kept sample gets one verdict, and only shards whose edges changed are written."""

from __future__ import annotations

import polars as pl
import pytest

from infinity_assets.errors import StoreError
from infinity_assets.stages.deduped.stage import materialize_deduped
from infinity_assets.stages.deduped.verdict import decide
from infinity_assets.stages.duplicate_ledger.stage import materialize_duplicate_ledger
from infinity_assets_tests.conftest import Site, dedupe, ingest, jsonl, samples, talk


def test_each_kept_sample_has_one_row_and_quarantined_ones_none(site: Site, in_process: list[str]) -> None:
    site.add("src", {"a.jsonl": jsonl([talk(1), talk(1), b"{", talk(2, "none.png"), talk(3)])})
    _, unified = ingest(site.platform(), "src")
    result = dedupe(site.platform(), "src")
    kept = [row["sample_id"] for row in samples(unified) if row["verdict"] == "keep"]
    assert [row["sample_id"] for row in samples(result)] == kept, "in the order of unified"
    assert (result.counts.rows_in, result.counts.kept, result.counts.dropped) == (3, 2, 1)


def test_an_edge_of_a_kind_that_only_informs_drops_nothing() -> None:
    columns = {"sample_id": ["a", "b"], "winner_id": ["w", "w"], "kind": ["near_text", "exact_pair"]}
    schema = {"detail": pl.String}
    rest = {"distance": [0.1, 0.0], "decides": [False, True], "detail": [None, None]}
    edges = pl.DataFrame(columns | rest, schema_overrides=schema)
    verdicts = decide(pl.DataFrame({"sample_id": ["b", "c", "a"]}), edges)
    assert verdicts["verdict"].to_list() == ["drop", "keep", "keep"]
    assert verdicts["reason"].to_list() == ["exact_pair", None, None]


def test_a_new_duplicate_rewrites_its_own_shard_and_nothing_changed_rewrites_none(
    site: Site, in_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infinity_assets.readers.json_rows.SLICE_BYTES", 700)
    site.add("src", {"a.jsonl": jsonl([talk(i) for i in range(9)])}, priority=5)
    ingest(site.platform(), "src")
    first = dedupe(site.platform(), "src")
    assert len(first.published.shards) > 2
    again = dedupe(site.platform(), "src")
    assert not again.committed and again.published.version == first.published.version
    site.add("older", {"a.jsonl": jsonl([talk(8)])}, priority=1)
    ingest(site.platform(), "older")
    materialize_duplicate_ledger(site.platform(), "older", "run")
    second = materialize_deduped(site.platform(), "src", "run")
    old, new = first.published.shards, second.published.shards
    assert [a == b for a, b in zip(old, new, strict=True)] == [True] * (len(old) - 1) + [False]
    assert second.counts.dropped == 1


def test_deduped_before_the_ledger_says_what_to_materialize(site: Site, in_process: list[str]) -> None:
    site.add("src", {"a.jsonl": jsonl([talk(1)])})
    ingest(site.platform(), "src")
    with pytest.raises(StoreError, match="duplicate_ledger of src was never published"):
        materialize_deduped(site.platform(), "src", "run")
