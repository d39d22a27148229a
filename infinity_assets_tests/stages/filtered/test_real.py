"""Without this, a default that suits invented samples throws away real ones: short Chinese, text, tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.stages.deduped.stage import materialize_deduped
from infinity_assets.stages.duplicate_ledger.stage import materialize_duplicate_ledger
from infinity_assets.stages.filtered.stage import materialize_filtered
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.stages.tagged.stage import materialize_tagged
from infinity_assets.stages.unified.stage import materialize_unified

ROOT = Path(__file__).parents[3]
CATALOGUE = ROOT / "infinity_assets_tests" / "real_catalogue"
REAL = ROOT.parent / "shared" / "data" / "real"

#: Text in two languages, tool calls, several images, pages with boxes and no conversation.
SOURCES = ("instruct_alpaca_zh", "instruct_glaive", "gaokao_zh", "llava_json_small", "coco_keypoints")
#: Share of readable samples that the default policy may drop.
MOST = 0.005


@pytest.mark.skipif(not REAL.exists(), reason="the real data is not here")
def test_the_default_policy_keeps_real_samples_and_marks_the_unusual(tmp_path: Path) -> None:
    platform = Platform(Settings(home=tmp_path, catalogue=CATALOGUE, workers=1))
    for source in SOURCES:
        materialize_raw(platform, source, "r")
        materialize_unified(platform, source, "r")
    rows = dropped = 0
    findings: set[str] = set()
    for source in SOURCES:
        materialize_duplicate_ledger(platform, source, "r")
        materialize_deduped(platform, source, "r")
        materialize_tagged(platform, source, "r")
        result = materialize_filtered(platform, source, "r")
        assert all(c.passed for c in result.checks)
        rows += result.counts.rows
        dropped += result.counts.dropped
        findings |= set(result.notes["findings"])
    assert rows > 1400
    assert dropped / rows < MOST
    assert {"licence_noncommercial", "no_conversation", "boilerplate_answer", "image_too_small"} <= findings
