"""A small site whose samples have stories: read, copied, broken, written about, mixed and exported."""

from __future__ import annotations

import json

from infinity_assets.platform import Platform
from infinity_assets.stages.deduped.stage import materialize_deduped
from infinity_assets.stages.duplicate_ledger.stage import materialize_duplicate_ledger
from infinity_assets.stages.exported.stage import materialize_exported
from infinity_assets.stages.filtered.stage import materialize_filtered
from infinity_assets.stages.mixed.stage import materialize_mixed
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.stages.scored.stage import materialize_scored
from infinity_assets.stages.synthesized.stage import materialize_synthesized
from infinity_assets.stages.tag_associations.stage import materialize_tag_associations
from infinity_assets.stages.tagged.stage import materialize_tagged
from infinity_assets.stages.unified.stage import materialize_unified
from infinity_assets_tests.conftest import Site, jsonl, picture, talk
from infinity_assets_tests.stages.synthesized.test_stage import scenes

EVIL = "<script>alert(1)</script> [link](javascript:alert(2)) \x1b[2J\x1b]0;owned\x07 \u202e right to left"
FILE = "it's.jsonl"  #: a quote must not end what is looked for
SOURCES = ("scenes", "talks", "copies")
FORMATS = ("llava", "webdataset", "finevision")


def tell(site: Site) -> Platform:
    """Everything published once, each stage by a run of its own name."""
    scenes(site, "scenes", 4)
    rows = [talk(f"row{i}", f"{i}.png") for i in range(30, 34)]
    rows += [talk("evil", "30.png", question=EVIL, answer=EVIL), talk("gone", "no-such.png")]
    pictures = {f"{i}.png": picture(i) for i in range(30, 34)}
    more = {"stages": ["4"], "revision": "v1.2"}
    site.add("talks", {FILE: jsonl(rows), **pictures}, priority=1, **more)
    site.add("copies", {"b.jsonl": jsonl(rows[1:2]), "31.png": pictures["31.png"]}, priority=9, **more)
    (site.catalogue / "mixes.yaml").write_text(json.dumps({"mixes": {"4": {"synthetic": True}}}))
    platform = site.platform("home/store")
    for source in SOURCES:
        materialize_raw(platform, source, "run-raw")
        materialize_unified(platform, source, "run-unified")
    for source in SOURCES:
        decide(platform, source)
    materialize_tag_associations(platform, "run-tags")
    for source in SOURCES:
        write(platform, source)
    materialize_mixed(platform, "4", "run-mixed")
    for form in FORMATS:
        materialize_exported(platform, form, "4", "run-exported")
    return platform


def decide(platform: Platform, source: str) -> None:
    materialize_duplicate_ledger(platform, source, "run-ledger")
    materialize_deduped(platform, source, "run-deduped")
    materialize_tagged(platform, source, "run-tagged")


def write(platform: Platform, source: str) -> None:
    materialize_synthesized(platform, source, "run-synthesized")
    materialize_scored(platform, source, "run-scored")
    materialize_filtered(platform, source, "run-filtered")
