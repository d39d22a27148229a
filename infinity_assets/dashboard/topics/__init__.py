"""The pages: each draws a few figures of :mod:`infinity_assets.marts.figures` and decides nothing.

The folder is not called ``pages``: Streamlit would serve its modules as pages of their own, empty ones, to
whoever comes first and by an address such as ``/versions``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from infinity_assets.dashboard.opened import View
from infinity_assets.dashboard.topics import balance, checks, flow, trust, versions

Draw = Callable[[View], None]

#: Path, title and function; the first is where one arrives.
PAGES: tuple[tuple[str, str, Draw], ...] = (
    ("checks", "Checks", checks.checks),
    ("health", "Health", flow.health),
    ("funnel", "Funnel", flow.funnel),
    ("distributions", "Distributions", flow.distributions),
    ("coverage", "Coverage", balance.coverage),
    ("drift", "Drift", trust.drift),
    ("contamination", "Contamination", trust.contamination),
    ("mixes", "Mixes", balance.mixes),
    ("cost", "Cost", balance.cost),
    ("licences", "Licences", trust.licences),
    ("versions", "Versions", versions.versions),
)


def menu(view: View) -> list[tuple[str, str, Callable[[], None]]]:
    """Every page of a view."""
    return [(path, title, partial(draw, view)) for path, title, draw in PAGES]
