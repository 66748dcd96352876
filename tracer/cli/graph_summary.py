"""What `tracer graph` prints of a graph: for people, and as JSON for programs.

{"schema": "tracer.graphs/1", "tracer": "0.1.0", "graphs": [
{"name": null, "prompt": "…", "tokens": ["…"], "model": "…", "basis": "neurons",
"n_active": 430000, "n_kept": 2048, "relevance_share": 0.21,
"pruning": {"nodes": 0.8, "edges": 0.98}, "n_nodes": 812, "n_edges": 33410,
"replacement": 0.31, "completeness": 0.72,
"targets": [{"label": " Austin", "token": 34, "weight": 0.41}],
"features": [{"id": "12_1034_9", "token": " Dallas", "activation": 1.2, "influence": 0.05,
"strongest": {"target": " Austin", "is_logit": true, "weight": 0.5}}],
"files": ["graphs/….json", "graphs/….safetensors"]}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich.text import Text

from tracer import __version__
from tracer.cli.percent import percent
from tracer.graph.graph import Pruning, Subject
from tracer.graph.nodes import Logit
from tracer.graph.summary import InfluentialFeature, Strongest, Summary
from tracer.hypothesis.problem import shorten
from tracer.terminal import Screen

SCHEMA = "tracer.graphs/1"
_MAX_PROMPT = 400
_ALL = 1 - 1e-6
"""A share of relevance from here on leaves no rest but rounding."""
_MAX_TOKEN = 13
"""So that a row of the longest ids fits into 80 columns."""


@dataclass(frozen=True)
class Written:
    """A graph that has been written, without its nodes and edges."""

    name: str | None
    subject: Subject
    logits: tuple[Logit, ...]
    pruning: Pruning | None
    summary: Summary
    paths: tuple[str, ...]


def to_json(written: Iterable[Written]) -> str:
    """Everything that was written as one JSON document."""
    document = {
        "schema": SCHEMA,
        "tracer": __version__,
        "graphs": [_data(each) for each in written],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _data(each: Written) -> dict[str, Any]:
    subject, summary = each.subject, each.summary
    return {
        "name": each.name,
        "prompt": subject.prompt,
        "tokens": list(subject.tokens),
        "model": subject.model,
        "basis": subject.basis,
        "n_active": subject.n_active,
        "n_kept": summary.n_kept,
        "relevance_share": subject.relevance_share,
        "pruning": each.pruning and asdict(each.pruning),
        "n_nodes": summary.n_nodes,
        "n_edges": summary.n_edges,
        **summary.scores._asdict(),
        "targets": [asdict(logit) for logit in each.logits],
        "features": [_feature_data(feature) for feature in summary.features],
        "files": list(each.paths),
    }


def _feature_data(feature: InfluentialFeature) -> dict[str, Any]:
    strongest = feature.strongest
    return feature._asdict() | {"strongest": strongest and strongest._asdict()}


def print_graph(screen: Screen, each: Written) -> None:
    """A heading, the counts, what is explained, and the most influential features."""
    if each.name is not None:
        screen.say(each.name, "bold")
    screen.paragraph(shorten(each.subject.prompt, _MAX_PROMPT), "italic")
    for sentence in _sentences(each):
        screen.paragraph(sentence)
    screen.say()
    rows = [(shorten(repr(logit.label), 50), _weight(logit)) for logit in each.logits]
    _table(screen, ("explained", "probability"), rows)
    screen.say()
    if each.summary.features:
        headings = ("feature", "at token", "activation", "influence", "strongest edge to")
        _table(screen, headings, [_row(feature) for feature in each.summary.features])
        screen.say()
    for path in each.paths:
        screen.say(f"  {path}")
    screen.say()


def _sentences(each: Written) -> list[str]:
    subject, summary = each.subject, each.summary
    what = subject.basis if subject.basis == "neurons" else "features"
    carried = f"carry {percent(subject.relevance_share)} of the relevance"
    if subject.relevance_share < _ALL:
        carried += "; the rest is in the error nodes"
    cut = "nothing pruned"
    if each.pruning is not None:
        cut = f"pruned to {each.pruning.nodes:g} of the nodes' influence, "
        cut += f"{each.pruning.edges:g} of the edges'"
    return [
        f"{subject.model}, {subject.basis}, {len(subject.tokens):,} tokens",
        f"{summary.n_kept:,} of {subject.n_active:,} active {what} {carried}",
        f"{summary.n_nodes:,} nodes, {summary.n_edges:,} edges; {cut}",
        f"replacement score {_score(summary.scores.replacement)}, completeness score "
        f"{_score(summary.scores.completeness)}, both of the whole graph",
    ]


def _score(score: float | None) -> str:
    return "not defined" if score is None else f"{score:.2f}"


def _weight(logit: Logit) -> str:
    return "a difference" if logit.token is None else f"{100 * logit.weight:.1f} %"


def _row(feature: InfluentialFeature) -> tuple[str, ...]:
    return (
        feature.id,
        _shown(feature.token),
        f"{feature.activation:+.3g}",
        f"{feature.influence:.3g}",
        _edge(feature.strongest),
    )


def _edge(strongest: Strongest | None) -> str:
    if strongest is None:
        return "none"
    target = _shown(strongest.target) if strongest.is_logit else strongest.target
    return f"{target} {strongest.weight:+.3g}"


def _shown(token: str) -> str:
    return shorten(repr(token), _MAX_TOKEN)


def _table(screen: Screen, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    cells: list[list[Text]] = [[screen.text(text) for text in row] for row in rows]
    screen.table([(heading, 0) for heading in headings], cells)
