"""The graph as tables: every node, and the links of one. The keyboard's way to all of it."""

from __future__ import annotations

import streamlit as st

from tracer.dashboard.graph_panel import select
from tracer.dashboard.graph_store import Shown
from tracer.dashboard.hand_groups import Groups
from tracer.explore.connections import Link, connections
from tracer.explore.search import search
from tracer.report.text import clean, number, percent, signed

MOST_ROWS = 500


def nodes_table(shown: Shown, made: Groups, chosen: tuple[str, ...]) -> None:
    """Every node of the view, the most influential first; marked rows can be selected."""
    st.subheader("Nodes as a table")
    groups = {**shown.declared, **made}
    text = st.text_input("Filter by token, layer, feature, supernode or id", key="filter")
    ids = search(shown.index, groups, text) if text.strip() else shown.index.ids
    ordered = sorted(ids, key=lambda name: -shown.influence[name])[:MOST_ROWS]
    if len(ordered) < len(shown.index.ids):
        st.markdown(f"{len(ordered)} of {len(shown.index.ids)} nodes")
    marked = st.dataframe(
        [_node(shown, groups, name, chosen) for name in ordered],
        hide_index=True,
        height=300,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"nodes-{shown.data['hash']}-{text}",
        alt="Nodes of the graph, most influential first",
    )
    rows = [ordered[n] for n in marked["selection"]["rows"] if n < len(ordered)]
    st.button(
        f"Select the {len(rows)} marked",
        on_click=select,
        args=(rows,),
        disabled=not rows,
    )


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


def links_table(shown: Shown, name: str) -> None:
    """What a node receives and sends, the strongest first."""
    found = connections(shown.index, shown.sums, name)
    for heading, links, n in (
        ("From", found.inputs, found.n_inputs),
        ("To", found.outputs, found.n_outputs),
    ):
        if links:
            st.markdown(
                f"{heading} {n} nodes" + ("" if n == len(links) else f", {len(links)} shown")
            )
            st.dataframe(
                [_link(shown, link) for link in links],
                hide_index=True,
                height=min(38 + 35 * len(links), 230),
                alt=f"{heading} which nodes its strongest links are",
            )


def _link(shown: Shown, link: Link) -> dict[str, str]:
    return {
        "share": f"{signed(100 * link.share, 1)} %",
        "node": str(clean(shown.index.node(link.id).label)),
        "edge": signed(link.weight, 3),
    }
