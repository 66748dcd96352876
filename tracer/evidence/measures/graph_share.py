"""A share that is read off an attribution graph, held against its bounds and its controls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tracer.evidence.case import untested
from tracer.evidence.statistics import Side
from tracer.evidence.wording import exact, p_text, signed
from tracer.hypothesis.expectations.edge import OUTPUT
from tracer.hypothesis.expectations.head_share import ShareBounds
from tracer.record.head_shares import HeadShareRecord
from tracer.record.record import Record
from tracer.record.testable import baseline_problem
from tracer.record.trials import GraphEdge, GraphRecord
from tracer.record.verdict import PromptOutcome

Compared = GraphEdge | HeadShareRecord
"""What says how many other sets have as much."""


class Share(NamedTuple):
    """A share, and what it is compared with."""

    value: float
    found: Compared
    no_controls: str
    """Why there are none, where there are none."""
    drawn: str
    """How many there are: '9 controls'."""
    show: Callable[[float], str] = signed
    """Writes it."""


def bounds_words(bounds: ShareBounds) -> str:
    """How its tests are written: '> 0.10 and above controls, p ≤ 0.05'."""
    limits = ((">", bounds.above), ("<", bounds.below))
    tests = [f"{sign} {exact(limit)}" for sign, limit in limits if limit is not None]
    if bounds.alpha is not None:
        side = "above" if bounds.beats_controls is not None else "below"
        tests.append(f"{side} controls, p ≤ {exact(bounds.alpha)}")
    return " and ".join(tests)


def graph_of(record: Record, prompt: str, names: Iterable[str]) -> GraphRecord | str:
    """A prompt's graph; or why nothing of these supernodes can be judged in it."""
    graph = record.graphs.get(prompt)
    if graph is None:
        return "its graph was not measured: the run is incomplete"
    problem = baseline_problem(record.prompts[prompt])
    return problem or _silent(graph, names) or graph


def _silent(graph: GraphRecord, names: Iterable[str]) -> str | None:
    """Why a supernode is not in the graph; None where all are."""
    for name in names:
        if graph.members.get(name, 1) == 0:
            return f"no active feature: {name} is silent on this prompt"
        if name not in graph.members and name != OUTPUT:
            return f"{name} has no place on this prompt"
    return None


def judge_share(prompt: str, share: Share, bounds: ShareBounds) -> PromptOutcome:
    """Judge a share; untested where it has too few controls for the p that is asked."""
    value, found, alpha = share.value, share.found, bounds.alpha
    if math.isnan(value):
        return untested(prompt, "the share is not a number")
    held = (bounds.above is None or value > bounds.above) and (
        bounds.below is None or value < bounds.below
    )
    p, least, compared = None, None, ""
    if alpha is not None:
        least = 1 / (found.n_controls + 1)
        if found.control_median is None:
            return untested(prompt, f"no controls: {share.no_controls}")
        if least > alpha:
            told = f"{share.drawn} can reach p {p_text(least)} at best"
            return untested(prompt, f"{told}, not {exact(alpha)}")
        p = share_p(found, "below" if bounds.beats_controls is None else "above")
        held = held and p <= alpha
        compared = f", p {p_text(p)} (controls {share.show(found.control_median)})"
    return PromptOutcome(
        prompt=prompt,
        outcome="held" if held else "failed",
        observed=share.show(value) + compared,
        value=value,
        p=p,
        least_p=least,
    )


def share_p(found: Compared, side: Side) -> float:
    """How often another set in its place does as much, Monte-Carlo."""
    as_far = found.n_as_high if side == "above" else found.n_as_low
    return (1 + as_far) / (found.n_controls + 1)
