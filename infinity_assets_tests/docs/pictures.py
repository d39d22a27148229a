"""Take the pictures of the documentation again, from running servers over the demo.

Run ``make demo`` and ``make ui``, then ``python -m infinity_assets_tests.docs.pictures``. Needs Debian's
``chromium`` and ``chromium-driver``.
"""

from __future__ import annotations

import argparse
import io
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
LISTING = "/stage/filtered/demo_scenes_llava?verdict=drop&reason=repeated_text"  #: its first sample is shown


@contextmanager
def browser(width: int, height: int) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.add_argument(f"--window-size={width},{height}")
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield driver
    finally:
        driver.quit()


def save(picture: bytes, name: str) -> None:
    """A screenshot in 256 colours: a third of the bytes, and nothing that one would see."""
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(256).save(IMAGES / name, optimize=True)


def asset_graph(dagster: str) -> None:
    with browser(2300, 1300) as driver:
        driver.get(f"{dagster}/asset-groups")
        text = "return document.body.innerText"
        WebDriverWait(driver, 90).until(lambda d: "s6_export" in d.execute_script(text))
        time.sleep(5)  # the graph is laid out in a worker of the page's own
        for link in driver.find_elements(By.CSS_SELECTOR, "button, a, [role=button]"):
            if link.text.strip() == "Hide navigation":
                link.click()
                break
        time.sleep(2)
        ActionChains(driver).key_down(Keys.ALT).send_keys("e").key_up(Keys.ALT).perform()  # expand all groups
        time.sleep(15)
        save(driver.get_screenshot_as_png(), "asset_graph.png")


def sample_page(samples: str) -> None:
    page = urllib.request.urlopen(samples + LISTING).read().decode()
    sample_id = re.findall(r"/s/([a-z0-9_]+-[0-9a-f]{32})", page)[0]
    with browser(1200, 1050) as driver:
        driver.get(f"{samples}/s/{sample_id}")
        time.sleep(3)
        save(driver.get_screenshot_as_png(), "sample_page.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Take the pictures of the documentation again.")
    parser.add_argument("--dagster", default="http://127.0.0.1:3000")
    parser.add_argument("--samples", default="http://127.0.0.1:3001")
    arguments = parser.parse_args()
    asset_graph(arguments.dagster)
    sample_page(arguments.samples)
