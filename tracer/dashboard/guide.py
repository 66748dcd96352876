"""The page Guide: how to read a verdict and a graph; its example is the report's own drawing."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from tracer.dashboard.dashboard import Dashboard
from tracer.report.circuit_diagram import LEFT, PLOT, RIGHT, WIDTH, Box, CircuitDrawing, LayerTick
from tracer.report.render import circuit_picture
from tracer.report.text import text_width
from tracer.report.token_row import token_row

_TOKENS = ("Fact:", " the", " capital", " of", " the", " state", " containing", " Dallas", " is")
_CITY, _LAST = 7, 8


def example() -> str:
    """Texas ablated, California put in from another prompt, and what says Austin nearly off."""
    columns = {_CITY: 130.0, _LAST: 130.0}
    chips, middles = token_row(_TOKENS, {_CITY}, columns, left=LEFT, right=WIDTH - RIGHT)
    city, last = middles[_CITY], middles[_LAST]
    return circuit_picture(
        CircuitDrawing(
            width=WIDTH,
            top=-16.0,
            height=PLOT + 62,
            tokens_y=PLOT + 14,
            description="An example: Texas ×0, California ×1 of its source, say Austin at 12 %.",
            boxes=(
                _box("Texas", city, 150.0, "0 %", "ghost", pill="×0"),
                _box("California", city, 80.0, "100 %", "injected", pill="×1"),
                _box("say Austin", last, 10.0, "12 %", "ghost"),
                _box("say a capital", last, 80.0, "97 %"),
                _box("Germany", LEFT, 110.0, "?", "unknown"),
            ),
            tokens=chips,
            ticks=(
                LayerTick(PLOT - 24, "L0"),
                LayerTick(PLOT / 2 - 7, "L9"),
                LayerTick(10.0, "L17"),
            ),
        )
    )


def _box(
    label: str, x: float, y: float, percent: str, kind: str = "", pill: str | None = None
) -> Box:
    width = text_width(label, 13.5) + (70 if kind == "injected" else 40)
    left = min(max(x - width / 2, LEFT), WIDTH - RIGHT - width)
    return Box(
        label=label,
        members="40 features",
        percent=percent,
        percent_width=text_width(percent, 11.5) + 10,
        of_source=kind == "injected",
        pill=pill,
        pill_width=text_width(pill or "", 12.0) + 14,
        ghost=kind == "ghost",
        injected=kind == "injected",
        unknown=kind == "unknown",
        title=label,
        x=left,
        y=y,
        width=width,
        home_x=x,
        home_y=y + 21,
    )


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
