"""A run's graphs together: the edges between supernodes, each with the prompts that have it.

An edge is on a prompt where both supernodes are in its graph and something enters the target. Its
share is told as the median over these prompts, beside how many of a split have the median's sign.
What a file claims with `edge: …, mostly: …` is read off the same shares, prompt by prompt; what
came of it is taken over from the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tracer.evidence.claimed_links import claimed_links
from tracer.evidence.measures.edge import word
from tracer.hypothesis.expectations.edge import Edge
from tracer.hypothesis.studies.graph import GRAPH
from tracer.record.record import Record
from tracer.record.verdict import Outcome
from tracer.report.graph_supernodes import supernode_group
from tracer.report.limits import MAX_EDGES, Cut, cut
from tracer.report.run_graphs import feature_names, supernode_groups
from tracer.report.supernode_diagram import (
    Group,
    GroupEffect,
    SupernodeDiagram,
    diagram,
    output_group,
    share_text,
)
from tracer.report.text import visible_token


@dataclass(frozen=True)
class SharedLink:
    """All direct effects of one supernode on another, or on the output, over the prompts."""

    source: str
    target: str
    """A supernode, or `output`."""
    shares: dict[str, float]
    """By prompt that has it."""

    @property
    def median(self) -> float:
        """Over the prompts that have it."""
        return median(self.shares.values())

    def same_sign(self, prompts: Sequence[str]) -> int:
        """On how many of some prompts it has the median's sign."""
        middle = self.median
        return sum(self.shares.get(prompt, 0.0) * middle > 0 for prompt in prompts)


@dataclass(frozen=True)
class SharedLinkRow:
    """An edge as the table shows it."""

    source: str
    target: str
    on: str
    median: str
    range: str
    discovery: str
    """On how many of the discovery prompts it has the median's sign."""
    held_out: str
    claims: tuple[str, ...]
    """What the file claims of it, and what came of that."""


@dataclass(frozen=True)
class GraphConsensusView:
    """What the graphs of a run have in common."""

    n_prompts: int
    note: str
    diagram: SupernodeDiagram | None
    rows: Cut[SharedLinkRow]


def graph_consensus(record: Record, outcomes: Sequence[Outcome]) -> GraphConsensusView | None:
    """The edges between a run's supernodes over its graphs; None of fewer than two graphs."""
    links = shared_links(record)
    if len(record.graphs) < 2 or not links:
        return None
    shown = cut(sorted(links, key=lambda each: -abs(each.median)), MAX_EDGES, "edges", "run.json")
    rows = tuple(_row(record, each, outcomes) for each in shown.kept)
    held_out = sum(record.prompts[prompt].held_out for prompt in record.graphs)
    n = len(record.graphs)
    note = f"{n} graphs: {n - held_out} of discovery prompts, {held_out} of held-out ones"
    return GraphConsensusView(n, note, consensus_diagram(record, links), Cut(rows, shown.note))


def shared_links(record: Record) -> list[SharedLink]:
    """Every edge that a graph of the run has, in the order in which they are first met."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for prompt, graph in record.graphs.items():
        for edge in graph.edges:
            if edge.share is not None:
                found.setdefault((edge.source, edge.target), {})[prompt] = edge.share
    return [SharedLink(*ends, shares) for ends, shares in found.items()]


def consensus_diagram(record: Record, links: Sequence[SharedLink]) -> SupernodeDiagram | None:
    """The supernodes, each as on the first prompt whose graph has it, and the shared edges."""
    groups: dict[str, Group] = {}
    for prompt, graph in record.graphs.items():
        names = feature_names(graph.features)
        for each in supernode_groups(record, prompt):
            n_members = graph.members.get(each["name"], 0)
            if n_members and each["name"] not in groups:
                groups[each["name"]] = supernode_group(each, n_members, names)
    if not groups:
        return None
    claimed = {
        (link.source, link.target)
        for prompt in record.graphs
        for link in claimed_links(record, prompt)
    }
    effects = [
        GroupEffect(each.source, each.target, each.median, _on(each, list(record.graphs)))
        for each in links
    ]
    output = output_group(_explained(record))
    return diagram([*groups.values(), output], effects, claimed)


def _explained(record: Record) -> str:
    """What the graphs explain, where that is the same."""
    targets = {graph.target for graph in record.graphs.values()}
    return visible_token(targets.pop()) if len(targets) == 1 else "the output"


def _on(link: SharedLink, prompts: Sequence[str]) -> str:
    return f"this sign: {link.same_sign(prompts)} of {len(prompts)}"


def _row(record: Record, link: SharedLink, outcomes: Sequence[Outcome]) -> SharedLinkRow:
    node = record.supernodes.get(link.target)
    held_out = [prompt for prompt in record.graphs if record.prompts[prompt].held_out]
    discovery = [prompt for prompt in record.graphs if prompt not in held_out]
    low, high = min(link.shares.values()), max(link.shares.values())
    return SharedLinkRow(
        source=record.supernodes[link.source].label,
        target=node.label if node else "the output",
        on=f"{len(link.shares)} of {len(record.graphs)}",
        median=share_text(link.median),
        range=f"{share_text(low)} to {share_text(high)}",
        discovery=_split(link, discovery),
        held_out=_split(link, held_out),
        claims=tuple(_claims(record, link, outcomes)),
    )


def _split(link: SharedLink, prompts: Sequence[str]) -> str:
    return f"{link.same_sign(prompts)} of {len(prompts)}" if prompts else "–"


def _claims(record: Record, link: SharedLink, outcomes: Sequence[Outcome]) -> list[str]:
    """Outcomes of the expectations of this edge, by split."""
    spec = record.hypothesis.graph
    edges = [each for each in (spec.expect if spec else ()) if isinstance(each, Edge)]
    mine = [each for each in edges if (each.edge.from_, each.edge.to) == (link.source, link.target)]
    measures = {word(each).measure for each in mine}
    return [
        f"{each.split}: {each.outcome} ({each.n_held} of {len(each.prompts)}, {each.needed} needed)"
        for each in outcomes
        if each.intervention == GRAPH and each.expectation in measures
    ]
