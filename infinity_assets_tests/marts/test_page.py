"""The page: self-contained, harmless whatever the names say, and every red leads to its samples."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser

import polars as pl

from infinity_assets.marts.links import Addresses
from infinity_assets.marts.page import write_page

URL = "http://127.0.0.1:3001"
EVIL = "<script>alert(1)</script>\x1b[2J\u202e"


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def test_no_request_leaves_the_machine_and_every_link_is_to_the_sample_pages(published):
    """Lost otherwise: figures of private data in a stranger's log, or links into nowhere."""
    text = published.snapshot.page.read_text("utf-8")
    page = read(text)
    assert not page.tags & {"script", "img", "link", "iframe", "object", "form", "video", "audio", "svg"}
    assert not any(name.startswith("on") or name in {"src", "srcset"} for name, _ in page.attributes)
    assert "url(" not in text and "@import" not in text
    links = {value for name, value in page.attributes if name == "href"}
    pages = (f"{URL}/stage/", f"{URL}/s/", f"{URL}/check/", f"{URL}/image/", f"{URL}/explore?", "#")
    assert all(link.startswith(pages) for link in links)
    assert f"{URL}/stage/unified/talks?verdict=quarantine&reason=missing_image" in links
    anchors = {value for name, value in page.attributes if name == "id"}
    assert {link[1:] for link in links if link.startswith("#")} <= anchors


def test_names_from_outside_are_shown_and_never_obeyed(published, tmp_path):
    """Lost otherwise: a licence or model name that runs in the browser of whoever decides."""
    shutil.copytree(published.snapshot.folder, tmp_path, dirs_exist_ok=True)
    for mart, columns in {
        "licences": ["licence"],
        "cost": ["model"],
        "coverage": ["tag"],
        "question_types": ["question_type"],
        "drop_reasons": ["reason"],
        "check_results": ["name", "told", "partition"],
    }.items():
        path = tmp_path / "marts" / f"{mart}.parquet"
        pl.read_parquet(path).with_columns(pl.lit(EVIL).alias(c) for c in columns).write_parquet(path)
    text = write_page(tmp_path, 1, URL).read_text("utf-8")
    assert "<script" not in text and "\x1b" not in text and "\u202e" not in text
    assert text.count("&lt;script&gt;") > 5


def test_a_failing_check_stands_first_and_leads_to_its_samples(published, tmp_path):
    """Lost otherwise: a red that nobody can follow to what is wrong."""
    shutil.copytree(published.snapshot.folder, tmp_path, dirs_exist_ok=True)
    sample = f"talks-{'0' * 32}"
    path = tmp_path / "marts" / "check_results.parquet"
    results = pl.read_parquet(path)
    red = pl.col("name") == "winners_stay"
    results.with_columns(
        passed=pl.when(red).then(False).otherwise("passed"),
        failing_ids=pl.when(red).then(pl.lit([sample])).otherwise("failing_ids"),
        partition=pl.when(red).then(pl.lit("talks")).otherwise("partition"),
    ).write_parquet(path)
    text = write_page(tmp_path, 1, URL).read_text("utf-8")
    names = re.findall(r"<td><b>([a-z_]+)</b>", text)
    assert names[0] == "winners_stay" and names.count("winners_stay") == 1
    assert f'href="{URL}/s/{sample}"' in text
    assert re.search(r'class="num red"><a href="[^"]*/stage/deduped/talks"', text)


def test_an_id_that_is_none_becomes_no_link():
    """Lost otherwise: an address that somebody else wrote."""
    link = Addresses(URL + "/")
    assert link.row("talks", "../../etc/passwd") is None and link.row(None, None) is None
    assert link.rows("unified", "talks?x=1") is None and link.rows("no_stage", "talks") is None
    assert link.rows("unified", "talks", "", "Not a code!") is None
    assert (
        link.rows("unified", "talks", "drop", "a_code")
        == f"{URL}/stage/unified/talks?verdict=drop&reason=a_code"
    )
