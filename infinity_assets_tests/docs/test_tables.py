"""What the pages list, held against the code; and links, pictures and quoted messages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infinity_assets.automation.retention import retention
from infinity_assets.automation.webhook import WEBHOOK
from infinity_assets.orchestration import jobs
from infinity_assets.quality.contract import load_contract
from infinity_assets.readers import READERS
from infinity_assets.readers.base import READ_REASONS
from infinity_assets.readers.chat import MediaOptions
from infinity_assets.settings import RamPlusSettings, Settings
from infinity_assets.sources.model import SourceSpec
from infinity_assets.sources.web import ALLOW
from infinity_assets.stages.deduped.verdict import MEANINGS
from infinity_assets.stages.duplicate_ledger.schema import KINDS
from infinity_assets.stages.exported.formats import EXPORTERS
from infinity_assets.stages.filtered.contamination.kinds import KINDS as LEAKS
from infinity_assets.stages.filtered.policy import LICENCE_CODES, RULES, load_policy
from infinity_assets.stages.filtered.scores import SCORE_RULES
from infinity_assets.stages.images.limits import IMAGE_REASONS
from infinity_assets.stages.mixed.plan import MIX_REASONS
from infinity_assets.stages.synthesized.lines import DROPPED as WRITTEN_REASONS
from infinity_assets.stages.synthesized.lines import PROBLEMS
from infinity_assets.stages.unified.media import MEDIA_REASONS
from infinity_assets_tests.docs.pages import PAGES, ROOT, code, table

#: Reasons of ``unified`` itself, and of ``deduped``.
OTHER_REASONS = {"media_count_mismatch", *MEANINGS}


def test_the_table_of_readers_has_every_format_and_option():
    """Lost otherwise: a user who does not find a format or option, or writes one that is gone."""
    told = {code(row[0])[0]: row[2] for row in table("README.md", "Readers")}
    assert set(told) == set(READERS)
    for name, cell in told.items():
        options = set(READERS[name].Options.model_fields)
        if issubclass(READERS[name].Options, MediaOptions):
            assert cell.startswith("media"), name
            options -= set(MediaOptions.model_fields)
        assert set(code(cell)) == options, name


def test_the_tables_of_settings_source_keys_and_jobs_are_complete():
    """Lost otherwise: a setting that nobody finds."""
    told = {code(row[0])[0] for row in table("docs/engineer.md", "Settings")}
    names = {*Settings.model_fields} - {"ram_plus"} | {f"ram_plus_{n}" for n in RamPlusSettings.model_fields}
    assert told == {f"INFINITY_{name.upper()}" for name in names} | {ALLOW, WEBHOOK}
    keys = {code(row[0])[0] for row in table("docs/engineer.md", "Add a source")}
    assert keys == set(SourceSpec.model_fields)
    listed = {code(row[0])[0] for row in table("docs/engineer.md", "Run from Dagster")}
    assert listed == {job.name for job in (*jobs.ALL, retention)}


def test_the_table_of_rules_is_the_default_policy():
    """Lost otherwise: a lead who reads another threshold than the one that drops."""
    policy = load_policy(None)
    told = {code(row[0])[0]: row[2:] for row in table("docs/lead.md", "Change a threshold")}
    assert list(told) == list(RULES)
    for name, (fails, action) in told.items():
        rule = policy.rules[name]
        assert (fails, action) == (f"{RULES[name].fails} {rule.limit:g}", rule.action), name


def test_the_table_of_duplicates_has_every_kind_and_what_the_default_policy_does():
    """Lost otherwise: a lead who thinks that a kind only informs, and loses samples to it."""
    told = {code(row[0])[0]: row[2] for row in table("docs/lead.md", "Duplicates")}
    assert tuple(told) == KINDS
    dropping = load_policy(None).duplicates.dropping
    assert {kind for kind, action in told.items() if action.startswith("drop")} == dropping


def test_the_table_of_scores_is_the_default_policy():
    """Lost otherwise: a lead who reads another percentile than the one that marks."""
    policy = load_policy(None).scores
    told = {code(row[0])[0]: row[1:] for row in table("docs/lead.md", "Scores by a model")}
    assert list(told) == list(SCORE_RULES)
    assert told.pop("high_loss")[1:] == [
        f"above the {policy.high_loss.percentile:g}th percentile of its like",
        policy.high_loss.action,
    ]
    for name, (_, fails, action) in told.items():
        assert (fails, action) == (f"below {policy.rating(name).limit}", policy.rating(name).action), name


def test_every_reason_code_is_explained_and_none_invented():
    """Lost otherwise: a reason on a sample's page that no page explains."""
    text = (ROOT / "docs" / "researcher.md").read_text("utf-8").split("## Reason codes", 1)[1]
    told = set(code(text)) - {"unified", "images", "deduped", "filtered", "mixed", "synthesis_qa"}
    known = {
        *READ_REASONS,
        *MEDIA_REASONS,
        *IMAGE_REASONS,
        *MIX_REASONS,
        *WRITTEN_REASONS,
        *PROBLEMS,
        *LICENCE_CODES,
        *SCORE_RULES,
        *LEAKS,
        *OTHER_REASONS,
    }
    assert told == known


def test_the_table_of_exports_has_every_format():
    """Lost otherwise: a trainer's format that exists and is not told."""
    assert {code(row[0])[0] for row in table("docs/researcher.md", "Exports")} == set(EXPORTERS)


def test_the_tables_of_stages_name_tables_and_columns_that_exist():
    """Lost otherwise: a query after the page's table that fails."""
    from infinity_assets.preview.lookups import TABLES

    rows = table("docs/researcher.md", "Why is it not there?")
    assert [code(row[0])[0] for row in rows] == list(TABLES)
    for row in rows:
        assert set(code(row[2])) <= set(TABLES[code(row[0])[0]].schema.names)
    graph = [code(row[0])[0] for row in table("docs/architecture.md", "The graph")][:-2]  # exports, snapshots
    graph.remove("benchmark_fingerprints")  # what it holds is on no page
    assert graph == list(TABLES)
    assert "rows_conserved" in {check.name for check in load_contract("filtered").checks}


def test_quoted_error_messages_are_the_code_s():
    """Lost otherwise: a reader who searches for the message that was printed, and finds nothing."""
    source = "\n".join(p.read_text("utf-8") for p in sorted((ROOT / "infinity_assets").rglob("*.py")))
    said = re.sub(r'"\s*\n\s*f?"', "", source)
    for row in table("docs/engineer.md", "Read errors"):
        for quoted in code(row[0]):
            for part in re.split(r"\.\.\.|v\d+", quoted):
                words = part.strip(" ,")
                if len(words) > 12:
                    assert words in said, words


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    """Lost otherwise: a reader in front of a page that is not there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), target
        assert other.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(other), target


def test_pictures_are_small_and_used():
    """Lost otherwise: a clone that carries megabytes, or a picture that shows nothing to anyone."""
    text = "".join(page.read_text("utf-8") for page in PAGES)
    for path in (ROOT / "docs" / "images").iterdir():
        assert path.stat().st_size < 300_000, path.name
        assert f"images/{path.name}" in text, path.name
