"""From Dagster's own page of a red check to its samples and their run, in a real browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from infinity_assets.definitions import platform_defs
from infinity_assets.orchestration.instance import instance_folder, open_instance
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
LOCATION = """
from pathlib import Path
from infinity_assets.quality import contract
contract.FOLDER = Path({folder!r})
from infinity_assets.definitions import defs
"""


@dataclass(frozen=True)
class Servers:
    dagster: str
    pages: str
    run_id: str


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Dagster's webserver and the sample pages over a store with a red check."""
    folder = tmp_path_factory.mktemp("red")
    contracts = shutil.copytree(contract.FOLDER, folder / "contracts")
    unified = contracts / "unified.yaml"
    unified.write_text(unified.read_text().replace("drift:", PROMISE))
    (folder / "location.py").write_text(LOCATION.format(folder=str(contracts)))
    dagster, pages = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    small = small_platform(folder)
    platform = Platform(small.settings.model_copy(update={"preview_url": pages, "dagster_url": dagster}))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(contract, "FOLDER", contracts)
        contract.load_contract.cache_clear()
        pipeline = platform_defs(platform).resolve_job_def("source_pipeline")
        with open_instance(platform.settings.home) as instance:
            for name in ("alpha", "beta"):
                result = pipeline.execute_in_process(partition_key=name, instance=instance)
                assert result.success
    contract.load_contract.cache_clear()
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(instance_folder(platform.settings.home)),
        "INFINITY_HOME": str(platform.settings.home),
        "INFINITY_CATALOGUE": str(platform.settings.catalogue),
        "INFINITY_PREVIEW_URL": pages,
    }
    command = [sys.executable, "-m", "dagster_webserver", "--read-only", "-f", str(folder / "location.py")]
    process = subprocess.Popen(
        [*command, "-h", "127.0.0.1", "-p", dagster.rsplit(":", 1)[1]],
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    app = create_app(platform.store, dagster=dagster, index=folder / "index")
    port = int(pages.rsplit(":", 1)[1])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        for _ in range(240):
            assert process.poll() is None, "Dagster's webserver ended by itself"
            try:
                urllib.request.urlopen(f"{dagster}/server_info", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield Servers(dagster, pages, result.run_id)
    finally:
        process.terminate()
        process.wait(20)
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chrome(1400, 1100) as driver:
        yield driver


def link(browser: webdriver.Chrome, part: str, seconds: float = 60.0) -> str:
    """The address of the first link that has a part, once it can be seen."""
    return str(seen(browser, part, seconds).get_attribute("href"))


def seen(browser: webdriver.Chrome, part: str, seconds: float = 60.0) -> WebElement:
    """The first such link that is not folded away: opening it would be a click of its own."""

    def there(b: webdriver.Chrome) -> list[WebElement]:
        return [a for a in b.find_elements(By.CSS_SELECTOR, f'a[href*="{part}"]') if a.is_displayed()]

    return WebDriverWait(browser, seconds).until(there, f"no link to {part}")[0]


def click(browser: webdriver.Chrome, part: str) -> None:
    """Click a link, into the tab that it opens if it does."""
    before = set(browser.window_handles)
    seen(browser, part).click()
    if opened := set(browser.window_handles) - before:
        browser.switch_to.window(opened.pop())


def picture(browser: webdriver.Chrome, name: str) -> None:
    """Screenshots, light and dark, for people to look at."""
    folder = os.environ.get("SCREENSHOTS")
    for mode in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": mode}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        if folder:
            time.sleep(0.5)
            browser.save_screenshot(str(Path(folder) / f"{name}-{mode}.png"))


def test_two_clicks_from_a_red_check_in_dagster_to_a_failing_sample_and_one_back_to_its_run(
    servers: Servers, browser: webdriver.Chrome
) -> None:
    """Whoever doubts a check must see the samples behind it, and what touched them, at once."""
    browser.get(f"{servers.dagster}/assets/unified?view=checks&checkDetail=expected_values")
    assert link(browser, "/check/unified/beta/long_questions").startswith(servers.pages)
    picture(browser, "dagster-check")
    click(browser, "/check/unified/beta/long_questions")  # the first click
    cards = browser.find_elements(By.CSS_SELECTOR, "a.sample")
    assert len(cards) == 2 and "a question has a thousand tokens" in browser.page_source
    picture(browser, "check")
    click(browser, "/s/beta-")  # the second
    assert "/s/beta-" in browser.current_url
    picture(browser, "sample")
    click(browser, f"/runs/{servers.run_id}")
    WebDriverWait(browser, 60).until(lambda b: servers.run_id[:8] in b.page_source, "not the page of the run")
    assert browser.current_url.startswith(servers.dagster)


def test_an_asset_in_dagster_leads_to_its_samples_its_columns_and_the_dashboard(
    servers: Servers, browser: webdriver.Chrome
) -> None:
    """A page of figures that leads nowhere has to be believed."""
    browser.get(f"{servers.dagster}/assets/unified")
    assert link(browser, "/explore?stage=unified").startswith(servers.pages)
    assert link(browser, ":3002/funnel")
    WebDriverWait(browser, 60).until(
        lambda b: [a for a in b.find_elements(By.LINK_TEXT, "columns") if a.location["y"] < 700],
        "the links stand below the table of columns",
    )
    picture(browser, "dagster-asset")
    click(browser, "/lineage/unified")
    assert browser.find_elements(By.CSS_SELECTOR, "svg.columns path")
    click(browser, "/lineage/unified?column=licence")
    assert "unified.licence" in browser.find_element(By.TAG_NAME, "h1").text
    picture(browser, "columns")


def test_from_the_overview_through_the_explorer_to_a_sample_and_back(
    servers: Servers, browser: webdriver.Chrome
) -> None:
    """A view that cannot be left by the way one came is lost with everything that was chosen in it."""
    browser.get(servers.pages)
    click(browser, "/explore")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".sample")) == 5
    click(browser, "reason=exact_pair")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".sample")) == 1
    view = browser.current_url
    pictures = browser.find_elements(By.CSS_SELECTOR, ".sample img")
    assert all(browser.execute_script("return arguments[0].naturalWidth > 0", one) for one in pictures)
    click(browser, "near=beta-")
    assert "0 of 320 bits differ" in browser.page_source
    picture(browser, "near")
    browser.back()
    assert browser.current_url == view
    click(browser, "compare=1")
    picture(browser, "compare")
    browser.get(servers.pages + "/explore")
    box = browser.find_element(By.CSS_SELECTOR, "input[type=search]")
    box.send_keys("WHITE picture")
    box.submit()
    WebDriverWait(browser, 20).until(lambda b: "text=WHITE" in b.current_url, "no search")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".sample")) == 1
    picture(browser, "words")
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert all(address.startswith(servers.pages) for address in asked)
    assert browser.find_elements(By.TAG_NAME, "script") == []
    assert [entry for entry in browser.get_log("browser") if servers.pages in entry["message"]] == []
