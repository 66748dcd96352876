"""What the schema cannot say about attribution graphs: their prompts, direction and edges."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.hypothesis.expectations import Edge
from tracer.hypothesis.parts import Parts
from tracer.hypothesis.problem import KeyPath, Problem, prompts_named, unknown
from tracer.hypothesis.spec import GraphSpec
from tracer.hypothesis.supernode_rules import (
    anchor,
    anchored,
    is_placed,
    prompt_list,
    span_problems,
)

GRAPH = "graph"
"""Stands for an intervention's name in the outcomes of graph expectations."""
OUTPUT = "output"
"""Reserved name in `to:`: what the graph explains."""


def graph_problems(parts: Parts) -> Iterator[Problem]:
    """Mistakes in the graph section."""
    graph = parts.graph
    if graph is None:
        return
    path: KeyPath = ("graph",)
    yield from prompt_list(parts, (*path, "prompts"), graph.prompts)
    if graph.expect and GRAPH in parts.interventions:
        message = "'graph' stands for the attribution graph in a verdict: give it another name"
        yield Problem(("interventions", GRAPH), message)
    without = [
        name
        for name in graph.prompts
        if (prompt := parts.prompts.get(name)) is not None and prompt.answer is None
    ]
    if graph.toward == "answer" and without:
        message = f"`answer` has no meaning on {prompts_named(without)}, which has no answer"
        yield Problem((*path, "toward"), message)
    for index, expectation in enumerate(graph.expect):
        yield from _edge_problems(parts, (*path, "expect", index, "edge"), graph, expectation)


def _edge_problems(
    parts: Parts, path: KeyPath, graph: GraphSpec, expectation: Edge
) -> Iterator[Problem]:
    edge = expectation.edge
    for key, name in (("from", edge.from_), ("to", edge.to)):
        if key == "to" and name == OUTPUT:
            continue
        if name not in parts.supernodes:
            known = [*parts.supernodes, *([OUTPUT] if key == "to" else [])]
            yield Problem((*path, key), unknown("supernode", name, known))
            continue
        node = parts.supernodes[name]
        if node is not None and anchored(node) and is_placed(parts, node):
            yield from span_problems(parts, (*path, key), anchor(node), graph.prompts)
    if edge.above is None and edge.below is None:
        yield Problem(path, "it tests nothing: `above` or `below` is expected")
    for key, bound in (("above", edge.above), ("below", edge.below)):
        if bound is not None and not -1 <= bound <= 1:
            yield Problem((*path, key), f"found {bound:g}; an edge is a share, from -1 to 1")
    if edge.above is not None and edge.below is not None and edge.above >= edge.below:
        yield Problem(path, "`above` is not below `below`: no edge can be both")
