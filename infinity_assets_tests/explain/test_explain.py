"""What people are told of duplicates: complete, and nothing in it obeys a terminal or a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infinity_assets.cli import app
from infinity_assets.explain.edges import why
from infinity_assets.explain.pages import as_html, as_text
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets_tests.conftest import Site, dedupe, ingest, jsonl, picture, talk

EVIL = "<script>alert(1)</script> \x1b[2J\x1b]0;owned\x07 \u202e right to left"


@pytest.fixture
def told(site: Site, in_process: list[str]) -> tuple[Site, str]:
    rows = [talk(key, "1.png", question=EVIL, answer=EVIL) for key in ("first", EVIL)]
    site.add("one", {"a.jsonl": jsonl(rows[:1]), "1.png": picture(1)}, priority=1)
    site.add("two", {"a.jsonl": jsonl(rows[1:]), "1.png": picture(1)}, priority=2)
    platform = site.platform("home/store")
    for name in ("one", "two"):
        ingest(platform, name)
    for name in ("one", "two"):
        dedupe(platform, name)
    (row,) = platform.store.require(DEDUPED, "two").read().to_pylist()
    assert row["verdict"] == "drop"
    return site, row["sample_id"]


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_edge_names_both_raw_places(told: tuple[Site, str]) -> None:
    site, sample = told
    lines = invoke("duplicates", "--home", str(site.folder / "home"), "--json").splitlines()
    (edge,) = map(json.loads, lines)
    assert (edge["kind"], edge["distance"], edge["decides"]) == ("exact_pair", 0.0, True)
    assert edge["sample_id"] == sample and edge["winner_id"].startswith("one-")
    assert edge["locator"]["file"] == edge["winner_locator"]["file"] == "a.jsonl"
    assert edge["locator"]["row"] == edge["winner_locator"]["row"] == 0
    assert invoke("duplicates", "--home", str(site.folder / "home")) == "one: no edges\ntwo: exact_pair 1\n"


def test_why_tells_verdicts_winner_and_edges_in_plain_text(told: tuple[Site, str]) -> None:
    site, sample = told
    said = invoke("why", sample, "--home", str(site.folder / "home"))
    assert "deduped  drop exact_pair" in said and "winner   one-" in said
    assert "exact_pair distance 0: one-" in said and "drops it" in said
    assert said.replace("\n", "").isprintable(), "stored text must not obey the terminal"


def test_a_terminal_gets_both_pictures_and_no_escape_but_colours(told: tuple[Site, str]) -> None:
    site, sample = told
    store = site.platform("home/store").store
    drawn = "\n".join(as_text(why(store, sample), store, colour=True))
    assert "▀" in drawn
    rest = re.sub(r"\x1b\[(?:0|38;2;\d+;\d+;\d+;48;2;\d+;\d+;\d+)m", "", drawn)
    assert rest.replace("\n", "").isprintable()


def test_the_page_is_one_file_without_script(told: tuple[Site, str], tmp_path: Path) -> None:
    site, sample = told
    page = tmp_path / "why.html"
    invoke("why", sample, "--home", str(site.folder / "home"), "--html", str(page))
    text = page.read_text("utf-8")
    store = site.platform("home/store").store
    assert text == as_html(why(store, sample), store)
    assert "<script" not in text and "default-src 'none'" in text
    assert text.count("data:image/webp;base64,") == 3
    assert not re.search(r'src="(?!data:)|src=[^"]|href=', text)
    assert "\x1b" not in text and "\u202e" not in text


def test_an_unknown_sample_is_an_error_in_one_line(told: tuple[Site, str]) -> None:
    site, _ = told
    for wrong in ("one-" + "0" * 32, "'; DROP", "one"):
        result = CliRunner().invoke(app, ["why", wrong, "--home", str(site.folder / "home")])
        assert result.exit_code == 1
        assert result.stderr.startswith("error: no source has a sample") and result.stderr.count("\n") == 1


def test_the_winner_s_side_is_told_too(told: tuple[Site, str]) -> None:
    site, sample = told
    store = site.platform("home/store").store
    first = store.require(UNIFIED, "one").read(["sample_id"]).column(0)[0].as_py()
    (edge,) = why(store, first).edges
    assert (edge.other_id, edge.later) == (sample, False)
