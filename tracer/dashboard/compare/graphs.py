"""The attribution graphs of two runs: what each explains, and which nodes and edges both have.

Two graphs of one prompt edge by edge: which both have, and whether their weights agree.

Nodes are matched by what they are: a feature by layer, position and index, an error by layer and
position, a token by position, an output by its label. It is for the caller to know that an index
means the same feature in both.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import NamedTuple

import numpy as np
import streamlit as st
from jaxtyping import Float, Int

from tracer.dashboard.compare import tables
from tracer.dashboard.compare.tables import Cells
from tracer.dashboard.graph_store import stored
from tracer.dashboard.runs.run import CELL, shown
from tracer.errors import UsageError
from tracer.record.graph.graph import ListedGraph
from tracer.report.run import Run
from tracer.report.text import number, percent, visible_token

MOST_EDGES = 200


class EdgeSides(NamedTuple):
    """How the edges of two graphs meet."""

    only_a: int
    both: int
    only_b: int
    share_a: float
    """Of Σ |weight| in A, what edges of both carry, 0 to 1."""
    share_b: float
    correlation: float | None
    """Pearson's, of the weights of edges in both; None where fewer than three, or all alike."""


class Edges(NamedTuple):
    """The edges of either graph, matched; a weight is 0 where there is none."""

    codes: Int[np.ndarray, " edge"]
    """target × number of names + source."""
    a: Float[np.ndarray, " edge"]
    b: Float[np.ndarray, " edge"]
    names: tuple[str, ...]
    """Of all nodes, for people."""


def matched(a: ListedGraph, b: ListedGraph) -> Edges:
    """Every edge of either graph, with both weights."""
    numbers: dict[Hashable, int] = {}
    names: list[str] = []
    for graph in (a, b):
        for key, name in (*_sources(graph), *_outputs(graph)):
            if key not in numbers:
                numbers[key] = len(names)
                names.append(name)
    n = len(names)
    coded = [_codes(graph, numbers, n) for graph in (a, b)]
    codes = np.unique(np.concatenate(coded))
    weights = [_weights(codes, mine, graph) for mine, graph in zip(coded, (a, b), strict=True)]
    return Edges(codes, weights[0], weights[1], tuple(names))


def edge_sides(edges: Edges) -> EdgeSides:
    """The edges counted, and their weights held against each other."""
    in_a, in_b = edges.a != 0, edges.b != 0
    both = in_a & in_b
    return EdgeSides(
        only_a=int((in_a & ~in_b).sum()),
        both=int(both.sum()),
        only_b=int((in_b & ~in_a).sum()),
        share_a=_carried(edges.a, both),
        share_b=_carried(edges.b, both),
        correlation=_correlation(edges.a[both], edges.b[both]),
    )


def edge_rows(edges: Edges, most: int = MOST_EDGES) -> list[Cells]:
    """The edges whose weights differ most, the largest difference first."""
    apart = np.abs(edges.b - edges.a)
    order = np.argsort(-apart, kind="stable")[:most]
    n = len(edges.names)
    return [
        {
            "from": edges.names[code % n],
            "to": edges.names[code // n],
            "A": a if a else None,
            "B": b if b else None,
            "B − A": b - a,
        }
        for code, a, b in zip(
            edges.codes[order].tolist(),
            edges.a[order].tolist(),
            edges.b[order].tolist(),
            strict=True,
        )
        if a != b
    ]


def _sources(graph: ListedGraph) -> Iterator[tuple[Hashable, str]]:
    """What each column is, and its name."""
    nodes, tokens = graph.nodes, [_word(each) for each in graph.subject.tokens]
    for layer, pos, index in nodes.features.tolist():
        yield ("feature", layer, pos, index), f"L{layer} feature {index} on {tokens[pos]}"
    for layer, pos in nodes.errors.tolist():
        yield ("error", layer, pos), f"L{layer} error on {tokens[pos]}"
    for pos in nodes.tokens.tolist():
        yield ("token", pos), f"token {tokens[pos]}"


def _outputs(graph: ListedGraph) -> Iterator[tuple[Hashable, str]]:
    """What each row after the features is; of two with one label, the first is the first."""
    labels = [logit.label for logit in graph.nodes.logits]
    for n, label in enumerate(labels):
        yield ("output", label, labels[:n].count(label)), f"output {_word(label)}"


def _word(token: str) -> str:
    return shown(visible_token(token), CELL)


def _codes(graph: ListedGraph, numbers: dict[Hashable, int], n: int) -> Int[np.ndarray, " edge"]:
    columns = np.array([numbers[key] for key, _ in _sources(graph)], dtype=np.int64)
    outputs = np.array([numbers[key] for key, _ in _outputs(graph)], dtype=np.int64)
    rows = np.concatenate([columns[: graph.nodes.n_features], outputs])
    return rows[graph.targets] * n + columns[graph.sources]


def _weights(
    codes: Int[np.ndarray, " edge"], mine: Int[np.ndarray, " own"], graph: ListedGraph
) -> Float[np.ndarray, " edge"]:
    """One graph's weights, in the order of all codes."""
    found = np.zeros(len(codes))
    found[np.searchsorted(codes, mine)] = graph.weights
    return found


def _carried(weights: Float[np.ndarray, " edge"], kept: np.ndarray) -> float:
    total = float(np.abs(weights).sum())
    return float(np.abs(weights[kept]).sum()) / total if total > 0 else 0.0


def _correlation(a: Float[np.ndarray, " edge"], b: Float[np.ndarray, " edge"]) -> float | None:
    if len(a) < 3 or not a.std() or not b.std():
        return None
    return float(np.corrcoef(a, b)[0, 1])


def draw_graphs(a: Run, b: Run) -> None:
    """Choose a prompt; its scores and shares, then, where features can be matched, the graphs."""
    prompts = [name for name in a.record.graphs if name in b.record.graphs]
    if not prompts:
        st.markdown("There is no prompt of which both runs keep a graph.")
        return
    prompt = st.selectbox("Prompt", prompts, key="prompt", bind="query-params")
    _recorded(a, b, prompt)
    reason = tables.unmatched(a.record, b.record)
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
        tables.score_rows(mine, other),
        hide_index=True,
        column_config={"A": figure, "B": figure},
        alt="Scores of both graphs",
    )
    if shares := tables.share_rows(mine, other):
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
    sides = tables.node_sides(a, b)
    edges = matched(a, b)
    found = edge_sides(edges)
    counts = (found.only_a, found.both, found.only_b)
    st.dataframe(
        [
            {"of the graphs": "features", **sides},
            {"of the graphs": "edges", **dict(zip(tables.SIDES, counts, strict=True))},
        ],
        hide_index=True,
        alt="Nodes and edges in one graph and in both",
    )
    st.markdown(_agreement(found))
    rows = edge_rows(edges)
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


def _agreement(found: EdgeSides) -> str:
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
    rows = tables.node_rows(a, b)
    with st.expander(f"The {n_all:,} features"):
        st.dataframe(rows, hide_index=True, alt="Features of both graphs")
        if n_all > len(rows):
            st.markdown(f"The first {len(rows):,} by layer.")
