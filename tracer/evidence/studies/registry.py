"""How every kind of study is judged: a new one is a file here, and named here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracer.evidence.conclusion import Judged
from tracer.evidence.context import JudgingContext
from tracer.evidence.studies import circuit, mediation, necessity, shared, swaps
from tracer.evidence.studies.study import StudyEvidence

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
