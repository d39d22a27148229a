"""The explorer's page, asked as a browser (and as an attacker) would."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from infinity_assets.platform import Platform
from infinity_assets.preview import explore as page_module
from infinity_assets.preview.app import create_app
from infinity_assets.quality.audit import CheckResult
from infinity_assets.stages.publish import keep_checks
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets_tests.conftest import Site
from infinity_assets_tests.lineage.story import SOURCES, tell


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return tell(Site(tmp_path_factory.mktemp("explored")))


@pytest.fixture(scope="module")
def client(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = create_app(platform.store, index=tmp_path_factory.mktemp("index"))
    app.state.samples.refresh()
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def cards(page: str) -> int:
    return page.count('class="sample"')


def test_a_card_has_picture_conversation_tags_verdict_and_why(client: TestClient) -> None:
    page = client.get("/explore?source=copies").text
    assert cards(page) == 1 and "deduped: exact_pair" in page and "number row31" in page
    assert 'src="/image/copies/' in page and "the same pictures and conversation as" in page
    assert 'class="chips"' in client.get("/explore?source=scenes").text


def test_every_link_on_the_page_leads_somewhere(client: TestClient) -> None:
    """The address is the whole view: a filter, a page, a comparison that a link cannot give back is lost."""
    followed = set()
    for start in ("/explore", "/explore?compare=1&source=talks", "/explore?text=dots"):
        for link in re.findall(r'(?:href|src)="(/[^"]*)"', client.get(start).text):
            followed.add(html.unescape(link))
    assert len(followed) > 60
    for link in sorted(followed):
        assert client.get(link).status_code == 200, link


def test_stored_text_is_shown_as_text(client: TestClient) -> None:
    for address in ("/explore?text=alert", "/explore?source=talks", "/explore?source=talks&compare=1"):
        page = client.get(address).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "<script" not in page
        assert "[link](javascript:alert(2))" in page and 'href="javascript' not in page
        assert "\x1b" not in page and "␛[2J" in page and "\u202e" not in page


@pytest.mark.parametrize(
    "address",
    [
        "/explore?tag=<script>alert(1)</script>",
        '/explore?text="><script>alert(1)</script> walrus',
        "/explore?licence=' OR 1=1 --",
        "/explore?language={{ 7 * 7 }}",
    ],
)
def test_what_the_address_says_is_shown_as_text_too(client: TestClient, address: str) -> None:
    """A link that somebody sends must not run anything, nor find what it does not name."""
    answer = client.get(address)
    assert answer.status_code == 200 and cards(answer.text) == 0
    assert "<script" not in answer.text and ">49<" not in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "source=..%2f..",
        "nosuch=1",
        "verdict=kept",
        "page=9999",
        "near=talks-1",
        "tag=%00",
        "text=" + "x" * 201,
        "licence=%1b[31m",
    ],
)
def test_an_address_that_cannot_be_is_refused(client: TestClient, query: str) -> None:
    answer = client.get(f"/explore?{query}")
    assert answer.status_code == 400 and "\x1b" not in answer.text


def test_kept_stands_beside_not_kept(client: TestClient) -> None:
    page = client.get("/explore?compare=1&source=talks").text
    kept, lost = page.split("not kept <span")
    assert 'class="pill drop"' not in kept and 'class="pill quarantine"' not in kept
    assert 'class="pill keep"' not in lost and "missing_image" in lost


def test_near_shows_pictures_and_questions_with_distances(client: TestClient, platform: Platform) -> None:
    (copy,) = platform.store.require(UNIFIED, "copies").read(["sample_id"]).column(0).to_pylist()
    page = client.get(f"/explore?near={copy}").text
    assert "0 of 320 bits differ" in page and "100 % of words in common" in page
    gone = client.get("/explore?near=talks-" + "0" * 32)
    assert gone.status_code == 200 and "does not have the sample" in gone.text


def test_rows_that_are_no_samples_are_linked_and_lost_ones_counted(
    client: TestClient, platform: Platform
) -> None:
    assert 'href="/stage/raw/talks"' in client.get("/explore?stage=raw&source=talks").text
    (first,) = platform.store.require(UNIFIED, "copies").read(["sample_id"]).column(0).to_pylist()
    found = CheckResult("odd", "unified", False, True, "", 2, (first, "copies-" + "0" * 32))
    keep_checks(platform.store, "unified", "copies", "r", [found])
    page = client.get("/explore?check=odd&stage=unified&source=copies").text
    assert cards(page) == 1 and "1 more that no published table has" in page


def test_a_view_that_takes_too_long_is_cut_off_with_a_word(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "Clock", type("Late", (), {"over": True}))
    page = client.get("/explore")
    assert page.status_code == 200 and "was up at copies" in page.text and cards(page.text) == 0


def test_an_index_that_cannot_be_made_says_why(platform: Platform, tmp_path: Path) -> None:
    taken = tmp_path / "a file"
    taken.write_text("")
    with TestClient(create_app(platform.store, index=taken), base_url="http://localhost") as client:
        assert "The index cannot be made" in client.get("/explore").text
    with TestClient(create_app(platform.store), base_url="http://localhost") as client:
        assert client.get("/explore").status_code == 404


def test_nothing_but_the_index_is_written(platform: Platform, tmp_path: Path) -> None:
    """A server of pages must not change what it shows."""
    root = Path(platform.store.root)

    def seen() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}

    before = seen()
    with TestClient(create_app(platform.store, index=tmp_path), base_url="http://localhost") as client:
        for address in ("/explore", "/explore?text=dots", f"/explore?source={SOURCES[0]}&compare=1"):
            assert client.get(address).status_code == 200
        assert client.post("/explore").status_code == 405
    assert seen() == before
