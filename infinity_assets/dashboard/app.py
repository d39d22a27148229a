"""What Streamlit runs: one snapshot for one look, a menu of pages, and the sources that all of them show."""

from __future__ import annotations

import streamlit as st

from infinity_assets.dashboard import topics
from infinity_assets.dashboard.opened import open_snapshot


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="Quality · Infinity Assets", page_icon="∞", layout="wide")
    if (view := open_snapshot()) is not None:
        menu = [st.Page(draw, title=title, url_path=path) for path, title, draw in topics.menu(view)]
        st.navigation(menu).run()


main()
