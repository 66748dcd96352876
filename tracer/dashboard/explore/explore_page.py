"""The page Explore: an attribution graph, its nodes as tables, and supernodes made of them."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from tracer.dashboard.dashboard import (
    EXPLORED,
    PROMPT,
    RUN,
    START,
    Dashboard,
    author_link,
    marked_rows,
    plain,
    put_in_address,
    table,
)
from tracer.dashboard.explore.carrying_heads import ask_carrying, carrying_heads
from tracer.dashboard.explore.consensus import consensus_panel
from tracer.dashboard.explore.feature import feature_panel
from tracer.dashboard.explore.graph import graph_panel, select, selection, take_up_address
from tracer.dashboard.explore.groups import (
    Groups,
    effects_panel,
    group_panel,
    hand_groups,
    keep_panel,
)
from tracer.dashboard.explore.heads import HeadSubject, heads_panel
from tracer.dashboard.explore.nodes import (
    AskedLogits,
    Connections,
    choices,
    connections,
    search,
)
from tracer.dashboard.explore.prompt_graph import chosen_graph, draw_graph
from tracer.dashboard.model import key_of
from tracer.dashboard.opening import Shown, shown, stored
from tracer.dashboard.runs.run import picked_prompt, picked_run
from tracer.evidence.wording import MINUS
from tracer.record.graph.graph import Logit
from tracer.report.run import Run
from tracer.report.text import clean, heads_text, number, percent, signed, visible_token

MOST_ROWS = 500
EXPLAINS = "explains"
"""In the address: the logits that influence is counted from."""


def nodes_table(shown: Shown, by_hand: Groups, chosen: tuple[str, ...]) -> None:
    """Every node of the view, the most influential first; marked rows can be selected."""
    st.subheader("Nodes as a table")
    groups = {**shown.declared, **by_hand}
    text = st.text_input("Filter by token, layer, feature, supernode or id", key="filter")
    ids = search(shown.index, groups, text) if text.strip() else shown.index.ids
    ordered = sorted(ids, key=lambda name: -shown.influence[name])[:MOST_ROWS]
    if len(ordered) < len(shown.index.ids):
        st.markdown(f"{len(ordered)} of {len(shown.index.ids)} nodes")
    marked = marked_rows(
        [_node(shown, groups, name, chosen) for name in ordered],
        "Nodes of the graph, most influential first",
        key=f"nodes-{shown.data['hash']}-{text}",
        height=300,
    )
    rows = [ordered[n] for n in marked]
    label = f"Select the {len(rows)} marked"
    st.button(label, on_click=select, args=(rows,), disabled=not rows)


def _node(shown: Shown, groups: Groups, name: str, chosen: tuple[str, ...]) -> dict[str, str]:
    node = shown.index.node(name)
    return {
        "selected": "✔" if name in chosen else "",
        "node": str(clean(node.label)),
        "influence": percent(shown.influence[name]),
        "activation": "" if node.activation is None else number(node.activation, 3),
        "supernodes": ", ".join(each for each, ids in groups.items() if name in ids),
        "id": name,
    }


def links_table(shown: Shown, found: Connections) -> None:
    """What a node receives and sends, the strongest first."""
    for heading, links, n in (
        ("From", found.inputs, found.n_inputs),
        ("To", found.outputs, found.n_outputs),
    ):
        if links:
            cut = "" if n == len(links) else f", {len(links)} shown"
            st.markdown(f"{heading} {n} nodes{cut}")
            rows = [
                {
                    "share": f"{signed(100 * link.share, 1)} %",
                    "node": str(clean(shown.index.node(link.id).label)),
                    "edge": signed(link.weight, 3),
                }
                | ({"heads": heads_text(link.heads, link.weight)} if link.heads else {})
                for link in links
            ]
            alt = f"{heading} which nodes its strongest links are"
            table(rows, alt, height=min(38 + 35 * len(links), 230))


def render(dashboard: Dashboard) -> None:
    """Draw the page."""
    st.title("Explore")
    name = chosen_graph(dashboard)
    if name is not None:
        draw_graph(dashboard, name)
        return
    left, middle, right = st.columns([3, 2, 2])
    run = picked_run(dashboard, left)
    if run is None:
        return
    if not run.record.graphs:
        st.markdown("This run has no attribution graph. Ask for one in the hypothesis, and run it:")
        st.code("graph:\n  prompts: [a_prompt]\n  toward: salient", language="yaml")
        author_link(dashboard, f"run/{run.record.id}")
        return
    prompt = picked_prompt(run.record, list(run.record.graphs), middle)
    asked = _asked(stored(run, prompt).nodes.logits, right)
    take_up_address((run.record.id, prompt, str(asked)))
    _graph(dashboard, run, prompt, asked)


def _asked(logits: tuple[Logit, ...], at: DeltaGenerator) -> AskedLogits:
    found = choices(logits)
    names = [_words(each, logits) for each in found]
    if len(found) == 1:
        return found[0]
    # An address holds the numbers of outputs, never their text.
    codes = ["-".join(str(n) for n in each if n is not None) for each in found]
    wanted = st.query_params.get(EXPLAINS, "")
    first = codes.index(wanted) if wanted in codes else 0
    chosen = at.selectbox("Explains", names, first, key="ask")
    place = names.index(chosen)
    put_in_address(EXPLAINS, codes[place] if place else None)
    return found[place]


def _words(asked: AskedLogits, logits: tuple[Logit, ...]) -> str:
    if asked.logit is None:
        return "all outputs"
    first = f"{asked.logit}: {visible_token(logits[asked.logit].label)}"
    less = "" if asked.less is None else f" {MINUS} {visible_token(logits[asked.less].label)}"
    return first + less


@st.fragment
def _graph(dashboard: Dashboard, run: Run, prompt: str, asked: AskedLogits) -> None:
    """The graph and all that follows the selection; nothing else is drawn anew with it."""
    by_hand = hand_groups(run.record.id, prompt)
    found = shown(run, prompt, asked, by_hand)
    about = HeadSubject(
        name=f"{run.record.id}/{prompt}",
        graph=stored(run, prompt),
        model=key_of(run.record),
        spans=run.record.prompts[prompt].spans,
        groups={**found.declared, **by_hand},
        known=run.record.graphs[prompt].features,
    )
    if found.data["cut"]:
        st.markdown(plain(found.data["cut"]))
    graph_panel(found)
    chosen = selection(found)
    left, right = st.columns(2)
    with left:
        group_panel(run.record, prompt, found, chosen)
        keep_panel(dashboard, run.record, prompt, found)
        query = {RUN: run.record.id, PROMPT: prompt, START: EXPLORED}
        page = dashboard.pages["intervene"]
        st.page_link(page, label="Clamp them in Intervene", query_params=query)
    with right:
        _card(run, prompt, found, chosen, about)
    heads_panel(about)
    effects_panel(run.record, prompt, found)
    consensus_panel(run)
    nodes_table(found, by_hand, chosen)


def _card(run: Run, prompt: str, found: Shown, chosen: tuple[str, ...], about: HeadSubject) -> None:
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
    links = connections(found.index, found.sums, name)
    links_table(found, links)
    ask_carrying(about, carrying_heads(found.index, links, name), st.container())
