"""The snapshot that a page shows: looked up each time, so that a new one appears by itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from infinity_assets.marts.links import Addresses
from infinity_assets.marts.published import Snapshot, current_snapshot
from infinity_assets.marts.reader import Marts

HOME = "INFINITY_HOME"
PREVIEW = "INFINITY_PREVIEW_URL"


@dataclass(frozen=True, slots=True)
class View:
    """What every page is drawn from."""

    home: Path
    snapshot: Snapshot
    marts: Marts
    link: Addresses
    sources: tuple[str, ...]  #: that were chosen; none are all

    @property
    def only(self) -> str | None:
        """The source, where one alone was chosen: addresses of samples name one or none."""
        return self.sources[0] if len(self.sources) == 1 else None


def open_snapshot() -> View | None:
    """The current snapshot and the sources that the sidebar names; None, and what to do, before the first."""
    home = Path(os.environ[HOME])
    snapshot = current_snapshot(home)
    if snapshot is None:
        st.title("There is no snapshot yet")
        st.text(f"Nothing was found under {home / 'quality'}. Run this, then load the page again:")
        st.code(f"infinity quality --home {home} --catalogue ...", language=None)
        return None
    link = Addresses(os.environ.get(PREVIEW, "http://127.0.0.1:3001"))
    marts = marts_of(str(snapshot.folder))
    known = marts.select("select source from sources order by source", of=["sources"])["source"].to_list()
    with st.sidebar:
        chosen = st.multiselect(
            "Sources", known, key="source", placeholder="all sources", bind="query-params"
        )
        st.caption(f"Snapshot {snapshot.number} of {sum(snapshot.rows.values()):,} rows")
        st.caption(f"Samples open at {link.base}, which `make ui` serves.")
    return View(home, snapshot, marts, link, tuple(chosen))


@st.cache_resource(max_entries=4, show_spinner=False)  # type: ignore[untyped-decorator]
def marts_of(folder: str) -> Marts:
    """The reader of a snapshot, shared by all who look at it."""
    return Marts(Path(folder))


@st.cache_resource(max_entries=4, show_spinner=False)  # type: ignore[untyped-decorator]
def marts_beside(folder: str, other: str) -> Marts:
    """The reader of a snapshot with another one beside it."""
    return Marts(Path(folder), beside=Path(other))
