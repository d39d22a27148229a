"""The sample pages in a real browser: clicked through as a researcher would, offline."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from selenium import webdriver
from selenium.webdriver.common.by import By

from infinity_assets.definitions import platform_defs
from infinity_assets.platform import Platform
from infinity_assets.preview.app import create_app
from infinity_assets.quality import contract
from infinity_assets_tests.chrome import chrome
from infinity_assets_tests.orchestration.small import small_platform
from infinity_assets_tests.processes import free_port

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None,
    reason="needs Debian's packages chromium and chromium-driver",
)


#: A promise that no question keeps, so that there is a red check to begin from.
PROMISE = """  - type: range
    name: long_questions
    severity: warn
    description: a question has a thousand tokens
    column: question_tokens
    min: 1000
drift:"""


@pytest.fixture(scope="module")
def broken_promise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = shutil.copytree(contract.FOLDER, tmp_path_factory.mktemp("contracts") / "contracts")
    unified = folder / "unified.yaml"
    unified.write_text(unified.read_text().replace("drift:", PROMISE))
    contract.load_contract.cache_clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(contract, "FOLDER", folder)
        yield
    contract.load_contract.cache_clear()


@pytest.fixture(scope="module")
def red(broken_promise: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """The pages' address, the one that Dagster shows beside the failed check, and the run that it is of."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    small = small_platform(tmp_path_factory.mktemp("pages"))
    platform = Platform(small.settings.model_copy(update={"preview_url": address}))
    definitions = platform_defs(platform)
    link = run_id = ""
    for name in ("alpha", "beta"):
        result = definitions.resolve_job_def("source_pipeline").execute_in_process(partition_key=name)
        assert result.success
        for evaluation in result.get_asset_check_evaluations():
            if not evaluation.passed:
                link, run_id = str(evaluation.metadata["failing_samples"].value), result.run_id
    app = create_app(platform.store, dagster="http://127.0.0.1:9")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield address, link, run_id
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def pages(red: tuple[str, str, str]) -> str:
    return red[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chrome(1200, 1000) as driver:
        yield driver


def follow(browser: webdriver.Chrome, part: str) -> None:
    """Click the first link whose address has a part."""
    links = browser.find_elements(By.CSS_SELECTOR, f'a[href*="{part}"]')
    assert links, f"no link to {part} on {browser.current_url}"
    links[0].click()


def test_from_the_overview_to_a_picture_and_back(pages: str, browser: webdriver.Chrome) -> None:
    """A number on the overview that does not lead to the samples behind it is a number to be believed."""
    browser.get(pages)
    follow(browser, "/stage/unified/alpha")
    follow(browser, "/s/alpha-")
    assert "/s/alpha-" in browser.current_url
    pictures = browser.find_elements(By.CSS_SELECTOR, "img")
    assert pictures
    assert all(browser.execute_script("return arguments[0].naturalWidth > 0", p) for p in pictures)
    shown = browser.find_element(By.TAG_NAME, "body").text
    assert "unified" in shown and "keep" in shown.lower()
    browser.back()
    browser.back()
    assert browser.current_url.rstrip("/") == pages


def test_pages_ask_nobody_else_and_run_no_script(pages: str, browser: webdriver.Chrome) -> None:
    """A page that calls home, or that a sample can make run code, has no place over unpublished data."""
    browser.get(pages)
    follow(browser, "/stage/unified/alpha")
    follow(browser, "/s/alpha-")
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert all(address.startswith(pages) for address in asked)
    assert browser.find_elements(By.TAG_NAME, "script") == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_from_a_red_check_to_a_failing_sample_in_two_clicks_and_from_there_to_its_runs(
    red: tuple[str, str, str], browser: webdriver.Chrome
) -> None:
    """Whoever doubts a check must see the samples behind it, and whatever touched them, at once."""
    address, link, run_id = red
    assert link.startswith(f"{address}/check/unified/beta/long_questions")
    browser.get(link)  # the first click: Dagster shows this address beside the check
    shown = browser.find_element(By.TAG_NAME, "main").text
    assert "a question has a thousand tokens" in shown and "Which colour fills this" in shown
    cards = browser.find_elements(By.CSS_SELECTOR, "a.sample")
    assert len(cards) == 2
    pictures = browser.find_elements(By.CSS_SELECTOR, "a.sample img")
    assert all(browser.execute_script("return arguments[0].naturalWidth > 0", p) for p in pictures)
    cards[0].click()  # the second
    assert "/s/beta-" in browser.current_url
    runs = browser.find_elements(By.CSS_SELECTOR, f'a[href$="/runs/{run_id}"]')
    assert runs, "a sample leads to the runs that touched it"
    for step in browser.find_elements(By.CSS_SELECTOR, "details summary"):
        browser.execute_script("arguments[0].parentElement.open = true", step)
    text = browser.find_element(By.TAG_NAME, "main").text.lower()
    for told in ("code version", "upstream revision", "where it goes", "rows.json", "luminance"):
        assert told in text
