"""The attribution graphs of two runs: what each explains, and which nodes and edges both have."""

from __future__ import annotations

import streamlit as st

from tracer.dashboard import comparing, comparing_graphs, comparing_runs
from tracer.dashboard.graph_store import stored
from tracer.dashboard.run_rows import shown
from tracer.errors import UsageError
from tracer.graph.edge_list import ListedGraph
from tracer.report.text import number, percent
from tracer.result import Run


def draw_graphs(a: Run, b: Run) -> None:
    """Choose a prompt; its scores and shares, then, where features can be matched, the graphs."""
    prompts = [name for name in a.record.graphs if name in b.record.graphs]
    if not prompts:
        st.markdown("There is no prompt of which both runs keep a graph.")
        return
    prompt = st.selectbox("Prompt", prompts, key="prompt", bind="query-params")
    _recorded(a, b, prompt)
    reason = comparing_runs.unmatched(a.record, b.record)
    if reason is not None:
        st.text(reason)
        return
    graphs = [_read(run, prompt) for run in (a, b)]
    if graphs[0] is not None and graphs[1] is not None:
        _matched(graphs[0], graphs[1])


def _recorded(a: Run, b: Run, prompt: str) -> None:
    """What the records say of both, whatever the model."""
    mine, other = a.record.graphs[prompt], b.record.graphs[prompt]
    figure = st.column_config.NumberColumn(format="%.3g")
    left, right = st.columns(2)
    left.markdown("What they keep and explain")
    left.dataframe(
        comparing_runs.score_rows(mine, other),
        hide_index=True,
        column_config={"A": figure, "B": figure},
        alt="Scores of both graphs",
    )
    if shares := comparing_runs.share_rows(mine, other):
        share = st.column_config.NumberColumn(format="%+.2f")
        right.markdown("Direct effects between supernodes, of all that enters the target")
        right.dataframe(
            shares,
            hide_index=True,
            column_config={"A (%)": share, "B (%)": share},
            alt="Direct effects between supernodes in both graphs",
        )


def _read(run: Run, prompt: str) -> ListedGraph | None:
    try:
        return stored(run, prompt)
    except UsageError as error:
        st.text(shown(str(error)))
        return None


def _matched(a: ListedGraph, b: ListedGraph) -> None:
    if a.subject.token_ids != b.subject.token_ids:
        st.markdown("The prompt is other tokens in B: places that agree may stand for other words.")
    sides = comparing.node_sides(a, b)
    edges = comparing_graphs.matched(a, b)
    found = comparing_graphs.edge_sides(edges)
    counts = (found.only_a, found.both, found.only_b)
    st.dataframe(
        [
            {"of the graphs": "features", **sides},
            {"of the graphs": "edges", **dict(zip(comparing.SIDES, counts, strict=True))},
        ],
        hide_index=True,
        alt="Nodes and edges in one graph and in both",
    )
    st.markdown(_agreement(found))
    rows = comparing_graphs.edge_rows(edges)
    if rows:
        st.markdown("Edges that differ most")
        weight = st.column_config.NumberColumn(format="%+.3g")
        config = {"A": weight, "B": weight, "B − A": weight}
        st.dataframe(
            rows,
            hide_index=True,
            height=300,
            column_config=config,
            alt="Edges whose weights differ most",
        )
    _nodes(a, b, sum(sides.values()))


def _agreement(found: comparing_graphs.EdgeSides) -> str:
    if not found.both:
        return "No edge is in both."
    told = (
        f"Edges in both carry {percent(found.share_a)} of Σ |weight| in A and "
        f"{percent(found.share_b)} in B"
    )
    if found.correlation is None:
        return f"{told}."
    return f"{told}; their weights correlate with r = {number(found.correlation, 3)}."


def _nodes(a: ListedGraph, b: ListedGraph, n_all: int) -> None:
    rows = comparing.node_rows(a, b)
    with st.expander(f"The {n_all:,} features"):
        st.dataframe(rows, hide_index=True, alt="Features of both graphs")
        if n_all > len(rows):
            st.markdown(f"The first {len(rows):,} by layer.")
