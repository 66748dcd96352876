"""What every page is given: the two folders, and the other pages to link to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from streamlit.navigation.page import Page

from tracer.dashboard.places import Places

PageName = Literal["runs", "explore", "intervene", "compare", "author", "guide"]


@dataclass(frozen=True)
class Dashboard:
    """One drawing of one page."""

    places: Places
    pages: Mapping[PageName, Page]
    """By their name in the address; only those that exist."""
