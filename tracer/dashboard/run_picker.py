"""Which run and which of its prompts a page is about, as the address says."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from tracer.dashboard.dashboard import Dashboard
from tracer.dashboard.markdown import plain
from tracer.dashboard.opening import entries, opened
from tracer.record import Record
from tracer.result import Run

RUN = "run"
PROMPT = "prompt"


def picked_run(dashboard: Dashboard) -> Run | None:
    """The run; where there is none to show, the page says so."""
    known = entries(dashboard.places.reports)
    if not known:
        st.markdown("There are no runs yet. Make one:")
        st.code("tracer run hypotheses/two_hop.yaml", language="sh")
        return None
    chosen = _chosen("Run", RUN, list(known))
    found = opened(dashboard.places.reports, known[chosen])
    if isinstance(found, str):
        st.warning(plain(found))
        return None
    return found


def picked_prompt(record: Record, names: Sequence[str]) -> str:
    """One of these prompts."""
    # The address holds what the list shows, so names stand in it as they are.
    name = _chosen("Prompt", PROMPT, names)
    st.sidebar.markdown("held out" if record.prompts[name].held_out else "discovery")
    return name


def _chosen(label: str, key: str, names: Sequence[str]) -> str:
    """One of these; a page that is come to without an address goes on with what was chosen last."""
    last = f"last {key}"
    before = st.session_state.get(last)
    if key not in st.session_state and key not in st.query_params and before in names:
        st.session_state[key] = before
    chosen = st.sidebar.selectbox(label, list(names), key=key, bind="query-params")
    st.session_state[last] = chosen
    return chosen
