"""What `tracer graph --why` says of a head's score: to people, and to programs."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.cli.documents.graphs import HeadScore
from tracer.cli.output import print_table
from tracer.errors import shorten
from tracer.hypothesis.heads import HeadName
from tracer.hypothesis.neuronpedia_ids import parse_feature, parse_head_node
from tracer.record.graph.graph import Subject
from tracer.record.graph.head_reason import CONSTANT, HeadReason, NodePart
from tracer.report.head_reason import reason_sentence
from tracer.report.screen import Screen

_MAX_TOKEN = 16


def reason_data(reason: HeadReason) -> HeadScore:
    """For programs."""
    (head, query, key, against) = reason.asked
    named = ("score", "total", "slope", "query_side", "key_side", "pairs", "n_nodes", "features")
    return HeadScore(
        layer=head.layer,
        head=head.head,
        query=query,
        key=key,
        against=against,
        attention=tuple(reason.attention.tolist()),
        **{name: getattr(reason, name) for name in named},
    )


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
