"""Draws every page of the dashboard over the snapshot in ``INFINITY_HOME``, as a server would; times each.

Run by :mod:`benchmarks.quality_marts` in the environment that has Streamlit. The first page is drawn once
before, as for a server's first visitor; what a browser adds is not in it.
"""

from __future__ import annotations

import json
import time

from streamlit.testing.v1 import AppTest

from infinity_assets.dashboard.topics import PAGES


def draw(path: str) -> None:
    """What AppTest runs: one page of the menu."""
    from infinity_assets.dashboard.opened import open_snapshot  # noqa: PLC0415  (AppTest runs the body alone)
    from infinity_assets.dashboard.topics import menu  # noqa: PLC0415

    view = open_snapshot()
    assert view is not None
    next(page for name, _, page in menu(view) if name == path)()


def main() -> None:
    """Print seconds by page."""
    seconds = {}
    for path in (PAGES[0][0], *(path for path, _, _ in PAGES)):
        began = time.perf_counter()
        app = AppTest.from_function(draw, default_timeout=120, args=(path,)).run()
        if app.exception:
            raise RuntimeError(f"{path}: {app.exception[0].message}")
        seconds[path] = round(time.perf_counter() - began, 2)
    print("\n" + json.dumps(seconds))


if __name__ == "__main__":
    main()
