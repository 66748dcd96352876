"""The interactive graph on a page: the report's own view, its selection told to Python and back.

The browser keeps what is hovered, zoomed and searched; ids that were selected and the threshold
come here, and are looked up in the graph before anything is done with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import streamlit as st

from tracer.dashboard.graph_store import Shown
from tracer.explore.address import selection_ids, selection_text, share_of
from tracer.report.graph_script import graph_module, graph_style

KEY = "graph"
SELECTED = "sel"
THRESHOLD = "t"
_SELECTION = "explore selection"
_SUBJECT = "explore subject"


def selection(shown: Shown) -> tuple[str, ...]:
    """The selected ids that the graph has."""
    return shown.index.known(st.session_state.get(_SELECTION, ()))


def select(ids: Iterable[str]) -> None:
    """Select from Python; for callbacks, which come before the page is drawn."""
    chosen = list(ids)
    st.session_state[_SELECTION] = chosen
    told = _told()
    st.session_state[KEY] = {"selected": chosen, "threshold": told.get("threshold")}


def take_up_address(subject: tuple[str, ...]) -> None:
    """Begin with what the address says; a graph that was not shown before has nothing selected."""
    before = st.session_state.get(_SUBJECT)
    if before == subject:
        return
    st.session_state[_SUBJECT] = subject
    ids = selection_ids(st.query_params.get(SELECTED, "")) if before is None else ()
    st.session_state[_SELECTION] = list(ids)


def graph_panel(shown: Shown) -> None:
    """Draw the graph, and write what is selected into the address."""
    told, chosen = _told(), list(selection(shown))
    threshold = share_of(st.query_params.get(THRESHOLD, ""), 1.0)
    component = st.components.v2.component("tracer_graph", css=graph_style(), js=graph_module())
    component(
        key=KEY,
        data={
            "graph": shown.data,
            "selected": None if told.get("selected") == chosen and not _new() else chosen,
            "threshold": threshold if told.get("threshold") is None else None,
        },
        on_selected_change=_take_selection,
        on_threshold_change=_take_threshold,
    )
    _write(SELECTED, selection_text(chosen))


def _new() -> bool:
    """Whether the view is mounted for the first time on this visit of the page."""
    return False


def _take_selection() -> None:
    ids = _told().get("selected")
    found = cast(list[object], ids) if isinstance(ids, list) else []
    st.session_state[_SELECTION] = [each for each in found if isinstance(each, str)]


def _take_threshold() -> None:
    share = share_of(str(_told().get("threshold")), 1.0)
    _write(THRESHOLD, "" if share == 1 else f"{share:g}")


def _told() -> Mapping[str, Any]:
    """What the browser said last."""
    state = st.session_state.get(KEY)
    return cast(Mapping[str, Any], state) if state else {}


def _write(name: str, text: str) -> None:
    if text:
        st.query_params[name] = text
    elif name in st.query_params:
        del st.query_params[name]
