"""The root of the dashboard: the pages, their addresses, and the drawing of one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import streamlit as st
from streamlit.navigation.page import Page

from tracer.dashboard import guide
from tracer.dashboard.author import author_page
from tracer.dashboard.compare import compare_page
from tracer.dashboard.dashboard import STYLE, Dashboard, PageName, plain
from tracer.dashboard.explore import explore_page
from tracer.dashboard.intervene import intervene_page
from tracer.dashboard.places import places
from tracer.dashboard.runs import run_page, runs_page
from tracer.errors import TracerError


class Slot(NamedTuple):
    """One page of the navigation."""

    name: PageName
    title: str
    render: Callable[[Dashboard], None]


SLOTS = (
    Slot("runs", "Runs", runs_page.render),
    Slot("run", "Run", run_page.render),
    Slot("explore", "Explore", explore_page.render),
    Slot("intervene", "Intervene", intervene_page.render),
    Slot("compare", "Compare", compare_page.render),
    Slot("author", "Author", author_page.render),
    Slot("guide", "Guide", guide.render),
)
"""In the order of the navigation; the first is the front page.

They have no icons: a page's icon becomes the browser tab's, which Streamlit fetches from another
host.
"""


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="tracer", page_icon="🔬", layout="wide")
    st.html(STYLE)
    pages: dict[PageName, Page] = {}
    front = SLOTS[0]
    for slot in SLOTS:
        pages[slot.name] = st.Page(
            _drawing(slot, pages),
            title=slot.title,
            url_path="front" if slot is front else slot.name,
            default=slot is front,
        )
    # The front page's address is the root; who writes its name finds it all the same.
    named = st.Page(
        _drawing(front, pages), title=front.title, url_path=front.name, visibility="hidden"
    )
    st.navigation([*pages.values(), named], position="top").run()


def _drawing(slot: Slot, pages: Mapping[PageName, Page]) -> Callable[[], None]:
    def draw() -> None:
        try:
            slot.render(Dashboard(places(), pages))
        except (TracerError, OSError) as error:
            st.error(plain(str(error)))

    return draw
