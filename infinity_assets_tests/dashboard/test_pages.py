"""Every page without a browser: drawn from a snapshot, harmless whatever names say, with ways to samples."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient

from infinity_assets.marts.published import current_snapshot
from infinity_assets.preview.app import create_app
from infinity_assets_tests.dashboard.addresses import PAGES
from infinity_assets_tests.dashboard.conftest import RED, ROOT

SAMPLES = "http://127.0.0.1:9"
EVIL = "<script>alert(1)</script>[here](http://evil.example)\x1b[2J\u202e"


def look(python: Path, home: Path, *pages: str) -> dict[str, Any]:
    """What :mod:`infinity_assets_tests.dashboard.look` sees."""
    done = subprocess.run(
        [python, "-m", "infinity_assets_tests.dashboard.look", *pages],
        env={**os.environ, "INFINITY_HOME": str(home), "INFINITY_PREVIEW_URL": SAMPLES},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def seen(python: Path, red: tuple[Path, str]) -> dict[str, Any]:
    return look(python, red[0], *PAGES)


def test_every_page_is_drawn(seen):
    """Lost otherwise: a page that greets whoever decides with a traceback."""
    assert {path: page["errors"] for path, page in seen.items()} == {path: [] for path in PAGES}
    assert all(len(page["titles"]) == 1 for page in seen.values())
    drawn = {path for path, page in seen.items() if page["charts"] or page["tables"]}
    assert drawn >= set(PAGES) - {"drift", "contamination", "versions"}


def test_a_failing_check_stands_first_and_leads_to_its_samples(seen, red):
    """Lost otherwise: a red that nobody can follow to what is wrong."""
    page = seen["checks"]
    assert page["figures"]["checks failed"] == "1"
    assert RED in page["texts"][0]
    assert f"{SAMPLES}/s/{red[1]}" in page["links"]
    assert f"{SAMPLES}/stage/deduped/talks" in page["links"]


def test_every_row_of_every_table_leads_to_the_sample_pages(seen):
    """Lost otherwise: a number that has to be believed."""
    addresses = [row["address"] for page in seen.values() for table in page["tables"] for row in table]
    there = [address for address in addresses if address]
    assert len(there) > 50 and len(there) > 0.9 * len(addresses)
    assert all(address.startswith(f"{SAMPLES}/") for address in there)


def test_every_address_is_a_page(seen, told, tmp_path):
    """Lost otherwise: a click on a figure that ends in *not found*."""
    rows = [row for page in seen.values() for table in page["tables"] for row in table]
    marks = [row for page in seen.values() for chart in page["charts"] for row in _data(chart)]
    found = {row["address"] for row in (*rows, *marks) if row.get("address")}
    found |= {link for page in seen.values() for link in page["links"]}
    by_kind: dict[str, list[str]] = {}
    for address in sorted(found):
        path, _, query = address.removeprefix(SAMPLES).partition("?")
        kind = path.split("/")[1] + "".join(sorted(part.split("=")[0] for part in query.split("&")))
        by_kind.setdefault(kind, []).append(address.removeprefix(SAMPLES))
    assert {kind[:5] for kind in by_kind} >= {"stage", "s", "explo"}
    app = create_app(told.store, index=tmp_path / "index")
    with TestClient(app, base_url="http://127.0.0.1") as client:
        for addresses in by_kind.values():
            for address in addresses[:4]:
                assert client.get(address).status_code == 200, address


def _data(chart: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for rows in chart.get("datasets", {}).values() for row in rows]


def test_figures_are_those_of_the_source_that_was_chosen(python, red, seen):
    """Lost otherwise: figures of all sources under the name of one, in a link that was sent around."""
    page = look(python, red[0], "funnel", "health", "source=talks")
    assert {
        row["source"] if "source" in row else row["partition"] for row in page["health"]["tables"][0]
    } == {"talks"}
    assert len(seen["health"]["tables"][0]) > len(page["health"]["tables"][0])


def test_names_from_outside_are_shown_and_never_obeyed(python, red, tmp_path):
    """Lost otherwise: a tag or licence that runs in the browser of whoever decides, or leads them away."""
    shutil.copytree(red[0] / "quality", tmp_path / "quality")
    snapshot = current_snapshot(tmp_path)
    assert snapshot is not None
    for mart, columns in {
        "licences": ["licence"],
        "cost": ["model"],
        "coverage": ["tag"],
        "question_types": ["question_type"],
        "drop_reasons": ["reason"],
        "check_results": ["name", "told", "partition"],
        "mix_sources": ["category"],
    }.items():
        path = snapshot.folder / "marts" / f"{mart}.parquet"
        evil = [pl.concat_str(pl.lit(EVIL), pl.col(c).fill_null("")).alias(c) for c in columns]
        pl.read_parquet(path).with_columns(evil).write_parquet(path)
    pages = look(python, tmp_path, *PAGES)
    assert not any(page["errors"] for page in pages.values())
    shown = "<script>alert(1)</script>[here](http://evil.example)\u241b[2J"
    for page in pages.values():
        assert not any("evil" in text for text in page["markup"])
        everything = json.dumps([page["texts"], page["tables"], page["charts"]], ensure_ascii=False)
        assert "\x1b" not in everything and "\u202e" not in everything and "\\u001b" not in everything
        assert not any("evil" in link.split("?")[0] for link in page["links"])
    assert any(text.startswith(shown) for text in pages["checks"]["texts"])
    assert any(row["licence"].startswith(shown) for row in pages["licences"]["tables"][0])


def test_before_the_first_snapshot_it_says_what_to_do(python, tmp_path):
    """Lost otherwise: a new user in front of an empty page."""
    page = look(python, tmp_path, "checks")["checks"]
    assert page["errors"] == [] and "no snapshot" in page["titles"][0]


def test_streamlit_finds_no_pages_but_those_of_the_menu():
    """Lost otherwise: links to an empty page. It serves a folder ``pages`` to whoever comes to it first."""
    assert (ROOT / "infinity_assets" / "dashboard" / "app.py").exists()
    assert not (ROOT / "infinity_assets" / "dashboard" / "pages").exists()
