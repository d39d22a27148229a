"""``make dashboard`` in a real browser: from a red check to its sample and back, offline, until Ctrl-C."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

from infinity_assets.preview.app import create_app
from infinity_assets_tests.chrome import chrome
from infinity_assets_tests.dashboard.conftest import RED, ROOT
from infinity_assets_tests.processes import free_port

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None,
    reason="needs Debian's packages chromium and chromium-driver",
)

#: What a page asked for beyond this machine.
FOREIGN = """return performance.getEntriesByType('resource').map(e => e.name)
  .filter(name => !name.startsWith('http://127.0.0.1:') && !/^(data|blob):/.test(name))"""


def until(what: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := what():
                return found
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture(scope="module")
def samples(told) -> Iterator[str]:
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(create_app(told.store), host="127.0.0.1", port=port, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def dashboard(python: Path, red: tuple[Path, str], samples: str) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [python, "-m", "infinity_assets.dashboard", "--home", red[0], "--port", str(port)],
        env={**os.environ, "INFINITY_PREVIEW_URL": samples},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health").status == 200, 60)
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, "it did not stop cleanly"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chrome(1400, 1200) as driver:
        yield driver


def find(browser: webdriver.Chrome, selector: str) -> Any:
    return until(lambda: browser.find_elements(By.CSS_SELECTOR, selector))[0]


def test_from_a_red_check_to_its_sample_in_two_clicks_and_back(dashboard, samples, red, browser):
    """Lost otherwise: a dashboard that says that something is wrong, and keeps to itself what."""
    browser.get(dashboard)
    until(lambda: RED in browser.find_element(By.TAG_NAME, "body").text)
    home = browser.current_window_handle
    find(browser, f'a[href^="{samples}/stage/deduped/talks"]').click()
    browser.switch_to.window(until(lambda: [w for w in browser.window_handles if w != home])[0])
    find(browser, f'a[href*="/s/{red[1]}"]').click()
    until(lambda: red[1] in browser.find_element(By.TAG_NAME, "body").text)
    browser.close()
    browser.switch_to.window(home)
    assert RED in browser.find_element(By.TAG_NAME, "body").text
    assert browser.execute_script(FOREIGN) == []


def test_a_mark_of_a_chart_opens_its_samples_and_back_leads_here(dashboard, samples, browser):
    """Lost otherwise: bars that one can only look at."""
    browser.get(f"{dashboard}/funnel")
    mark = find(browser, '[data-testid="stVegaLiteChart"] .mark-rect path[aria-label*="kept"]')
    webdriver.ActionChains(browser).move_to_element(mark).click().perform()
    until(lambda: browser.current_url.startswith(samples))
    browser.back()
    find(browser, '[data-testid="stVegaLiteChart"] .mark-rect path[aria-label*="kept"]')
    assert browser.current_url.startswith(f"{dashboard}/funnel")
    assert browser.execute_script(FOREIGN) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_drawn_as_light_or_dark_as_the_machine_wishes(dashboard, browser, scheme):
    """Lost otherwise: dark figures on a dark ground, or a page that stays empty."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for page in ("", "health", "coverage", "licences"):
        browser.get(f"{dashboard}/{page}")
        find(browser, '[data-testid="stVegaLiteChart"] path[aria-label]')
        pixels = np.asarray(Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("L"))
        ground = float(np.median(pixels))
        assert ground > 200 if scheme == "light" else ground < 60
        assert len(np.unique(pixels)) > 20


def test_nobody_elsewhere_reaches_it(dashboard):
    """Lost otherwise: figures of private data for everyone on the network."""
    port = int(dashboard.rsplit(":", 1)[1])
    listening = (
        Path("/proc/net/tcp").read_text().splitlines() + Path("/proc/net/tcp6").read_text().splitlines()
    )
    heard = {line.split()[1] for line in listening if f":{port:04X} " in line and line.split()[3] == "0A"}
    assert heard == {f"0100007F:{port:04X}"}
