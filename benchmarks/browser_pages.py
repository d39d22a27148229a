"""How long pages take in a real browser, from the click until they are drawn, over 200,000 simulated samples.

Run: ``python -m benchmarks.browser_pages [--rows N] [--shots FOLDER]``. Needs Debian's ``chromium`` and
``chromium-driver``, and for the dashboard ``make quality``. The samples of :mod:`benchmarks.explorer` lie in
ten sources and are served by the pages of samples; the snapshot of :mod:`benchmarks.quality_marts` has as
many in a hundred, and is served by the dashboard. Each page is opened once for a first visitor and then twice
more; a page of the dashboard is there when Streamlit has stopped running and each chart that it sent has
marks. Beside them stands an empty page of the same browser. No page may ask another machine for anything.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn
from selenium import webdriver

from benchmarks import explorer, quality_marts
from benchmarks._common import REPOSITORY, report
from infinity_assets.marts.dbt import build_marts
from infinity_assets.preview.app import create_app
from infinity_assets.store.tables import Store
from infinity_assets_tests.chrome import chrome
from infinity_assets_tests.dashboard.addresses import PAGES
from infinity_assets_tests.processes import free_port

TARGET_S: Final = 3.0
TARGET_SAMPLES: Final = 200_000
SOURCES: Final = 10  #: of the pages of samples
LOOKS: Final = 3
#: Cards are there, and every picture that is to be seen was answered.
CARDS: Final = "return document.readyState === 'complete' && document.querySelector('.sample, main') !== null"
#: Streamlit says what it does; charts are drawn after it has done it.
DRAWN: Final = """
const app = document.querySelector('[data-testid="stApp"]');
if (!app || app.dataset.testScriptState !== 'notRunning' || !document.querySelector('h1')) return false;
return [...document.querySelectorAll('[data-testid="stVegaLiteChart"]')]
  .every(chart => chart.querySelector('path[aria-label], canvas') !== null);"""
FOREIGN: Final = """return performance.getEntriesByType('resource').map(e => e.name)
  .filter(name => !name.startsWith('http://127.0.0.1:') && !/^(data|blob):/.test(name))"""


def main() -> None:
    """Print what is built, then, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=TARGET_SAMPLES, help="samples")
    parser.add_argument("--shots", type=Path, help="folder for a screenshot of each page, light and dark")
    args = parser.parse_args()
    if args.shots:
        args.shots.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {"samples": args.rows}
    with tempfile.TemporaryDirectory() as folder, chrome(1400, 1100) as browser:
        figures["empty_page_s"] = opened(browser, "about:blank", "return true")
        with sample_pages(Path(folder), args.rows) as (base, views):
            shown = {name: f"{base}{address}" for name, address in views.items()}
            figures |= look(browser, shown, CARDS, "explorer", args.shots)
        if quality_marts.DASHBOARD.exists():
            with dashboard(Path(folder) / "home", args.rows) as base:
                shown = {name: f"{base}/{name if name != PAGES[0] else ''}" for name in PAGES}
                figures |= look(browser, shown, DRAWN, "dashboard", args.shots)
    slowest = max(max(figures[part].values()) for part in ("explorer_s", "dashboard_s") if part in figures)
    figures["slowest_s"] = slowest
    why = "" if args.rows >= TARGET_SAMPLES else f"the target is for {TARGET_SAMPLES:,} samples"
    if "dashboard_s" not in figures:
        why = "the dashboard's environment is missing: make quality"
    target = (
        f"every page drawn within {TARGET_S:.0f} s at {TARGET_SAMPLES:,} samples, nothing asked elsewhere"
    )
    report("browser_pages", figures, target, None if why else slowest < TARGET_S, why)


def look(
    browser: webdriver.Chrome, addresses: dict[str, str], there: str, part: str, shots: Path | None
) -> dict[str, dict[str, float]]:
    """Seconds of each page: the first visit of all, and the median of the others."""
    first, seconds = {}, {}
    for name, address in addresses.items():
        took = [opened(browser, address, there) for _ in range(LOOKS)]
        first[name], seconds[name] = took[0], statistics.median(took[1:])
        if foreign := browser.execute_script(FOREIGN):
            raise RuntimeError(f"{address} asked another machine: {foreign}")
        if shots:
            save(browser, shots / f"{part}_{name}")
    return {f"{part}_first_s": first, f"{part}_s": seconds}


def opened(browser: webdriver.Chrome, address: str, there: str, limit: float = 60) -> float:
    """Seconds until a page is there.

    Raises:
        RuntimeError: if it is not.
    """
    browser.get("about:blank")
    began = time.perf_counter()
    browser.get(address)
    while time.perf_counter() - began < limit:
        if browser.execute_script(there):
            return round(time.perf_counter() - began, 2)
        time.sleep(0.02)
    raise RuntimeError(f"{address} was not drawn within {limit:.0f} s")


def save(browser: webdriver.Chrome, path: Path) -> None:
    """A screenshot as a machine that wishes it light, and one that wishes it dark, would show it."""
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        time.sleep(1)
        browser.save_screenshot(f"{path}_{scheme}.png")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@contextmanager
def sample_pages(folder: Path, rows: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Where the pages of samples are served once all are indexed, and the addresses that are asked for."""
    store = Store(folder / "store")
    names = [f"source_{i:03d}" for i in range(SOURCES)]
    ids = [explorer.build(store, name, rows // SOURCES, seed) for seed, name in enumerate(names)]
    app = create_app(store, index=folder / "index")
    app.state.samples.refresh()
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{port}"
    try:
        wait(f"{base}/explore")
        views = {"start": "/", **explorer.views(names, ids), "sample": f"/s/{ids[0][3]}"}
        print(f"{rows:,} samples are served", flush=True)
        yield base, views
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def dashboard(home: Path, rows: int) -> Iterator[str]:
    """Where the dashboard is served, over a snapshot of so many samples and one before it."""
    folder = home / "quality" / "000002-simulated"
    folder.mkdir(parents=True)
    quality_marts.simulate(folder, rows)
    build_marts(None, folder, 2, os.cpu_count() or 1)
    before = folder.with_name("000001-simulated")
    shutil.copytree(folder, before, copy_function=os.link)
    for number, one in enumerate((before, folder), 1):
        told = {"number": number, "id": f"{number}", "rows": {"unified": rows}}
        (one / "snapshot.json").write_text(json.dumps(told), "utf-8")
    (home / "quality" / "current").write_text(folder.name, "utf-8")
    port = free_port()
    process = subprocess.Popen(
        [quality_marts.DASHBOARD, "-m", "infinity_assets.dashboard", "--home", home, "--port", str(port)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait(f"http://127.0.0.1:{port}/_stcore/health")
        print(f"a snapshot of {rows:,} samples is served", flush=True)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def wait(address: str, limit: float = 60) -> None:
    """Until a server answers."""
    deadline = time.monotonic() + limit
    while True:
        try:
            urllib.request.urlopen(address).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main()
