"""Without these, what was written never reaches a mix, outlives its parents, or is written at each run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from infinity_assets.stages.exported.stage import materialize_exported
from infinity_assets.stages.filtered.stage import materialize_filtered
from infinity_assets.stages.mixed.stage import materialize_mixed
from infinity_assets.stages.synthesized import stage as synthesis
from infinity_assets.stages.synthesized.inputs import behind
from infinity_assets.stages.synthesized.stage import materialize_synthesized
from infinity_assets.stages.tag_associations.stage import materialize_tag_associations
from infinity_assets.stages.tagged.stage import materialize_tagged
from infinity_assets_tests.conftest import dedupe, ingest, picture

COCO = {"format": "coco", "captions": "captions.json", "instances": "instances.json", "images": "{file_name}"}


def scenes(site, name: str, count: int, *, licence: str = "CC-BY-4.0", category: str = "grounding") -> None:
    """Pictures with a caption, two objects and their boxes."""
    images = [{"id": i, "file_name": f"{i}.png", "width": 32, "height": 24} for i in range(count)]
    captions = [{"id": i, "image_id": i, "caption": f"A dog beside a bus, number {i}."} for i in range(count)]
    boxes = [
        {
            "id": 2 * i + k,
            "image_id": i,
            "category_id": k,
            "bbox": [18 * k, 2, 8 + 5 * k, 8 + 5 * k],
            "iscrowd": 0,
        }
        for i in range(count)
        for k in range(2)
    ]
    shared = {"images": images, "categories": [{"id": 0, "name": "dog"}, {"id": 1, "name": "bus"}]}
    files = {f"{i}.png": picture(i) for i in range(count)}
    files["captions.json"] = json.dumps({**shared, "annotations": captions}).encode()
    files["instances.json"] = json.dumps({**shared, "annotations": boxes}).encode()
    site.add(name, files, reader=COCO, stages=["3", "4"], licence={"id": licence}, category=category)
    (site.catalogue / "mixes.yaml").write_text('mixes: {"3": {}, "4": {synthetic: true}}')


def tagged(platform, name: str = "scenes") -> None:
    ingest(platform, name)
    dedupe(platform, name)
    materialize_tagged(platform, name, "test")


def test_conversations_flow_through_filter_mix_and_export_beside_samples(site):
    """Synthesis that no training file holds was for nothing."""
    scenes(site, "scenes", 6)
    (site.catalogue / "synthesis.yaml").write_text(policy_with(floor=0))
    platform = site.platform()
    tagged(platform)
    assert behind(platform, "scenes")
    materialize_tag_associations(platform, "test")
    result = materialize_synthesized(platform, "scenes", "test")
    assert not behind(platform, "scenes")
    talks = result.synthesized.published.read().to_pylist()
    assert len(talks) == 6 and result.qa.counts.kept == sum(len(t["line_ids"]) for t in talks)
    assert all(t["licence"] == "CC-BY-4.0" and len(t["parent_ids"]) == 2 for t in talks)
    filtered = materialize_filtered(platform, "scenes", "test")
    assert filtered.counts.rows_in == 12 + 6 and filtered.counts.kept == 18
    plain = materialize_mixed(platform, "3", "test")
    assert plain.counts.reasons["synthetic"] == 6
    mixed = materialize_mixed(platform, "4", "test")
    assert mixed.counts.reasons == {"no_conversation": 6}
    for form in ("llava", "webdataset"):
        exported = materialize_exported(platform, form, "4", "test")
        assert exported.notes["samples"] == 6 + 6 and all(c.passed for c in exported.checks)
    folder = platform.settings.exports_root / "llava" / "4" / "current"
    lines = {line["id"]: line for line in json.loads((folder / "part-00000.json").read_text())}
    for talk in talks:
        line = lines[talk["sample_id"]]
        assert [turn["value"] for turn in line["conversations"]] == [turn["text"] for turn in talk["turns"]]
        assert talk["image_ids"][0] in json.dumps(line["image"])


def test_what_was_written_goes_where_its_parents_went(site):
    """A picture that nobody may use must not come back under another id."""
    scenes(site, "scenes", 4)
    platform = site.platform()
    tagged(platform)
    result = materialize_synthesized(platform, "scenes", "test")
    (site.folder / "policy.yaml").write_text(no_parents())
    strict = site.platform()
    strict.__dict__["policy"] = load(site.folder / "policy.yaml")
    assert materialize_filtered(strict, "scenes", "test").counts.kept < 8 + result.synthesized.counts.kept
    kept = materialize_mixed(strict, "4", "test").counts
    assert kept.kept == 0 and kept.reasons == {"parent_dropped": result.synthesized.counts.kept}


def no_parents() -> str:
    import yaml

    from infinity_assets.stages.filtered.policy import DEFAULT

    policy = yaml.safe_load(DEFAULT.read_text())
    # Annotations alone have no turns, captions have few tokens: both go, the longer conversations stay.
    policy["rules"]["no_conversation"]["action"] = "drop"
    policy["rules"]["question_too_short"] = {"action": "drop", "limit": 14, "source": "a test"}
    return str(yaml.safe_dump(policy))


def load(path):
    from infinity_assets.stages.filtered.policy import load_policy

    return load_policy(path)


def test_settled_source_reads_nothing_and_a_new_picture_rewrites_one_shard(site, monkeypatch):
    """A nightly run over 43 million samples must not read them to find that nothing changed."""
    scenes(site, "scenes", 12)
    monkeypatch.setattr(synthesis, "SHARD_LINES", 8)
    tagged(site.platform())
    first = materialize_synthesized(site.platform(), "scenes", "r1")
    assert len(first.qa.published.shards) > 2
    with monkeypatch.context() as forbidden:
        forbidden.setattr("infinity_assets.stages.synthesized.inputs.collect_facts", None)
        again = materialize_synthesized(site.platform(), "scenes", "r2")
    assert not again.qa.committed and again.synthesized.counts == first.synthesized.counts
    # Dagster fails a step that leaves out a declared check.
    for name in ("plan", "qa", "synthesized"):
        one, other = getattr(first, name), getattr(again, name)
        assert [check.name for check in one.checks] == [check.name for check in other.checks]
    (site.catalogue / "synthesis.yaml").write_text(policy_with(keep_score=9))
    judged = materialize_synthesized(site.platform(), "scenes", "r3")
    assert judged.synthesized.published.data_version == first.synthesized.published.data_version


def policy_with(**more) -> str:
    from infinity_assets.stages.synthesized.policy import load_synthesis_policy

    return json.dumps(json.loads(load_synthesis_policy(None).model_dump_json()) | more)


KILLED = """
import os, signal, sys
from pathlib import Path
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.stages.synthesized import stage, writers
stage.SHARD_LINES = 4
write, calls = writers.write_by_rules, []
def dying(*args):
    calls.append(1)
    if len(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return write(*args)
writers.write_by_rules = dying
folder = Path(sys.argv[1])
settings = Settings(home=folder / "home", catalogue=folder / "catalogue", store=sys.argv[2], workers=1)
stage.materialize_synthesized(Platform(settings), "scenes", "child")
print(len(calls))
"""


def test_killed_run_publishes_nothing_and_the_next_one_writes_only_what_is_missing(site):
    """With a model behind it, each shard that is done again is paid for again."""
    scenes(site, "scenes", 12)
    platform = site.platform()
    tagged(platform)

    def child(dies_at: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, str(site.folder), platform.settings.store_root, str(dies_at)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert child(3).returncode == -signal.SIGKILL
    for spec in synthesis.TABLES:
        assert platform.store.published(spec, "scenes") is None
    finished = child(0)
    assert finished.returncode == 0, finished.stderr
    published = platform.store.require(synthesis.SYNTHESIS_QA, "scenes")
    assert int(finished.stdout) == len(published.shards) - 2
    other = site.platform("other")
    tagged(other)
    whole = materialize_synthesized(other, "scenes", "whole")
    assert whole.qa.published.data_version == published.data_version


def test_benchmark_gets_nothing_written(site):
    """Training on questions about a benchmark's pictures is training on the benchmark."""
    scenes(site, "scenes", 3, category="evaluation")
    platform = site.platform()
    tagged(platform)
    result = materialize_synthesized(platform, "scenes", "test")
    assert result.plan.counts.rows == result.synthesized.counts.rows == 0


@pytest.mark.parametrize("wrong", [{"engine": "magic"}, {"quota": 0}, {"styles": {"long": 1}}, {"shotz": 2}])
def test_wrong_policy_is_refused_by_file_and_field(site, wrong):
    """A misspelt switch that is ignored decides otherwise than its author believes."""
    from infinity_assets.errors import CatalogueError

    scenes(site, "scenes", 1)
    (site.catalogue / "synthesis.yaml").write_text(policy_with(**wrong))
    with pytest.raises(CatalogueError, match=next(iter(wrong))):
        _ = site.platform().synthesis
