"""Guide: how to read a verdict and a graph."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from tracer.dashboard.dashboard import Dashboard

TEXT = Path(__file__).parent / "guide.md"


def render(dashboard: Dashboard) -> None:
    """Draw the page; its text is the package's own."""
    st.title("Guide")
    with st.container(width=860):
        st.markdown(TEXT.read_text(encoding="utf-8"))
