"""The attribution graphs of a run, as the report shows them: scores, edges and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from tracer.evidence.claimed_links import contradictions
from tracer.evidence.measures.edge import Calibration, direct, total
from tracer.evidence.measures.graph_share import Compared, share_p
from tracer.evidence.wording import p_text
from tracer.hypothesis.clamps import LogitDiffDirection
from tracer.record.graph.heads import HeadShare
from tracer.record.head_shares import HeadShareRecord
from tracer.record.record import Record
from tracer.record.trials import Ablation, GraphEdge, GraphRecord
from tracer.report.curves import Scatter, scatter
from tracer.report.graph_consensus import GraphConsensusView
from tracer.report.graph_supernodes import contradiction_words, graph_diagram
from tracer.report.head_reason import AttentionRow, recorded_row
from tracer.report.limits import MAX_EDGES, Cut, cut
from tracer.report.run_graphs import InlineGraph
from tracer.report.sections.supernodes import direction
from tracer.report.supernode_diagram import SupernodeDiagram
from tracer.report.text import heads_text, number, percent, signed, visible_token


@dataclass(frozen=True)
class EdgeRow:
    """Direct effect of one supernode on another, or on the output."""

    source: str
    target: str
    share: str
    controls: str
    weight: str
    heads: str
    """Which carry it; empty where that was not asked for."""


@dataclass(frozen=True)
class HeadRow:
    """What heads have of an edge or of a score."""

    claim: str
    heads: str
    share: str
    """Or why there is none."""
    controls: str
    part: str
    whole: str
    looks: AttentionRow | None
    """What the heads look at, where that was kept."""


@dataclass(frozen=True)
class CalibrationView:
    """Predicted against measured under one freeze mode."""

    title: str
    note: str
    summary: str
    plot: Scatter


@dataclass(frozen=True)
class GraphView:
    """One prompt's graph."""

    prompt: str
    held_out: bool
    target: str
    kept: str
    facts: tuple[tuple[str, str], ...]
    diagram: SupernodeDiagram | None
    contradictions: tuple[str, ...]
    """Claims of the file whose sign was not found here."""
    edges: Cut[EdgeRow]
    carried: tuple[HeadRow, ...]
    """What heads carry of edges, where the file claims it."""
    reasons: tuple[HeadRow, ...]
    """Why heads look somewhere, where the file claims it."""
    looks: tuple[HeadRow, ...]
    """How much they look somewhere, where the file claims it."""
    calibrations: tuple[CalibrationView, ...]


@dataclass(frozen=True)
class GraphsView:
    """All graphs of a run."""

    graphs: tuple[GraphView, ...]
    consensus: GraphConsensusView | None
    """What they have in common; None of a single one."""
    inline: tuple[InlineGraph, ...]
    """Those that the page itself carries."""
    problems: Mapping[str, str]
    """By prompt, why a graph cannot be drawn."""


def graph_views(record: Record) -> tuple[GraphView, ...]:
    """Every graph of a run, in the file's order."""
    return tuple(_view(record, prompt, graph) for prompt, graph in record.graphs.items())


def _view(record: Record, prompt: str, graph: GraphRecord) -> GraphView:
    strongest = sorted((e for e in graph.edges if e.share), key=lambda e: -abs(e.share or 0.0))
    edges = cut(strongest, MAX_EDGES, "edges", "run.json")
    theirs = f"{number(graph.kept_replacement)} and {number(graph.kept_completeness)}"
    alone = f"{number(graph.supernode_replacement)} and {number(graph.supernode_completeness)}"
    return GraphView(
        prompt=prompt,
        held_out=record.prompts[prompt].held_out,
        target=_explained(record, graph),
        kept=(
            f"{graph.n_features:,} of {graph.n_active:,} active features are nodes; they carry "
            f"{percent(graph.relevance_share)} of the relevance. What the others write is in the "
            "error nodes."
        ),
        facts=(
            ("Replacement score", number(graph.replacement)),
            ("Completeness score", number(graph.completeness)),
            ("As circuit-tracer counts", theirs),
            ("The same, supernodes alone", alone),
            ("Features after pruning", f"{graph.n_pruned:,}"),
        ),
        diagram=graph_diagram(record, prompt),
        contradictions=contradicted(record, prompt),
        edges=Cut(tuple(_edge(record, edge) for edge in edges.kept), edges.note),
        carried=tuple(_head_row(record, prompt, *each) for each in graph.carried.items()),
        reasons=tuple(_head_row(record, prompt, *each) for each in graph.reasons.items()),
        looks=tuple(_head_row(record, prompt, *each) for each in graph.looks.items()),
        calibrations=_calibrations(graph.ablations),
    )


def _explained(record: Record, graph: GraphRecord) -> str:
    declared = record.hypothesis.graph
    if declared is not None and isinstance(declared.toward, LogitDiffDirection):
        return direction(declared.toward)
    return visible_token(graph.target)


def contradicted(record: Record, prompt: str) -> tuple[str, ...]:
    """A sentence for each claim whose sign the graph of a prompt, or an ablation, does not have."""
    found = contradictions(record, prompt)
    return tuple(contradiction_words(record, prompt, each) for each in found)


def _controls(edge: Compared) -> str:
    """Where a share stands among those of random sets."""
    if edge.control_median is None:
        return "–"
    p = min(share_p(edge, "above"), share_p(edge, "below"))
    return f"{signed(100 * edge.control_median)} %, p {p_text(p)}"


def _edge(record: Record, edge: GraphEdge) -> EdgeRow:
    node = record.supernodes.get(edge.target)
    return EdgeRow(
        source=record.supernodes[edge.source].label,
        target=node.label if node else "the output",
        share=f"{signed(100 * (edge.share or 0.0))} %",
        controls=_controls(edge),
        weight=signed(edge.weight),
        heads=_heads(edge),
    )


def _heads(edge: GraphEdge) -> str:
    shares = [HeadShare(each.layer, each.head, each.weight) for each in edge.heads]
    return heads_text(shares, edge.weight) if edge.weight else ""


def _head_row(record: Record, prompt: str, claim: str, found: HeadShareRecord) -> HeadRow:
    share = found.problem or "–"
    if found.share is not None:
        share = f"{signed(100 * found.share)} %"
    return HeadRow(
        claim=claim,
        heads=", ".join(found.heads),
        share=share,
        controls=_controls(found),
        part=signed(found.part),
        whole=signed(found.whole),
        looks=recorded_row(record.prompts[prompt], claim, found.attention),
    )


def _calibrations(ablations: Sequence[Ablation]) -> tuple[CalibrationView, ...]:
    found = [each for each in ablations if all(map(isfinite, _numbers(each)))]
    if not found:
        return ()
    return (
        CalibrationView(
            "Direct effect, everything frozen",
            "The graph must be right here.",
            _summary(direct(found)),
            scatter([_point(a, a.predicted_direct, a.measured_direct) for a in found]),
        ),
        CalibrationView(
            "All paths, attention frozen",
            "Norms and MLPs react, which no linear graph knows.",
            _summary(total(found, free=False)),
            scatter([_point(a, a.predicted_total, a.measured_attention) for a in found]),
        ),
        CalibrationView(
            "All paths, everything reacts",
            "Attention may move too.",
            _summary(total(found, free=True)),
            scatter([_point(a, a.predicted_total, a.measured_free) for a in found]),
        ),
    )


def _numbers(ablation: Ablation) -> tuple[float, ...]:
    return (
        ablation.predicted_direct,
        ablation.predicted_total,
        ablation.measured_direct,
        ablation.measured_attention,
        ablation.measured_free,
    )


def _point(ablation: Ablation, x: float, y: float) -> tuple[float, float, bool, str]:
    title = f"{ablation.name}: predicted {signed(x)}, measured {signed(y)}"
    return x, y, ablation.is_supernode, title


def _summary(found: Calibration) -> str:
    r, slope = number(found.r), number(found.slope)
    return f"r {r}, slope {slope}, same sign {found.same_sign} of {found.n}"
