"""The attribution graphs of a run, as the report shows them: what they carry, and how right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from tracer.evidence.calibration import Calibration, direct, total
from tracer.record.record import Record
from tracer.record.studies import Ablation, GraphEdge, GraphRecord
from tracer.report.limits import MAX_EDGES, cut
from tracer.report.scatter import Scatter, scatter
from tracer.report.text import number, percent, signed, visible_token


@dataclass(frozen=True)
class EdgeRow:
    """Direct effect of one supernode on another, or on the output."""

    source: str
    target: str
    share: str
    weight: str


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
    edges: tuple[EdgeRow, ...]
    unlisted: str
    """How many more edges there are; empty where all are listed."""
    calibrations: tuple[CalibrationView, ...]
    file: str


def graph_views(record: Record) -> tuple[GraphView, ...]:
    """Every graph of a run, in the file's order."""
    return tuple(_view(record, prompt, graph) for prompt, graph in record.graphs.items())


def _view(record: Record, prompt: str, graph: GraphRecord) -> GraphView:
    edges = cut(_strongest(graph.edges), MAX_EDGES, "edges", "run.json")
    return GraphView(
        prompt=prompt,
        held_out=record.prompts[prompt].held_out,
        target=visible_token(graph.target),
        kept=(
            f"{graph.n_features:,} of {graph.n_active:,} active features are nodes; they carry "
            f"{percent(graph.relevance_share)} of the relevance. What the others write is in the "
            "error nodes."
        ),
        facts=(
            ("Replacement score", _score(graph.replacement)),
            ("Completeness score", _score(graph.completeness)),
            ("The same, supernodes alone", _alone(graph)),
            ("Features after pruning", f"{graph.n_pruned:,}"),
        ),
        edges=tuple(_edge(record, edge) for edge in edges.kept),
        unlisted=edges.told,
        calibrations=tuple(_calibrations(graph.ablations)),
        file=graph.file,
    )


def _score(value: float | None) -> str:
    return "–" if value is None else number(value)


def _alone(graph: GraphRecord) -> str:
    return f"{_score(graph.supernode_replacement)} and {_score(graph.supernode_completeness)}"


def _strongest(edges: Sequence[GraphEdge]) -> list[GraphEdge]:
    there = [edge for edge in edges if edge.share]
    return sorted(there, key=lambda edge: -abs(edge.share or 0.0))


def _edge(record: Record, edge: GraphEdge) -> EdgeRow:
    node = record.supernodes.get(edge.target)
    return EdgeRow(
        source=record.supernodes[edge.source].label,
        target=node.label if node else "the output",
        share=f"{signed(100 * (edge.share or 0.0))} %",
        weight=signed(edge.weight),
    )


def _calibrations(ablations: Sequence[Ablation]) -> list[CalibrationView]:
    found = [each for each in ablations if all(map(isfinite, _numbers(each)))]
    if not found:
        return []
    return [
        CalibrationView(
            "Direct effect, everything frozen",
            "The graph must be right here.",
            _summary(direct(found)),
            _plot(found, [(a.predicted_direct, a.measured_direct) for a in found]),
        ),
        CalibrationView(
            "All paths, attention frozen",
            "Norms and MLPs react, which no linear graph knows.",
            _summary(total(found, free=False)),
            _plot(found, [(a.predicted_total, a.measured_attention) for a in found]),
        ),
        CalibrationView(
            "All paths, everything reacts",
            "Attention may move too.",
            _summary(total(found, free=True)),
            _plot(found, [(a.predicted_total, a.measured_free) for a in found]),
        ),
    ]


def _numbers(ablation: Ablation) -> tuple[float, ...]:
    return (
        ablation.predicted_direct,
        ablation.predicted_total,
        ablation.measured_direct,
        ablation.measured_attention,
        ablation.measured_free,
    )


def _plot(ablations: Sequence[Ablation], points: Sequence[tuple[float, float]]) -> Scatter:
    return scatter(
        [
            (x, y, each.is_supernode, f"{each.name}: predicted {signed(x)}, measured {signed(y)}")
            for each, (x, y) in zip(ablations, points, strict=True)
        ]
    )


def _summary(found: Calibration) -> str:
    r = "–" if found.r is None else number(found.r)
    slope = "–" if found.slope is None else number(found.slope)
    return f"r {r}, slope {slope}, same sign {found.same_sign} of {found.n}"
