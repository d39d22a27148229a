"""The sample pages, asked as a browser (and as an attacker) would."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image
from starlette.testclient import TestClient

from infinity_assets.definitions import platform_defs
from infinity_assets.preview.app import create_app
from infinity_assets.preview.pages import SHOWN_CHARACTERS, printable
from infinity_assets.quality.audit import CheckResult
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.publish import keep_checks
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets_tests.orchestration.small import add_source, small_platform, write_spec

HOSTILE = (
    "<image>\n<script>alert(1)</script> <img src=x onerror=alert(2)> [link](javascript:alert(3))"
    " \x1b[31mred\x1b[0m \u202egnp.exe {{ 7 * 7 }} \x00 end"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    platform = small_platform(tmp_path_factory.mktemp("preview"))
    folder = platform.settings.catalogue
    (folder / "broken.yaml").unlink()
    add_source(folder, "hostile", ["black"])
    rows = [
        {
            "id": '"><b>id',
            "image": "black.png",
            "conversations": [
                {"from": "human", "value": HOSTILE},
                {"from": "gpt", "value": "Black & white."},
            ],
            "note": "<script>extra</script>",
        },
        {"id": "gone", "image": "gone.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}]},
    ]
    (folder / "files" / "hostile" / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    write_spec(folder, "hostile", licence={"id": "<i>CC0</i>"})
    definitions = platform_defs(type(platform)(platform.settings))
    for name in ("alpha", "beta", "hostile"):
        assert definitions.resolve_job_def("source_pipeline").execute_in_process(partition_key=name).success
    return platform.store


@pytest.fixture(scope="module")
def client(store):
    with TestClient(create_app(store), base_url="http://localhost") as client:
        yield client


def ids(store, source, where=None):
    return store.require(UNIFIED, source).read(["sample_id"], where).column("sample_id").to_pylist()


def test_index_links_every_published_partition(client):
    """The first page must lead everywhere."""
    page = client.get("/")
    assert page.status_code == 200
    for stage in ("raw", "images", "unified", "duplicate_ledger", "deduped", "tagged", "filtered"):
        assert f"/stage/{stage}/alpha" in page.text
        assert client.get(f"/stage/{stage}/alpha").status_code == 200


def test_text_of_samples_is_shown_as_text(client, store):
    """A sample that runs in the reader's browser or terminal is an attack on the reader."""
    (sample_id,) = ids(store, "hostile", "verdict = 'keep'")
    for page in (client.get(f"/s/{sample_id}").text, client.get("/stage/unified/hostile").text):
        assert "<script" not in page
        assert "<img src=x" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "javascript:alert" not in page.replace("](javascript:alert(3))", "")
        assert 'href="javascript' not in page
        assert "\x1b" not in page and "␛[31mred" in page
        assert "\u202e" not in page and "⟨U+202E⟩gnp.exe" in page
        assert "{{ 7 * 7 }}" in page and "\x00" not in page
    card = client.get(f"/s/{sample_id}").text
    assert "&#34;&gt;&lt;b&gt;id" in card
    assert "&lt;i&gt;CC0&lt;/i&gt;" in card


def test_quarantined_and_dropped_samples_have_a_card_with_the_reason(client, store):
    """Why a row is gone is the question that the page exists for."""
    (lost,) = ids(store, "hostile", "verdict = 'quarantine'")
    assert "missing_image" in client.get(f"/s/{lost}").text
    dropped = store.require(DEDUPED, "beta").read(["sample_id", "duplicate_of"], "verdict = 'drop'")
    (row,) = dropped.to_pylist()
    page = client.get(f"/s/{row['sample_id']}").text
    assert "deduped: exact_pair" in page
    assert f"/s/{row['duplicate_of']}" in page
    assert client.get(f"/s/{row['duplicate_of']}").status_code == 200


def test_lists_filter_by_verdict_and_reason(client, store):
    """Links from Dagster name a verdict or a reason; another list would mislead."""
    dropped = client.get("/stage/deduped/beta?verdict=drop").text
    kept = client.get("/stage/deduped/beta?verdict=keep").text
    assert client.get("/stage/deduped/beta?reason=exact_pair").text.count('class="row"') == 1
    assert dropped.count('class="row"') == kept.count('class="row"') == 1
    assert client.get("/stage/deduped/beta?page=1").text.count('class="row"') == 0


def test_a_check_shows_its_failing_rows_as_cards_and_foreign_ids_as_text(client, store):
    """A red check that leads to nothing, or to a page that an id can take over, is worse than a count."""
    assert "passed" in client.get("/check/unified/alpha/columns").text
    (kept,) = ids(store, "hostile", "verdict = 'keep'")
    (lost,) = ids(store, "hostile", "verdict = 'quarantine'")
    odd = '"><script>alert(1)</script>'
    found = CheckResult(
        "odd_rows", "unified", False, True, "<b>promise</b>", 7, (lost, odd, kept, "x-" + "0" * 32)
    )
    keep_checks(store, "unified", "hostile", "some-run", [found])
    page = client.get("/check/unified/hostile/odd_rows?run=some-run").text
    assert page.count('class="sample"') == 4 and "7 rows failed; the first 4 are here" in page
    assert page.index(lost) < page.index("&lt;script&gt;alert(1)") < page.index(kept)
    assert "missing_image" in page and "not in the published table" in page
    assert "<script" not in page and "&lt;b&gt;promise" in page and "Nothing was committed" in page
    assert f"/s/{kept}" in page and client.get(f"/s/{kept}").status_code == 200


def test_a_stage_lists_its_partitions(client):
    """The page of an asset in Dagster leads here."""
    page = client.get("/stage/deduped").text
    assert "/stage/deduped/alpha" in page and "/stage/deduped/beta" in page and "/stage/unified/" not in page


@pytest.mark.parametrize(
    "path",
    [
        "/s/alpha-123",
        "/s/alpha-" + "0" * 32,
        "/s/ALPHA-" + "0" * 32,
        "/s/alpha-" + "0" * 31 + "'",
        "/s/..%2f..%2fetc%2fpasswd",
        "/s/nosuch-" + "0" * 32,
        "/stage/nosuch",
        "/check/unified/alpha/nosuch",
        "/check/unified/alpha/..",
        "/check/..%2f..%2fetc/alpha/columns",
        "/check/unified/alpha/columns?run=..%2f..",
        "/check/unified/alpha/columns?run=" + "0" * 36,
        "/stage/unified/..",
        "/stage/unified/%2e%2e",
        "/stage/unified/nosuch",
        "/stage/_staging/alpha",
        "/stage/unified/alpha?verdict=keep'%20OR%201=1",
        "/stage/unified/alpha?reason=a%20b",
        "/stage/unified/alpha?page=-1",
        "/stage/unified/alpha?page=99999",
        "/stage/unified/alpha?page=%D9%A1",
        "/image/alpha/" + "0" * 32,
        "/image/alpha/..",
        "/image/../alpha",
        "/image/alpha/%2e%2e%2f%2e%2e",
        "/style.css/..%2f..%2fapp.py",
        "/templates/base.html",
    ],
)
def test_anything_but_a_good_id_is_not_found(client, path):
    """An id that is used before it is checked reads files or rows that nobody meant to show."""
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_pictures_have_the_right_type_and_cannot_act(client, store):
    """A picture's bytes are foreign; served as anything else they could be a page."""
    (row,) = store.require(IMAGES, "hostile").read(["image_id"], "verdict = 'keep'").to_pylist()
    answer = client.get(f"/image/hostile/{row['image_id']}")
    assert answer.headers["content-type"] == "image/png"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    small = client.get(f"/image/hostile/{row['image_id']}?w=160")
    assert small.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(small.content)).size == (48, 32)
    assert client.get(f"/image/hostile/{row['image_id']}?w=99999").status_code == 404


def test_headers_forbid_script_and_framing(client):
    """The second line of defence, should an escape ever be forgotten."""
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert "frame-ancestors 'none'" in policy


def test_nothing_can_be_written(client):
    """The server is read-only by construction."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/").status_code == 405


def test_other_host_names_are_refused(store):
    """A page on the internet must not read samples through a name that it points at this machine."""
    with TestClient(create_app(store), base_url="http://evil.example") as client:
        assert client.get("/").status_code == 400


def test_long_text_is_cut_and_emoji_stay():
    """One huge turn must not make a page of a gigabyte; a joined emoji is no attack."""
    assert printable("x" * (SHOWN_CHARACTERS + 5)).endswith("… (5 more characters)")
    assert printable("👩\u200d🔬 ok\u3000") == "👩\u200d🔬 ok\u3000"
