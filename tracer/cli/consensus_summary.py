"""What `tracer graph` prints of a consensus over prompts."""

from __future__ import annotations

from tracer.cli.output import print_table
from tracer.errors import shorten
from tracer.record.graph.consensus_summary import ConsensusSummary, CoreEdge, CoreNode, Support
from tracer.report.agreement import place_words, sentences
from tracer.report.screen import Screen

_LONGEST = 13
"""Characters of a place, so that a row fits into 80 columns."""


def print_consensus(screen: Screen, found: ConsensusSummary, basis: str) -> None:
    """How much is shared, then the core's most influential nodes and the edges that carry most."""
    for sentence in sentences(found, basis):
        screen.paragraph(sentence)
    screen.say()
    n = len(found.prompts)
    if found.nodes:
        counts = f"of {n}, by pruning" if len(found.prunings) > 1 else f"of {n}"
        headings = ("node", "at", "activation", "influence", counts, "sign")
        rows = [_node(node) for node in found.nodes]
        print_table(screen, [(heading, 0) for heading in headings], rows)
        screen.say()
    if found.edges:
        headings = ("edge", "at", "median", "carries", f"of {n}", "sign")
        rows = [_edge(edge) for edge in found.edges]
        print_table(screen, [(heading, 0) for heading in headings], rows)
        screen.say()


def _node(node: CoreNode) -> tuple[str, ...]:
    activation, sign = "", ""
    if node.activation is not None:
        activation, sign = f"{node.activation:+.3g}", _sign(node.support)
    counts = ", ".join(map(str, node.support.on))
    return node.id, _place(node.place), activation, f"{node.influence:.3g}", counts, sign


def _edge(edge: CoreEdge) -> tuple[str, ...]:
    ends = f"{edge.source} → {edge.target if edge.target_place else repr(edge.target)}"
    at, support = _place(edge.source_place), edge.support
    if edge.target_place:
        at = f"{at} → {_place(edge.target_place)}"
    weight, carries = f"{edge.weight:+.3g}", f"{edge.influence:.3g}"
    return ends, at, weight, carries, str(support.on[0]), _sign(support)


def _sign(support: Support) -> str:
    return f"{support.same_sign} of {support.on[0]}"


def _place(label: str) -> str:
    return shorten(place_words(label), _LONGEST)
