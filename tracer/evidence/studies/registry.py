"""How every kind of study is judged: a new one is a file here, and named here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tracer.evidence.conclusion import Group, Judged, grouped
from tracer.evidence.context import JudgingContext
from tracer.evidence.origin import CIRCULAR
from tracer.evidence.strength import by_claim, lacks_of_clamps
from tracer.evidence.studies import circuit, mediation, necessity, shared, swaps
from tracer.evidence.studies.study import StudyEvidence
from tracer.hypothesis.attention import heads_words
from tracer.hypothesis.expectations.attends import Attends
from tracer.hypothesis.expectations.carried import Carried
from tracer.hypothesis.robustness import ROBUSTNESS
from tracer.hypothesis.studies.graph import GRAPH

STUDIES: tuple[StudyEvidence[Any], ...] = (
    necessity.EVIDENCE,
    mediation.EVIDENCE,
    swaps.EVIDENCE,
    circuit.EVIDENCE,
    shared.EVIDENCE,
)


def judge_studies(context: JudgingContext) -> Iterator[Judged]:
    """Outcomes of every study, kind by kind."""
    for evidence in STUDIES:
        for name, study in context.asked.studies_of(evidence.kind).items():
            yield from evidence.judge(context, name, study)


def missing(context: JudgingContext, judged: Sequence[Judged]) -> tuple[str, ...]:
    """What a run whose expectations all held lacks to be confirmed; what is circular first."""
    claims = by_claim(grouped(judged))
    found = [clause for name, groups in claims.items() for clause in _lacks(context, name, groups)]
    return tuple(sorted(dict.fromkeys(found), key=lambda clause: not clause.startswith(CIRCULAR)))


def _all_heads(context: JudgingContext) -> Iterator[str]:
    """Heads of a graph's edge that are all of their layers, so that no others can be compared."""
    spec = context.asked.graph
    for each in spec.expect if spec else ():
        if isinstance(each, Carried):
            found = [g.carried.get(each.carried.key) for g in context.record.graphs.values()]
            if any(x and x.is_every_set and x.n_controls == 0 for x in found):
                yield (
                    f"other heads: {heads_words(each.carried.heads)} are all of their layers, so "
                    "what passes them is what passes attention there"
                )


def _lacks(context: JudgingContext, name: str, groups: Sequence[Group]) -> Iterator[str]:
    """What one claim lacks."""
    asked = context.asked
    if name in asked.interventions:
        yield from lacks_of_clamps(context, name, {name: asked.interventions[name]}, groups)
        return
    for evidence in STUDIES:
        study = asked.studies_of(evidence.kind).get(name)
        if study is not None and evidence.lacks is not None:
            yield from evidence.lacks(context, name, study, groups)
            return
    if name == GRAPH:
        yield from _all_heads(context)
        of_edges = [g for g in groups if not isinstance(g[0].expectation, Attends)]
        if of_edges:
            yield (
                "an intervention: an edge is what the replacement model does, not what the model "
                "does"
            )
        if len(of_edges) < len(groups):
            yield "an intervention: that a head looks somewhere does not say that anything needs it"
    elif name != ROBUSTNESS:
        yield f"matched controls: nothing that {name} expects is compared with them"
