"""Views of one page, of which one is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st


def chosen_view(names: Sequence[str], key: str) -> str:
    """Buttons, one to a view; the first is drawn until another is chosen, which links keep."""
    chosen = st.segmented_control(
        "Show",
        names,
        default=names[0],
        required=True,
        key=key,
        bind="query-params",
        label_visibility="collapsed",
    )
    return chosen or names[0]
