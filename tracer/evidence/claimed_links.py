"""The links between supernodes that a file claims, each with its sign, and what speaks against it.

A file tells a story by what it expects: that *say Austin* falls below 60 % where *Texas* is ablated
claims that Texas adds to it; that ' Austin' comes first no more, that Texas adds to ' Austin'. The
direct effects of a graph, and ablations measured on the model, have signs of their own.
Where they differ the claim may still be true along other paths, but not along this one.

An activation that is put in from another prompt claims nothing of this prompt's graph, whose edges
are those of the activations that the features have here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from tracer.evidence.moved import takes_away, tokens_of
from tracer.hypothesis.clamps import (
    ClampForm,
    LogitDiffDirection,
    TokenDirection,
    long_form,
    taken_from,
)
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.edge import OUTPUT, Edge, EdgeTest
from tracer.hypothesis.expectations.fraction import Fraction
from tracer.hypothesis.studies.graph import GRAPH
from tracer.hypothesis.studies.necessity import Necessity
from tracer.hypothesis.template import TemplateMistake, render_token
from tracer.record.record import Record
from tracer.record.trials import GraphEdge, GraphRecord

Sign = Literal[-1, 1]


class ClaimedLink(NamedTuple):
    """That one supernode adds to another (+1), or takes away from it (−1)."""

    source: str
    target: str
    """A supernode, or `output`: what the graph explains."""
    sign: Sign
    where: str
    """The intervention, study or section that claims it."""


class Contradiction(NamedTuple):
    """A claim, and what was found with the other sign."""

    claim: ClaimedLink
    found: Literal["direct", "ablated"]
    """The share of the graph's edges, or the measured change of what it explains."""
    value: float


def claimed_links(record: Record, prompt: str) -> tuple[ClaimedLink, ...]:
    """What the file claims of the supernodes in one prompt's graph, each link and sign once."""
    found: dict[tuple[str, str, Sign], ClaimedLink] = {}
    for each in (*_of_edges(record), *_of_clamps(record, prompt)):
        found.setdefault((each.source, each.target, each.sign), each)
    return tuple(found.values())


def contradictions(record: Record, prompt: str) -> tuple[Contradiction, ...]:
    """The claims whose sign the graph of a prompt, or an ablation in it, does not have."""
    graph = record.graphs[prompt]
    return tuple(
        Contradiction(claim, found, value)
        for claim in claimed_links(record, prompt)
        for found, value in _signs(graph, claim)
        if value * claim.sign < 0
    )


def measured_change(graph: GraphRecord, supernode: str) -> float | None:
    """Change of what a graph explains when a supernode is ablated and everything reacts."""
    found = (each for each in graph.ablations if each.is_supernode and each.name == supernode)
    return next((each.measured_free for each in found), None)


def _signs(
    graph: GraphRecord, claim: ClaimedLink
) -> Iterator[tuple[Literal["direct", "ablated"], float]]:
    """The numbers that have the sign of a claim, if it is right: what ablating takes is minus."""
    edge = edge_between(graph, claim.source, claim.target)
    if edge is not None and edge.share is not None:
        yield "direct", edge.share
    change = measured_change(graph, claim.source) if claim.target == OUTPUT else None
    if change is not None:
        yield "ablated", -change


def edge_between(graph: GraphRecord, source: str, target: str) -> GraphEdge | None:
    """The direct effects of one supernode on another; None where the graph has not both."""
    return next((e for e in graph.edges if (e.source, e.target) == (source, target)), None)


def _of_edges(record: Record) -> Iterator[ClaimedLink]:
    """Of the graph's own section: an edge that is to be above 0, or above its controls, adds."""
    spec = record.hypothesis.graph
    for expectation in spec.expect if spec else ():
        if not isinstance(expectation, Edge):
            continue
        edge = expectation.edge
        sign = _sign_of(edge)
        if sign is not None and not expectation.fails:
            yield ClaimedLink(edge.from_, edge.to, sign, GRAPH)


def _sign_of(edge: EdgeTest) -> Sign | None:
    if edge.beats_controls is not None or (edge.above is not None and edge.above >= 0):
        return 1
    if edge.undercuts_controls is not None or (edge.below is not None and edge.below <= 0):
        return -1
    return None


def _of_clamps(record: Record, prompt: str) -> Iterator[ClaimedLink]:
    """Of every intervention of the file, and of every study of necessity, which ablates."""
    hypothesis = record.hypothesis
    for name, spec in hypothesis.interventions.items():
        moved: dict[str, Sign | None] = {
            each: _moved(record, prompt, each, clamp) for each, clamp in spec.clamp.items()
        }
        yield from _between(name, moved, _effects(record, prompt, spec.expect))
    for name, study in hypothesis.studies_of(Necessity).items():
        lowered: dict[str, Sign | None] = dict.fromkeys(study.ablate, -1)
        yield from _between(name, lowered, _effects(record, prompt, study.expect))


def _between(
    where: str, moved: Mapping[str, Sign | None], effects: Iterable[tuple[str, Sign]]
) -> Iterator[ClaimedLink]:
    for target, sign in effects:
        for source, direction in moved.items():
            if direction is not None and source != target:
                yield ClaimedLink(source, target, 1 if direction == sign else -1, where)


def _moved(record: Record, prompt: str, supernode: str, clamp: ClampForm) -> Sign | None:
    """Whether a clamp makes more of what a supernode is here, or less; else None."""
    spec = long_form(clamp)
    unit, value = spec.amount
    if value == 0:
        return None if unit == "add" else -1
    if prompt not in taken_from(spec, record.supernodes[supernode].source, prompt):
        return None
    return None if value == 1 else 1 if value > 1 else -1


def _effects(
    record: Record, prompt: str, expect: Iterable[Expectation]
) -> Iterator[tuple[str, Sign]]:
    """What is expected to rise (+1) or to fall (−1): supernodes, and what the graph explains."""
    for each in expect:
        if each.fails or each.claims_no_change:
            continue
        if isinstance(each, Fraction):
            if each.fraction_below is not None and each.fraction_below <= 1:
                yield each.supernode, -1
            elif each.fraction_above is not None and each.fraction_above >= 1:
                yield each.supernode, 1
        elif (sign := _on_output(record, prompt, each)) is not None:
            yield OUTPUT, sign


def _on_output(record: Record, prompt: str, expectation: Expectation) -> Sign | None:
    """The way in which an expectation says that the explained logit, or difference, moves."""
    asked, declared = tokens_of(expectation), record.hypothesis.prompts[prompt]
    if asked is None:
        return None
    try:
        first, explained = render_token(asked[0], declared), _explained(record, prompt)
    except TemplateMistake:  # a variable that this prompt does not have
        return None
    if first not in explained:
        return None
    rises = not takes_away(expectation)
    return 1 if rises == (first == explained[0]) else -1


def _explained(record: Record, prompt: str) -> tuple[str, ...]:
    """The tokens of what a graph explains: one, or the two of a difference."""
    spec, declared = record.hypothesis.graph, record.hypothesis.prompts[prompt]
    match spec.toward if spec else None:
        case TokenDirection() as one:
            tokens = (one.token,)
        case LogitDiffDirection() as two:
            tokens = two.logit_diff
        case _:
            tokens = (record.graphs[prompt].target,)
    return tuple(render_token(token, declared) for token in tokens)
