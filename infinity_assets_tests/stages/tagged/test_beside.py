"""Without these, a source whose texts, licence or files changed is refused by every stage from then on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.filtered.stage import materialize_filtered
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.tagged.stage import materialize_tagged
from infinity_assets_tests.conftest import Site, dedupe, ingest, jsonl, picture, talk

ROWS = [talk(i, f"{i}.png") for i in range(4)]
PICTURES = {f"{i}.png": picture(i) for i in range(4)}


def another_licence(site: Site) -> None:
    site.add("dots", {"rows.jsonl": jsonl(ROWS)}, licence={"id": "CC0-1.0"})


def other_files(site: Site) -> None:
    home = site.add("dots", {"a.jsonl": jsonl(ROWS[:1]), "b.jsonl": jsonl(ROWS[1:])})
    (home / "rows.jsonl").unlink(missing_ok=True)


@pytest.mark.parametrize("change", [another_licence, other_files])
def test_later_stages_follow_unified_where_what_lies_between_came_out_equal(
    site: Site, change: Callable[[Site], None]
) -> None:
    """Equal content is not published again: its shards would stay those of before."""
    site.add("dots", PICTURES | {"rows.jsonl": jsonl(ROWS)})
    versions = []
    for _ in range(2):
        platform = site.platform()
        ingest(platform, "dots")
        dedupe(platform, "dots")
        tagged = materialize_tagged(platform, "dots", "run")
        filtered = materialize_filtered(platform, "dots", "run")
        assert filtered.counts.rows == len(ROWS)
        tables = [platform.store.require(spec, "dots") for spec in (DEDUPED, TAGGED)]
        versions.append([table.data_version for table in tables])
        change(site)  # the second time nothing is new
    assert versions[0] == versions[1], "nothing downstream is stale by it"
    assert not tagged.committed
    ingest(site.platform(), "dots")
    before = [table.version for table in tables]
    dedupe(site.platform(), "dots")
    materialize_tagged(site.platform(), "dots", "run")
    assert [site.platform().store.require(spec, "dots").version for spec in (DEDUPED, TAGGED)] == before
