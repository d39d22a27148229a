"""The sample pages in a real browser: clicked through as a researcher would, offline."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from infinity_assets.definitions import platform_defs
from infinity_assets.preview.app import create_app
from infinity_assets_tests.orchestration.small import small_platform

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None,
    reason="needs Debian's packages chromium and chromium-driver",
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    platform = small_platform(tmp_path_factory.mktemp("pages"))
    definitions = platform_defs(platform)
    for name in ("alpha", "beta"):
        assert definitions.resolve_job_def("source_pipeline").execute_in_process(partition_key=name).success
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = create_app(platform.store)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--window-size=1200,1000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


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
