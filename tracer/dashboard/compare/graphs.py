"""The attribution graphs of two runs, matched node by node and edge by edge.

A feature is matched by layer, position and index, an error by layer and position, a token by
position, an output by its label. The caller checks that an index means the same feature in both.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import NamedTuple

import numpy as np
import streamlit as st
from jaxtyping import Float, Int

from tracer.dashboard.compare import tables
from tracer.dashboard.compare.tables import Cells
from tracer.dashboard.dashboard import table
from tracer.dashboard.opening import stored
from tracer.dashboard.runs.run import CELL, shown
from tracer.errors import UsageError
from tracer.evidence.statistics import pearson
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
        correlation=pearson(edges.a[both], edges.b[both]),
    )


def edge_rows(edges: Edges, most: int = MOST_EDGES) -> list[Cells]:
    """The edges whose weights differ most, the largest difference first."""
    apart = np.abs(edges.b - edges.a)
    order = np.argsort(-apart, kind="stable")[:most]
    n = len(edges.names)
    columns = [each[order].tolist() for each in (edges.codes, edges.a, edges.b)]
    return [
        {
            "from": edges.names[code % n],
            "to": edges.names[code // n],
            "A": a if a else None,
            "B": b if b else None,
            "B − A": b - a,
        }
        for code, a, b in zip(*columns, strict=True)
        if a != b
    ]


def _sources(graph: ListedGraph) -> Iterator[tuple[Hashable, str]]:
    nodes, tokens = graph.nodes, [_word(each) for each in graph.subject.tokens]
    attention, errors = set(nodes.attention.tolist()), set(nodes.attention_errors.tolist())
    for row, (layer, pos, index) in enumerate(nodes.features.tolist()):
        of_attention = "head" if nodes.heads else "attention feature"
        what = of_attention if row in attention else "feature"
        yield (what, layer, pos, index), f"L{layer} {what} {index} on {tokens[pos]}"
    for place, (layer, pos) in enumerate(nodes.errors.tolist()):
        what = "error of attention" if place in errors else "error"
        yield (what, layer, pos), f"L{layer} {what} on {tokens[pos]}"
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
    columns, outputs = (
        np.array([numbers[key] for key, _ in each(graph)], dtype=np.int64)
        for each in (_sources, _outputs)
    )
    rows = np.concatenate([columns[: graph.nodes.n_features], outputs])
    return rows[graph.targets] * n + columns[graph.sources]


def _weights(
    codes: Int[np.ndarray, " edge"], mine: Int[np.ndarray, " own"], graph: ListedGraph
) -> Float[np.ndarray, " edge"]:
    found = np.zeros(len(codes))
    found[np.searchsorted(codes, mine)] = graph.weights
    return found


def _carried(weights: Float[np.ndarray, " edge"], kept: np.ndarray) -> float:
    total = float(np.abs(weights).sum())
    return float(np.abs(weights[kept]).sum()) / total if total > 0 else 0.0


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
    one, other = _read(a, prompt), _read(b, prompt)
    if one is not None and other is not None:
        _matched(one, other)


def _recorded(a: Run, b: Run, prompt: str) -> None:
    mine, other = a.record.graphs[prompt], b.record.graphs[prompt]
    left, right = st.columns(2)
    left.markdown("What they keep and explain")
    scores = tables.score_rows(mine, other)
    table(scores, "Scores of both graphs", left, numbers=("A", "B"), form="%.3g")
    if shares := tables.share_rows(mine, other):
        right.markdown("Direct effects between supernodes, of all that enters the target")
        alt = "Direct effects between supernodes in both graphs"
        table(shares, alt, right, numbers=("A (%)", "B (%)"), form="%+.2f")


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
    counts = zip(tables.SIDES, (found.only_a, found.both, found.only_b), strict=True)
    rows = [{"of the graphs": "features", **sides}, {"of the graphs": "edges", **dict(counts)}]
    table(rows, "Nodes and edges in one graph and in both")
    st.markdown(_agreement(found))
    if rows := edge_rows(edges):
        st.markdown("Edges that differ most")
        alt, numbers = "Edges whose weights differ most", ("A", "B", "B − A")
        table(rows, alt, numbers=numbers, form="%+.3g", height=300)
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
        table(rows, "Features of both graphs")
        if n_all > len(rows):
            st.markdown(f"The first {len(rows):,} by layer.")
