"""The frame around the pages: their list, their addresses, and which of them is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import streamlit as st
from streamlit.navigation.page import Page

from tracer.dashboard import runs_page
from tracer.dashboard.dashboard import Dashboard, PageName
from tracer.dashboard.places import places


class Slot(NamedTuple):
    """One page of the navigation."""

    name: PageName
    title: str
    icon: str
    render: Callable[[Dashboard], None]


SLOTS = (Slot("runs", "Runs", ":material/list_alt:", runs_page.render),)
"""In the order of the navigation; the first is the front page."""


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="tracer", layout="wide")
    pages: dict[PageName, Page] = {}
    for slot in SLOTS:
        pages[slot.name] = st.Page(
            _drawing(slot, pages),
            title=slot.title,
            icon=slot.icon,
            url_path=slot.name,
            default=slot is SLOTS[0],
        )
    st.navigation(list(pages.values())).run()


def _drawing(slot: Slot, pages: Mapping[PageName, Page]) -> Callable[[], None]:
    return lambda: slot.render(Dashboard(places(), pages))
