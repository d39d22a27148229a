"""A passport that leaves something out, or tells what did not happen, sends people the wrong way."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from starlette.testclient import TestClient
from typer.testing import CliRunner

from infinity_assets.cli import app
from infinity_assets.definitions import platform_defs
from infinity_assets.lineage.passport import Passport, passport
from infinity_assets.lineage.tables import READ_ON
from infinity_assets.platform import Platform
from infinity_assets.preview.app import create_app
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.filtered.policy import DEFAULT
from infinity_assets.stages.filtered.stage import materialize_filtered
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.stages.synthesized.schema import SYNTHESIS_PLAN, SYNTHESIS_QA, SYNTHESIZED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.unified.stage import materialize_unified
from infinity_assets.store import lookup
from infinity_assets.store.reading import ReadingStore
from infinity_assets_tests.conftest import Site, jsonl, talk
from infinity_assets_tests.lineage.story import EVIL, FILE, FORMATS, SOURCES, tell

Told = tuple[Site, Platform]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    site = Site(tmp_path_factory.mktemp("story"))
    return site, tell(site)


@pytest.fixture
def own(told: Told, tmp_path: Path) -> Iterator[Told]:
    """A copy of it that a test may change."""
    shutil.copytree(told[0].folder, tmp_path / "site", symlinks=True)
    site = Site(tmp_path / "site")
    yield site, site.platform("home/store")


def ids(platform: Platform, source: str, where: str | None = None) -> list[str]:
    found = platform.store.require(UNIFIED, source).read(["sample_id"], where)
    return [str(i) for i in found.column("sample_id").to_pylist()]


def of(platform: Platform, sample_id: str) -> Passport:
    found = passport(platform.store, sample_id)
    assert found is not None
    return found


def stages(found: Passport) -> list[str]:
    return [step.stage for step in found.steps]


def test_a_kept_sample_tells_its_raw_place_and_every_run_and_version(told: Told) -> None:
    _, platform = told
    (sample_id,) = ids(platform, "talks", "native_id = 'row30'")
    found = of(platform, sample_id)
    assert (found.kind, found.row["locator"]["file"], found.row["locator"]["row"]) == ("read", FILE, 0)
    raw = platform.store.require(RAW, "talks").read(where="root = 'records'").to_pylist()
    (file,) = [row for row in raw if row["path"] == FILE]
    assert found.file is not None and found.file["content_hash"] == file["content_hash"]
    assert found.file["revision"] == "v1.2"
    assert stages(found) == ["unified", "deduped", "tagged", "scored", "filtered", "mixed"]
    assert [step.made_in for step in found.steps] == [f"run-{stage}" for stage in stages(found)]
    for step in found.steps[:-1]:
        table = platform.store.require({t.name: t for t in (UNIFIED, *READ_ON)}[step.stage], "talks")
        assert (step.version, step.data_version) == (table.version, table.data_version)
    assert found.pictures[0]["width"] == 32 and "bytes" not in found.pictures[0]


def test_a_row_names_the_code_that_dagster_names(told: Told) -> None:
    """Two different answers to which code made a row are none."""
    _, platform = told
    declared = {
        key.to_user_string(): spec.code_version
        for asset in platform_defs(platform).assets or []
        for key, spec in asset.specs_by_key.items()  # type: ignore[union-attr]
    }
    for source in ("talks", "scenes"):
        for sample_id in (*ids(platform, source), *written(platform)):
            for step in of(platform, sample_id).steps:
                assert step.made_by == declared[step.stage], step.stage


def written(platform: Platform) -> list[str]:
    found = platform.store.require(SYNTHESIZED, "scenes").read(["sample_id"])
    return [str(i) for i in found.column("sample_id").to_pylist()]


def test_exports_hold_the_sample_exactly_where_the_passport_says(told: Told) -> None:
    _, platform = told
    formats = set()
    for sample_id in [i for s in SOURCES for i in ids(platform, s)] + written(platform):
        for place in of(platform, sample_id).exports:
            path = Path(place.folder) / place.file
            formats.add(place.format)
            if place.format == "llava":
                assert json.loads(path.read_text())[place.line]["id"] == place.key
            elif place.format == "finevision":
                assert pq.read_table(path, columns=["id"]).column("id")[place.line].as_py() == place.key
            else:
                assert place.member is not None
                with tarfile.open(path) as archive:
                    keys = [n for n in archive.getnames() if n.endswith(".json")]
                    assert keys[place.line] == place.member
            assert place.key.startswith(sample_id)
    assert formats == set(FORMATS)
    lines = platform.store.require(MIXED, "4").notes["lines"]
    everywhere = [
        p
        for i in (
            *ids(platform, "talks"),
            *ids(platform, "copies"),
            *ids(platform, "scenes"),
            *written(platform),
        )
        for p in of(platform, i).exports
    ]
    assert len(everywhere) == lines * len(FORMATS)


def test_dropped_and_quarantined_samples_have_passports_too(told: Told) -> None:
    _, platform = told
    (copy,) = ids(platform, "copies")
    found = of(platform, copy)
    assert stages(found) == ["unified", "deduped"] and found.ending.reason == "exact_pair"
    (edge,) = [e for e in found.edges if e.row["decides"]]
    assert edge.later and edge.other_id.startswith("talks-")
    assert found.ending.settings["exact_pair"] == "drop" and found.ending.settings["phash_radius"] == 10
    back = of(platform, edge.other_id)
    assert [(e.other_id, e.later) for e in back.edges if e.row["decides"]] == [(copy, False)]
    (lost,) = ids(platform, "talks", "verdict = 'quarantine'")
    assert of(platform, lost).ending.reason == "missing_image" and stages(of(platform, lost)) == ["unified"]


def test_a_written_sample_tells_its_parents_questions_and_writer(told: Told) -> None:
    _, platform = told
    for sample_id in written(platform):
        found = of(platform, sample_id)
        assert found.kind == "written" and stages(found) == ["synthesized", "scored", "filtered", "mixed"]
        asked = [t["text"].removeprefix("<image>\n") for t in found.row["turns"] if t["role"] == "user"]
        assert [line["question"] for line in found.lines] == asked
        for line in found.lines:
            assert line["engine"] == "rules" and line["prompts"] and "cost" in line and "seed_ids" in line
            assert line["chosen_by"] in {"association", "floor"}, "the plan's row is told as well"
        for parent in found.row["parent_ids"]:
            assert of(platform, parent).source == "scenes"


def test_a_parent_tells_what_was_written_about_it(told: Told) -> None:
    _, platform = told
    about: dict[str, set[str]] = {}
    for sample_id in written(platform):
        for parent in of(platform, sample_id).row["parent_ids"]:
            about.setdefault(parent, set()).add(sample_id)
    assert about
    for sample_id in ids(platform, "scenes"):
        assert set(of(platform, sample_id).written) == about.get(sample_id, set())


def test_limits_of_pictures_licences_benchmarks_and_mixes_are_told(told: Told) -> None:
    """Who asks why a sample is in needs what it was held against as much as who asks why it is out."""
    _, platform = told
    (sample_id,) = ids(platform, "talks", "native_id = 'row30'")
    found = of(platform, sample_id)
    ((size, pixels, frames),) = found.picture_limits
    assert size.value == found.pictures[0]["byte_length"] and size.limit == 64 << 20 and not size.failed
    assert (pixels.value, frames.value) == (32 * 24, 1)
    settings = {step.stage: step.settings for step in found.steps}
    assert settings["filtered"]["contaminated"] == "drop"
    assert "licence unknown, then drop" in settings["filtered"] and "licence denied" in settings["filtered"]
    mixed = platform.store.require(MIXED, "4").notes["summary"]
    (asked,) = [one for one in mixed if one["source"] == "talks"]
    assert settings["mixed"]["eligible"] == asked["eligible"]
    assert settings["mixed"]["realised"] == asked["realised"]


def test_every_id_that_any_stage_wrote_has_a_passport_with_that_stage(told: Told) -> None:
    _, platform = told
    looked = 0
    for spec in (UNIFIED, *READ_ON, SYNTHESIS_PLAN, SYNTHESIS_QA, SYNTHESIZED):
        for source in platform.store.partitions(spec):
            for row in platform.store.require(spec, source).read([spec.key]).to_pylist():
                assert spec.name in stages(of(platform, row[spec.key]))
                looked += 1
    assert looked > 50


def test_a_planned_line_tells_what_came_of_it(told: Told) -> None:
    _, platform = told
    talk_row = platform.store.require(SYNTHESIZED, "scenes").read().to_pylist()[0]
    found = of(platform, talk_row["line_ids"][0])
    assert found.kind == "line" and found.used_by == (talk_row["sample_id"],)
    assert {limit.rule for limit in found.ending.limits} >= {"repeated_question", "low_judge_score"}


def test_thresholds_are_those_that_decided_not_those_of_today(own: Told) -> None:
    site, platform = own
    (sample_id,) = ids(platform, "talks", "native_id = 'row31'")
    limit = _limit(of(platform, sample_id), "image_too_small")
    assert (limit.value, limit.limit, limit.failed, limit.action) == (24.0, 224.0, True, "annotate")
    with TestClient(create_app(platform.store), base_url="http://localhost") as client:
        page = client.get(f"/s/{sample_id}").text
    assert "&lt; 224" in page and "&amp;" not in page, "a reader would see the escape, not the sign"
    policy = yaml.safe_load(DEFAULT.read_text())
    policy["rules"]["image_too_small"]["limit"] = 25
    (site.folder / "other.yaml").write_text(yaml.safe_dump(policy))
    settings = platform.settings.model_copy(update={"policy": site.folder / "other.yaml"})
    moved = Platform(settings)
    assert _limit(of(moved, sample_id), "image_too_small").limit == 224.0, "nothing was decided anew"
    policy["rules"]["image_too_small"] |= {"limit": 20, "action": "drop"}
    (site.folder / "third.yaml").write_text(yaml.safe_dump(policy))
    third = Platform(settings.model_copy(update={"policy": site.folder / "third.yaml"}))
    materialize_filtered(third, "talks", "run-again")
    told_now = of(third, sample_id)
    limit = _limit(told_now, "image_too_small")
    assert (limit.limit, limit.failed, limit.action) == (20.0, False, "drop")
    assert told_now.steps[4].made_in == "run-again" and told_now.steps[3].made_in == "run-scored"


def _limit(found: Passport, rule: str) -> Any:
    (step,) = [s for s in found.steps if s.stage == "filtered"]
    (limit,) = [one for one in step.limits if one.rule == rule]
    return limit


def test_tables_that_are_behind_are_still_told(own: Told) -> None:
    """A source that grew is half published for a while: old verdicts must not vanish or be misplaced."""
    site, platform = own
    before = of(platform, ids(platform, "talks", "native_id = 'row32'")[0])
    site.add(
        "talks",
        {FILE: jsonl([talk("new", "30.png"), *(talk(f"row{i}", f"{i}.png") for i in range(31, 34))])},
        stages=["4"],
    )
    platform = site.platform("home/store")
    materialize_raw(platform, "talks", "later")
    materialize_unified(platform, "talks", "later")
    after = of(platform, before.sample_id)
    assert stages(after) == stages(before)
    assert [s.row for s in after.steps[1:]] == [s.row for s in before.steps[1:]]
    (lost,) = (
        platform.store.require(DEDUPED, "talks").read(where="sample_id IS NOT NULL").slice(0, 1).to_pylist()
    )
    gone = of(platform, lost["sample_id"])
    assert gone.kind == "gone" and stages(gone)[0] == "deduped", "its record is in the source no more"
    assert gone.ending.stage == "filtered"


def test_indexed_tables_tell_the_same(own: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    _, platform = own
    everything = [i for s in SOURCES for i in ids(platform, s)] + written(platform)
    before = [plain(of(platform, i)) for i in everything]
    monkeypatch.setattr(lookup, "INDEX_ROWS", 1)
    built = 0
    for spec in (UNIFIED, SYNTHESIZED, MIXED):
        for partition in platform.store.partitions(spec):
            table = platform.store.require(spec, partition)
            lookup.build_indexes(table.dataset(), spec, table.rows)
            built += bool(platform.store.require(spec, partition).dataset().describe_indices())
    assert built >= 5
    reading = ReadingStore(platform.store.root)
    assert [plain(passport(reading, i)) for i in everything] == before


def plain(found: Passport | None) -> Any:
    assert found is not None
    steps = tuple(dataclasses.replace(step, version=0) for step in found.steps)
    return dataclasses.replace(found, steps=steps)


@pytest.mark.parametrize(
    "wrong", ["talks-" + "0" * 32, "nosuch-" + "0" * 32, "'; DROP", "../x-" + "0" * 32, ""]
)
def test_an_unknown_id_is_told_in_one_line(told: Told, wrong: str) -> None:
    site, platform = told
    assert passport(platform.store, wrong) is None
    result = CliRunner().invoke(app, ["passport", wrong, "--home", str(site.folder / "home")])
    assert result.exit_code == 1 and result.stderr.startswith("error: no table has")
    assert result.stderr.count("\n") == 1


def test_stored_text_obeys_no_terminal_and_survives_json(told: Told) -> None:
    site, platform = told
    (evil,) = ids(platform, "talks", "native_id = 'evil'")
    home = ["--home", str(site.folder / "home")]
    said = CliRunner().invoke(app, ["passport", evil, *home]).stdout
    assert said.replace("\n", "").isprintable() and "\\x1b[2J" in said and "<script>" in said
    read = json.loads(CliRunner().invoke(app, ["passport", evil, "--json", *home]).stdout)
    assert read["row"]["turns"][1]["text"] == EVIL and read["steps"][0]["made_in"] == "run-unified"


@pytest.mark.parametrize("pick", [lambda p: ids(p, "talks"), lambda p: ids(p, "copies"), written])
def test_both_forms_tell_every_sample(told: Told, pick: Callable[[Platform], list[str]]) -> None:
    site, platform = told
    for sample_id in pick(platform):
        for form in ([], ["--json"]):
            home = ["--home", str(site.folder / "home")]
            result = CliRunner().invoke(app, ["passport", sample_id, *form, *home])
            assert result.exit_code == 0, result.output
            assert sample_id in result.stdout and "run-" in result.stdout


def test_every_passport_has_a_page_on_which_stored_text_is_text(own: Told) -> None:
    """A page that fails for one kind of id hides exactly the samples that somebody asks about."""
    site, platform = own
    lines = platform.store.require(SYNTHESIS_QA, "scenes").read(["line_id"]).column(0).to_pylist()
    everything = [i for s in SOURCES for i in ids(platform, s)] + written(platform) + lines
    with TestClient(create_app(platform.store), base_url="http://localhost") as client:
        for sample_id in everything:
            page = client.get(f"/s/{sample_id}")
            assert page.status_code == 200 and sample_id in page.text
            assert "<script" not in page.text and "\x1b" not in page.text and "\u202e" not in page.text
            assert 'href="javascript' not in page.text
        (evil,) = ids(platform, "talks", "native_id = 'evil'")
        page = client.get(f"/s/{evil}").text
        assert "&lt;script&gt;" in page and "[link](javascript:alert(2))" in page and "␛[2J" in page
        assert "run-filtered" in page and "part-00000.json" in page
        site.add("talks", {FILE: jsonl([talk("new", "30.png")])}, stages=["4"])
        later = site.platform("home/store")
        materialize_raw(later, "talks", "later")
        materialize_unified(later, "talks", "later")
        assert "no longer has it" in client.get(f"/s/{evil}").text
