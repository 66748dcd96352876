"""`tracer compare` of two consensus graphs: read, compared and printed."""

from __future__ import annotations

import os
from pathlib import Path

from tracer.cli.output import print_table
from tracer.errors import UsageError, shorten
from tracer.evidence.consensus_comparison import (
    ComparedConsensus,
    ConsensusComparison,
    EdgeAgreement,
    InCommon,
    compare_consensus,
)
from tracer.record.graph.files import read
from tracer.record.graph.graph import AttributionGraph
from tracer.report.screen import Screen
from tracer.report.text import number, signed

_MOST_LINKS = 15
_LONGEST = 40


def is_graph_file(argument: str) -> bool:
    """Whether a graph's file is meant: its tensors lie beside it."""
    path = Path(argument)
    tensors = path.with_suffix(".safetensors") if path.suffix == ".json" else None
    return tensors is not None and os.path.isfile(path) and os.path.isfile(tensors)


def compared_graphs(a: str, b: str) -> ConsensusComparison:
    """Both read and compared.

    Raises:
        UsageError: One cannot be read, or is no consensus.
    """
    return compare_consensus(_consensus(a), _consensus(b))


def _consensus(argument: str) -> AttributionGraph:
    graph = read(Path(argument)) if is_graph_file(argument) else None
    if graph is None or graph.agreement is None:
        raise UsageError(
            f"{argument}: this is no consensus graph; two files of `tracer graph FILE --consensus` "
            "are compared, or two runs."
        )
    return graph


def print_consensus_comparison(screen: Screen, found: ConsensusComparison) -> None:
    """What both have and what only one has, then the places and the strongest common edges."""
    screen.say(f"two consensus graphs, compared by {found.by}", "bold")
    screen.paragraph(f"A: {_side(found.before)}")
    screen.paragraph(f"B: {_side(found.after)}")
    screen.say()
    what = "features" if found.by == "feature and place" else "cells with features"
    rows = [
        _counts("places", found.places),
        _counts(f"{what}, at places of both", found.nodes),
        _counts("edges between them", found.edges),
    ]
    print_table(screen, [("", 0), ("both", 0), ("only A", 0), ("only B", 0)], rows)
    screen.say()
    screen.paragraph(f"edges of both, onto what is explained: {_agree(found.outputs)}")
    screen.paragraph(f"onto nodes at spans, behind the first, and that: {_agree(found.behind)}")
    screen.paragraph(
        f"at places that the other lacks: {found.elsewhere[0]:,} features of A, "
        f"{found.elsewhere[1]:,} of B"
    )
    screen.say()
    links = found.links[:_MOST_LINKS]
    headings = [("from", 0), ("to", 0), ("A, of what enters", 0), ("B", 0)]
    rows = [(each.source, each.target, _share(each.before), _share(each.after)) for each in links]
    print_table(screen, headings, rows)
    screen.say()
    if found.strongest:
        headings = [("strongest edges of both", 0), ("to", 0), ("A", 0), ("B", 0)]
        print_table(
            screen,
            headings,
            [
                (_short(each.source), _short(each.target), signed(each.before), signed(each.after))
                for each in found.strongest
            ],
        )


def _agree(each: EdgeAgreement) -> str:
    told = "not defined" if each.correlation is None else number(each.correlation)
    return f"correlation {told}, the same sign on {each.same_sign:,} of {each.n:,}"


def _side(each: ComparedConsensus) -> str:
    return (
        f"{shorten(each.model)}, {shorten(each.basis)}; {len(each.prompts)} prompts, core "
        f"{each.core:g}; {each.n_features:,} features, {each.n_edges:,} edges"
    )


def _counts(what: str, overlap: InCommon) -> tuple[str, str, str, str]:
    return what, f"{overlap.both:,}", f"{overlap.only_before:,}", f"{overlap.only_after:,}"


def _share(share: float | None) -> str:
    return "–" if share is None else f"{signed(100 * share, 1)} %"


def _short(name: str) -> str:
    return shorten(name, _LONGEST)
