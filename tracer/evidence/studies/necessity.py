"""Necessity: the expectation must hold however the supernodes are taken away.

On each prompt the weakest kind decides. How much the effect differs between kinds is told beside
it, since an effect that only one kind of ablation has may be that kind's own doing.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from tracer.evidence.across import is_across, judge_across
from tracer.evidence.conclusion import Group, Judged
from tracer.evidence.context import JudgingContext
from tracer.evidence.measures.effect import Effect, EffectChange, changes_of
from tracer.evidence.outcomes import split_outcome
from tracer.evidence.strength import lacks_of_clamps
from tracer.evidence.studies.study import Cell, StudyEvidence, StudyRow, StudyTable
from tracer.evidence.wording import counted, named, number, show_written, signed
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.effect import LogitDiff, Probability
from tracer.hypothesis.studies.necessity import Necessity
from tracer.record.record import Record
from tracer.record.verdict import PromptOutcome, Verdict, rank


def judge(context: JudgingContext, name: str, study: Necessity) -> Iterator[Judged]:
    """Its outcomes, kinds taken together."""
    specs = dict(study.interventions(name))
    spec = next(iter(specs.values()))
    where = f"with {named(study.ablate)} ablated in {len(study.kinds)} ways"
    for expectation in study.expect:
        for split, prompts in context.splits(study.prompts):
            wording = context.word(expectation, spec, prompts)
            if is_across(expectation):
                names = list(specs)
                outcome = judge_across(context, name, names, expectation, split, prompts, wording)
            else:
                found = [_on(context, name, list(specs), expectation, p) for p in prompts]
                outcome = split_outcome(name, split, wording, expectation.mostly, found)
            yield Judged(where, expectation, wording, outcome)


def _on(
    context: JudgingContext, name: str, kinds: list[str], expectation: Expectation, prompt: str
) -> PromptOutcome:
    found = {each: context.on(each, expectation, prompt) for each in kinds}
    return _together({each.removeprefix(f"{name}."): one for each, one in found.items()})


def _together(found: dict[str, PromptOutcome]) -> PromptOutcome:
    """The worst of them, with what each observed."""
    worst_name, worst = min(found.items(), key=lambda item: rank(item[1]))
    if worst.outcome == "untested":
        return worst.model_copy(update={"reason": f"{worst.reason} ({worst_name})"})
    observed = "; ".join(f"{name}: {one.observed}" for name, one in found.items())
    return worst.model_copy(
        update={
            "observed": observed,
            "value": _weakest(list(found.values())),
            "p": _largest([one.p for one in found.values()]),
            "least_p": _largest([one.least_p for one in found.values()]),
        }
    )


def _weakest(found: Sequence[PromptOutcome]) -> float | None:
    """The number nearest to no effect."""
    values = [one.value for one in found if one.value is not None]
    return min(values, key=abs) if values else None


def _largest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None


def tables(record: Record, verdict: Verdict, name: str, study: Necessity) -> Iterator[StudyTable]:
    """The change of the first number that is expected, by kind of ablation."""
    subject = f"without {', '.join(record.supernodes[node].label for node in study.ablate)}"
    measure = _measure(study)
    if measure is None:
        told = "No expectation reads a number that the kinds could be compared on."
        yield StudyTable(subject, "", (), (), told)
        return
    by_kind: dict[str, list[EffectChange]] = {kind: [] for kind in study.kinds}
    for each, _ in study.interventions(name):
        kind = each.removeprefix(f"{name}.").split("-")[0]
        by_kind[kind] += changes_of(record, each, measure)
    yield StudyTable(
        subject,
        f"Change of {_words(measure)} by kind of ablation: median [least, greatest]; a resample is "
        "one draw from one reference prompt.",
        ("Kind", "Discovery", "Held out"),
        tuple(StudyRow(kind, _cells(found)) for kind, found in by_kind.items()),
        _spread(by_kind),
    )


def _measure(study: Necessity) -> Effect | None:
    """What the kinds are compared on: a difference, else a probability, else a token's."""
    kinds = (LogitDiff, Probability)
    stated = [each for kind in kinds for each in study.expect if isinstance(each, kind)]
    tokens = [t for each in study.expect for found in each.tokens().values() for t in found]
    given = [Probability(probability=token) for token in tokens]
    return next(iter((*stated, *given)), None)


def _words(measure: Effect) -> str:
    if isinstance(measure, Probability):
        return f"p({show_written(measure.probability)})"
    return "logit({}) − logit({})".format(*map(show_written, measure.logit_diff))


def _cells(found: Sequence[EffectChange]) -> tuple[Cell, ...]:
    return tuple(
        Cell(_summary([each.change for each in found if each.held_out == held_out]))
        for held_out in (False, True)
    )


def _summary(changes: Sequence[float]) -> str:
    if not changes:
        return "–"
    shown = [signed(each) for each in (statistics.median(changes), min(changes), max(changes))]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]" if len(changes) > 1 else shown[0]


def _spread(by_kind: dict[str, list[EffectChange]]) -> str:
    """How much the kinds differ, and on which prompts the sign does."""
    medians = [statistics.median(c.change for c in found) for found in by_kind.values() if found]
    if len(medians) < 2:
        return ""
    mean, sigma = statistics.mean(medians), statistics.stdev(medians)
    told = f"Between kinds: standard deviation {number(sigma)} of a mean change of {signed(mean)}"
    signs: dict[str, set[bool]] = {}
    for found in by_kind.values():
        for each in found:
            signs.setdefault(each.prompt, set()).add(each.change > 0)
    turned = [prompt for prompt, seen in signs.items() if len(seen) > 1]
    if not turned:
        return f"{told}; the sign is the same under every kind on every prompt."
    where = f"{counted(len(turned), 'prompt')}: {', '.join(turned)}"
    return f"{told}; the sign changes with the kind on {where}."


def lacks(
    context: JudgingContext, name: str, study: Necessity, groups: Sequence[Group]
) -> Iterator[str]:
    """What an intervention lacks, kind by kind."""
    yield from lacks_of_clamps(context, name, dict(study.interventions(name)), groups)


EVIDENCE = StudyEvidence(Necessity, judge, tables, lacks)
