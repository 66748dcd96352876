"""Explore: a run's attribution graph, what is selected in it, and supernodes made of that."""

from __future__ import annotations

import streamlit as st

from tracer.dashboard.dashboard import Dashboard
from tracer.dashboard.feature_panel import feature_panel
from tracer.dashboard.graph_panel import graph_panel, selection, take_up_address
from tracer.dashboard.graph_store import Shown, shown, stored
from tracer.dashboard.group_panel import group_panel
from tracer.dashboard.hand_groups import hand_groups
from tracer.dashboard.keep_panel import keep_panel
from tracer.dashboard.markdown import plain
from tracer.dashboard.node_tables import links_table, nodes_table
from tracer.dashboard.run_picker import PROMPT, RUN, picked_prompt, picked_run
from tracer.explore.toward import Asked, choices
from tracer.graph.nodes import Logit
from tracer.report.text import MINUS, show_token
from tracer.result import Run

ASKED = "ask"
EXPLAINS = "explains"
"""In the address."""


def render(dashboard: Dashboard) -> None:
    """Draw the page."""
    st.title("Explore")
    run = picked_run(dashboard)
    if run is None:
        return
    if not run.record.graphs:
        st.markdown("This run has no attribution graph. Ask for one in the hypothesis, and run it:")
        st.code("graph:\n  prompts: [a_prompt]\n  toward: salient", language="yaml")
        return
    prompt = picked_prompt(run.record, list(run.record.graphs))
    asked = _asked(stored(run, prompt).nodes.logits)
    take_up_address((run.record.id, prompt, str(asked)))
    _graph(dashboard, run, prompt, asked)


def _asked(logits: tuple[Logit, ...]) -> Asked:
    """Which output influence is counted from."""
    found = choices(logits)
    names = [_words(each, logits) for each in found]
    if len(found) == 1:
        return found[0]
    codes = [_code(each) for each in found]
    wanted = st.query_params.get(EXPLAINS, "")
    first = codes.index(wanted) if wanted in codes else 0
    chosen = st.sidebar.selectbox("Explains", names, first, key=ASKED)
    place = names.index(chosen)
    if place:
        st.query_params[EXPLAINS] = codes[place]
    elif EXPLAINS in st.query_params:
        del st.query_params[EXPLAINS]
    return found[place]


def _code(asked: Asked) -> str:
    """As the address has it: numbers of outputs, never their text."""
    return "-".join(str(each) for each in (asked.logit, asked.less) if each is not None)


def _words(asked: Asked, logits: tuple[Logit, ...]) -> str:
    if asked.logit is None:
        return "all outputs"
    first = f"{asked.logit}: {show_token(logits[asked.logit].label)}"
    return (
        first if asked.less is None else f"{first} {MINUS} {show_token(logits[asked.less].label)}"
    )


@st.fragment
def _graph(dashboard: Dashboard, run: Run, prompt: str, asked: Asked) -> None:
    """The graph and all that follows the selection; nothing else is drawn anew with it."""
    found = shown(run, prompt, asked, hand_groups(run.record.id, prompt))
    if found.data["cut"]:
        st.markdown(plain(found.data["cut"]))
    graph_panel(found)
    chosen = selection(found)
    left, right = st.columns(2)
    with left:
        group_panel(run.record, prompt, found, chosen)
        keep_panel(dashboard, run.record, prompt, found)
        if "intervene" in dashboard.pages:
            query = {RUN: run.record.id, PROMPT: prompt}
            st.page_link(
                dashboard.pages["intervene"], label="Clamp them in Intervene", query_params=query
            )
    with right:
        _card(run, prompt, found, chosen)
    nodes_table(found, hand_groups(run.record.id, prompt), chosen)


def _card(run: Run, prompt: str, found: Shown, chosen: tuple[str, ...]) -> None:
    if not chosen:
        st.header("Selected node")
        st.markdown(
            "Nothing is selected. Click a node, drag a box, or focus the graph and use the arrow "
            "keys and Enter; the table below does the same."
        )
        return
    name = chosen[-1]
    node = found.index.node(name)
    st.header(plain(node.label))
    if len(chosen) > 1:
        st.markdown(f"The last of {len(chosen)} selected.")
    if node.kind == "feature":
        feature_panel(run, prompt, found, name)
    links_table(found, name)
