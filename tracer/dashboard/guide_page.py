"""Guide: how to read a verdict and a graph."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from tracer.dashboard.dashboard import Dashboard
from tracer.dashboard.guide_picture import example

TEXT = Path(__file__).parent / "guide.md"
_AFTER_PICTURE = "## A graph"


def render(dashboard: Dashboard) -> None:
    """Draw the page; its text is the package's own."""
    st.title("Guide")
    before, heading, after = TEXT.read_text(encoding="utf-8").partition(_AFTER_PICTURE)
    with st.container(width=860):
        st.markdown(before)
        st.image(example(), width="stretch", alt="Example of a circuit; its signs stand above")
        st.markdown(heading + after)
