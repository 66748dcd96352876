"""Mediation: how much of a clamp's effect is gone when the mediators are held at clean values.

PM = 1 − Δm(clamped, mediators held) / Δm(clamped), with m = logit(first) − logit(second). Near 1
the effect goes through the mediators; at 0 they carry nothing of it; below 0 they work against it.
It is one minus the controlled direct effect (Pearl 2001) as a share of the total, no decomposition:
with other paths in play the shares of several mediators need not add up to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tracer.evidence.case import Case, Wording, untested
from tracer.evidence.conclusion import Judged
from tracer.evidence.context import JudgingContext
from tracer.evidence.measures.effect import EffectChange, changes_of
from tracer.evidence.outcomes import split_outcome
from tracer.evidence.studies.study import Cell, StudyEvidence, StudyRow, StudyTable
from tracer.evidence.wording import clamp_words, exact, named, number, show_written, signed
from tracer.hypothesis.expectations.effect import LogitDiff
from tracer.hypothesis.studies.mediation import HELD, TOTAL, MediatedShare, Mediation
from tracer.record.record import Record
from tracer.record.trials import Reading
from tracer.record.verdict import PromptOutcome, Verdict

LEAST_EFFECT = 0.5
"""Logits; a share of less is a share of nearly nothing."""


def judge(context: JudgingContext, name: str, study: Mediation) -> Iterator[Judged]:
    """Its outcomes."""
    where = f"with {clamp_words(study.clamp)}"
    for expectation in study.expect:
        wording = _word(study, expectation)
        for split, prompts in context.splits(study.prompts):
            found = [_on(context, name, expectation, prompt) for prompt in prompts]
            outcome = split_outcome(name, split, wording, expectation.mostly, found)
            yield Judged(where, expectation, wording, outcome)


def _word(study: Mediation, expectation: MediatedShare) -> Wording:
    first, second = (show_written(token) for token in expectation.logit_diff)
    bounds = ((">", expectation.share_above), ("<", expectation.share_below))
    tests = [f"{sign} {exact(bound)}" for sign, bound in bounds if bound is not None]
    measure = (
        f"share through {named(study.through)} of the effect on logit({first}) − logit({second})"
    )
    return Wording(measure, " and ".join(tests))


def _on(
    context: JudgingContext, name: str, expectation: MediatedShare, prompt: str
) -> PromptOutcome:
    cases: dict[str, Case] = {}
    for suffix in (TOTAL, HELD):
        trial = context.trial(f"{name}.{suffix}", prompt)
        if isinstance(trial, str):
            return untested(prompt, trial)
        cases[suffix] = context.case(f"{name}.{suffix}", trial)
    total, held = (_effect(cases[suffix], expectation) for suffix in (TOTAL, HELD))
    if math.isnan(total) or math.isnan(held):
        return untested(prompt, "the difference of two infinite logits is no number")
    if abs(total) < LEAST_EFFECT:
        return untested(
            prompt,
            f"the clamps change it by {signed(total)} only; a share is told of {LEAST_EFFECT:g} "
            "or more",
        )
    share = 1 - held / total
    above, below = expectation.share_above, expectation.share_below
    is_held = (above is None or share > above) and (below is None or share < below)
    observed = f"{number(share)} ({signed(total)}, with mediators held {signed(held)})"
    return cases[TOTAL].tested(held=is_held, observed=observed, value=share)


def _effect(case: Case, expectation: MediatedShare) -> float:
    def difference(reading: Reading) -> float:
        first, second = (reading.tokens[case.token(t)].logit for t in expectation.logit_diff)
        return first - second

    return difference(case.trial.reading) - difference(case.prompt.baseline)


def tables(record: Record, verdict: Verdict, name: str, study: Mediation) -> Iterator[StudyTable]:
    """One for each logit difference: what the clamps do, and what of it goes through."""
    through = ", ".join(record.supernodes[node].label for node in study.through)
    for first, second in dict.fromkeys(each.logit_diff for each in study.expect):
        difference = LogitDiff(logit_diff=(first, second))
        total, held = (
            {each.prompt: each for each in changes_of(record, f"{name}.{suffix}", difference)}
            for suffix in (TOTAL, HELD)
        )
        yield StudyTable(
            f"through {through}",
            f"Change of logit({show_written(first)}) − logit({show_written(second)}), and what is "
            f"left of it with {through} held at clean values. Share = 1 − held / clamped.",
            ("Prompt", "Split", "Clamped", "Mediators held", "Share through them"),
            tuple(StudyRow(p, _cells(each, held[p])) for p, each in total.items() if p in held),
        )


def _cells(total: EffectChange, held: EffectChange) -> tuple[Cell, ...]:
    whole, rest = total.change, held.change
    share = number(1 - rest / whole) if abs(whole) >= LEAST_EFFECT else "too small an effect"
    split = "held out" if total.held_out else "discovery"
    return tuple(map(Cell, (split, signed(whole), signed(rest), share)))


EVIDENCE = StudyEvidence(Mediation, judge, tables)
