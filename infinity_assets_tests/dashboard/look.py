"""Draws pages without a browser and says what is on them, as JSON; run in the dashboard's environment.

``python -m infinity_assets_tests.dashboard.look PAGE... [name=value]``, with ``INFINITY_HOME`` set.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from streamlit.testing.v1 import AppTest


def draw(path: str) -> None:
    """What AppTest runs: it cannot follow a menu of functions."""
    from infinity_assets.dashboard.opened import open_snapshot
    from infinity_assets.dashboard.topics import menu

    view = open_snapshot()
    if view is not None:
        next(page for name, _, page in menu(view) if name == path)()


def look(path: str, query: dict[str, str]) -> dict[str, Any]:
    """Everything that the page shows, by what Streamlit makes of it."""
    app = AppTest.from_function(draw, default_timeout=60, args=(path,))
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    return {
        "errors": [e.message for e in app.exception],
        "titles": [e.value for e in app.title],
        "texts": [e.value for e in app.text],
        "markup": [e.value for kind in ("markdown", "caption", "header", "subheader") for e in app.get(kind)],
        "figures": {e.label: e.value for e in app.metric},
        "tables": [json.loads(e.value.to_json(orient="records")) for e in app.dataframe],
        "links": [e.proto.url for e in app.get("link_button")],
        "charts": [json.loads(e.proto.spec) for e in app.get("vega_lite_chart")],
    }


def main() -> None:
    """Print one object for each page."""
    query = dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
    pages = [argument for argument in sys.argv[1:] if "=" not in argument]
    print("\n" + json.dumps({path: look(path, query) for path in pages}))


if __name__ == "__main__":
    main()
