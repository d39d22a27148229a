"""The pages that a dashboard is expected to have, by their addresses; the first is where one arrives."""

from typing import Final

PAGES: Final = (
    "checks",
    "health",
    "funnel",
    "distributions",
    "coverage",
    "drift",
    "contamination",
    "mixes",
    "cost",
    "licences",
    "versions",
)
