"""What `tracer graph --why` prints of a head's score: for people, and as JSON for programs.

    {"layer": 9, "head": 1, "query": 10, "key": 7, "against": null, "attention": [0.01, …],
     "score": 3.2, "total": 3.2, "slope": 1, "query_side": [{"id": "12_1034_10", "part": 0.4}],
     "key_side": […], "pairs": [{"query": "…", "key": "…", "part": 0.2}], "n_nodes": 2849,
     "features": {"12_1034_10": {"promotes": ["…"], "suppresses": ["…"]}}}

See `tracer.record.graph.head_reason.HeadReason`; ids are those of the graph's nodes, and
`attention` is the pattern's row of the query.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracer.cli.output import print_table
from tracer.errors import shorten
from tracer.hypothesis.heads import HeadName
from tracer.hypothesis.neuronpedia_ids import parse_feature, parse_head_node
from tracer.record.graph.graph import Subject
from tracer.record.graph.head_reason import CONSTANT, HeadReason, NodePart
from tracer.report.head_reason import reason_sentence
from tracer.report.screen import Screen

_MAX_TOKEN = 16


def reason_data(reason: HeadReason) -> dict[str, Any]:
    """For programs."""
    (head, query, key, against) = reason.asked
    return {
        "layer": head.layer,
        "head": head.head,
        "query": query,
        "key": key,
        "against": against,
        "attention": reason.attention.tolist(),
        "score": reason.score,
        "total": reason.total,
        "slope": reason.slope,
        "query_side": [each._asdict() for each in reason.query_side],
        "key_side": [each._asdict() for each in reason.key_side],
        "pairs": [each._asdict() for each in reason.pairs],
        "n_nodes": reason.n_nodes,
        "features": {
            name: {"promotes": told.promotes, "suppresses": told.suppresses}
            for name, told in reason.features.items()
        },
    }


def print_reason(screen: Screen, reason: HeadReason, subject: Subject) -> None:
    """A sentence, the strongest nodes of each side, and the strongest pairs."""
    screen.paragraph(reason_sentence(reason, subject))
    screen.say()
    _print_side(screen, "on the query side", reason.query_side, reason, subject)
    _print_side(screen, "on the key side", reason.key_side, reason, subject)
    rows = [
        (_node(each.query, subject), _node(each.key, subject), f"{each.part:+.3g}")
        for each in reason.pairs
    ]
    print_table(screen, [("query", 0), ("key", 0), ("together", 0)], rows)
    screen.say()


def _print_side(
    screen: Screen, title: str, parts: Sequence[NodePart], reason: HeadReason, subject: Subject
) -> None:
    rows = [(_node(each.id, subject), f"{each.part:+.3g}") for each in parts]
    others = reason.n_nodes - len(parts)
    if others > 0:
        left = reason.total - sum(each.part for each in parts)
        rows.append((f"{others:,} others", f"{left:+.3g}"))
    print_table(screen, [(title, 0), ("part", 0)], rows)
    screen.say()


def _node(name: str, subject: Subject) -> str:
    """An id, with what stands at its position."""
    if name == CONSTANT:
        return "constant"
    pos = int(name.rsplit("_", 1)[1])
    token = shorten(repr(subject.tokens[pos]), _MAX_TOKEN)
    if name.startswith("E_"):
        return f"token {token}"
    if (head := parse_head_node(name)) is not None:
        return f"head {HeadName(head.layer, head.feature)} {token}"
    return f"{name} {token}" if parse_feature(name) else f"error {name} {token}"
