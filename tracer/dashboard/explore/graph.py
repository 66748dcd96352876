"""The interactive graph on a page, and its selection and threshold in the address.

An address holds ids and numbers only, never names or labels, and each of them is checked: whoever
sends a link could otherwise write on the page of whoever opens it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

import streamlit as st
from streamlit.components.v2 import component

from tracer.dashboard.dashboard import put_in_address
from tracer.dashboard.opening import Shown
from tracer.report.render import graph_module, graph_style

MOST_SELECTED = 20
"""Ids that an address holds."""
_SEPARATOR = "."
_LONGEST = 2000
KEY = "graph"
SELECTED, THRESHOLD = "sel", "t"
"""In the address."""
_SELECTION, _HEARD, _SUBJECT = "explore selection", "explore heard", "explore subject"
_OURS = "explore ours"
"""Whether the selection was made here, so that the view has to be told of it."""


def selection_text(ids: Iterable[str]) -> str:
    """The first ids, joined."""
    return _SEPARATOR.join([*ids][:MOST_SELECTED])


def selection_ids(text: str) -> tuple[str, ...]:
    """The ids in an address, unchecked; the graph says which of them there are."""
    return tuple(filter(None, text[:_LONGEST].split(_SEPARATOR)))[:MOST_SELECTED]


def share_of(text: str, default: float) -> float:
    """A share from 0 to 1; whatever is none gives the default."""
    try:
        share = float(text[:20])
    except ValueError:
        return default
    return share if math.isfinite(share) and 0 <= share <= 1 else default


def selection(shown: Shown) -> tuple[str, ...]:
    """The selected ids that the graph has."""
    return shown.index.known(st.session_state.get(_SELECTION, ()))


def select(ids: Iterable[str]) -> None:
    """Select from Python; for callbacks, which come before the page is drawn."""
    chosen = list(ids)
    st.session_state[KEY] = {"selected": chosen, "threshold": _told().get("threshold")}
    st.session_state[_SELECTION] = st.session_state[_HEARD] = chosen
    st.session_state[_OURS] = True


def take_up_address(subject: tuple[str, ...]) -> None:
    """Begin with what the address says; a graph that was not shown before has nothing selected."""
    before = st.session_state.get(_SUBJECT)
    if before == subject:
        return
    st.session_state[_SUBJECT] = subject
    ids = selection_ids(st.query_params.get(SELECTED, "")) if before is None else ()
    st.session_state[_SELECTION] = list(ids)
    st.session_state[_OURS] = True


def graph_panel(shown: Shown) -> None:
    """Draw the graph, and write what is selected into the address."""
    _listen()
    told, chosen = _told(), list(selection(shown))
    threshold = share_of(st.query_params.get(THRESHOLD, ""), 1.0)
    view = component("tracer_graph", css=graph_style(), js=graph_module())
    view(
        key=KEY,
        data={
            "hash": shown.data["hash"],
            "graph": shown.text,
            "selected": chosen if st.session_state[_OURS] else None,
            "threshold": threshold if told.get("threshold") is None else None,
        },
        on_selected_change=_nothing,
        on_threshold_change=_nothing,
    )
    put_in_address(SELECTED, selection_text(chosen))


def _listen() -> None:
    told = _told()
    ids, share = told.get("selected"), told.get("threshold")
    if ids is not None and ids != st.session_state.get(_HEARD):
        found = cast(list[object], ids) if isinstance(ids, list) else []
        st.session_state[_SELECTION] = [each for each in found if isinstance(each, str)]
        st.session_state[_HEARD] = ids
        st.session_state[_OURS] = False
    if share is not None:
        put_in_address(THRESHOLD, f"{share_of(str(share), 1.0):g}")


def _nothing() -> None:
    """A state has a callback, or the component may not set it; the page is drawn anew anyway."""


def _told() -> Mapping[str, Any]:
    state = st.session_state.get(KEY)
    return cast(Mapping[str, Any], state) if state else {}
