"""From outcomes to one word and one sentence: confirmed, consistent, refuted or inconclusive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tracer.evidence.case import Wording
from tracer.evidence.wording import counted
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.top import TopIs, TopIsNot
from tracer.hypothesis.implied import all_interventions, variations
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.studies.circuit import CircuitSpec
from tracer.hypothesis.studies.shared import SharedSpec
from tracer.hypothesis.studies.study import SplitTest
from tracer.record.record import Record
from tracer.record.verdict import Outcome, OutcomeName, VerdictName


class Judged(NamedTuple):
    """An outcome with what it is the outcome of."""

    where: str
    """Begins a sentence about it: 'with texas ×0', 'in the attribution graph,'."""
    expectation: Expectation | SplitTest
    wording: Wording
    outcome: Outcome


class Conclusion(NamedTuple):
    """The verdict's word and its sentence."""

    verdict: VerdictName
    reason: str


Group = list[Judged]
"""The splits of one expectation."""


def conclude(
    record: Record, hypothesis: Hypothesis, judged: Sequence[Judged], missing: Sequence[str]
) -> Conclusion:
    """Failed outweighs untested, and untested held; an incomplete run concludes nothing.

    Args:
        record: What was observed.
        hypothesis: As it is judged.
        judged: Every outcome.
        missing: What it lacks to be confirmed, all of it held.
    """
    if record.status == "measuring":
        return Conclusion("inconclusive", _incomplete(record, hypothesis))
    groups = grouped(judged)
    if not groups:
        return Conclusion("inconclusive", "nothing was expected, so nothing was tested")
    failed = [group for group in groups if _has(group, "failed")]
    if failed:
        verb = "expectation" if len(groups) == 1 else "expectations"
        return Conclusion(
            "refuted",
            f"{len(failed)} of {len(groups)} {verb} failed: {_headline(failed, needed=True)}",
        )
    untested = [group for group in groups if _has(group, "untested")]
    if untested:
        return Conclusion("inconclusive", _not_tested(untested, groups))
    empty = [group for group in groups if _has(group, "vacuous")]
    held = [group for group in groups if group not in empty]
    if not held:
        return Conclusion("inconclusive", f"nothing that could fail was tested: {_why(empty)}")
    all_held = {1: "the one expectation", 2: "both expectations"}.get(
        len(groups), f"all {len(groups)} expectations"
    )
    if empty:
        all_held = f"{len(held)} of {len(groups)} expectations"
    told = f"{all_held} held: {_headline(held, needed=False)}"
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        return Conclusion("consistent", f"{told}; not confirmed for lack of {missing[0]}{more}")
    return Conclusion("confirmed", told)


def unforeseen(hypothesis: Hypothesis, judged: Sequence[Judged]) -> tuple[str, ...]:
    """Where a file marks what is to fail: marked and held, or failed and not marked."""
    if hypothesis.expected != "refuted":
        return ()
    groups = grouped(judged)
    marked = [group[0].expectation.fails for group in groups]
    if not any(marked):
        return ()
    return tuple(
        f"{group[0].outcome.intervention}: {_claim(group[0])}"
        + (" was to fail, and did not" if fails else " failed, and was not to")
        for group, fails in zip(groups, marked, strict=True)
        if _has(group, "failed") != fails
    )


def of_vacuous(judged: Sequence[Judged]) -> Iterator[str]:
    """What is missing where an expectation could not fail, a clause each."""
    for group in grouped(judged):
        if _has(group, "vacuous") and not _has(group, "failed"):
            yield f"an expectation that can fail: {_why([group])}"


def _why(groups: list[Group]) -> str:
    """The first reason of what could not fail, and of which claim."""
    first = next(one for one in groups[0] if one.outcome.outcome == "vacuous")
    return f"{first.outcome.intervention}, {_claim(first)}: {first.outcome.reason}"


def grouped(judged: Sequence[Judged]) -> list[Group]:
    """Splits of one expectation stand next to each other; a split never comes twice in it."""
    groups: list[Group] = []
    for one in judged:
        last = groups[-1][-1] if groups else None
        splits = {other.outcome.split for other in groups[-1]} if groups else set[str]()
        same = (
            last is not None
            and last.outcome.intervention == one.outcome.intervention
            and last.expectation is one.expectation
        )
        if same and one.outcome.split not in splits:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _has(group: Group, outcome: OutcomeName) -> bool:
    return any(one.outcome.outcome == outcome for one in group)


def _incomplete(record: Record, hypothesis: Hypothesis) -> str:
    graphs = hypothesis.graph.prompts if hypothesis.graph else ()
    missing = [prompt for prompt in graphs if prompt not in record.graphs]
    if missing:
        return (
            f"the run is incomplete: {len(graphs) - len(missing)} of "
            f"{counted(len(graphs), 'graph')} measured; running it again resumes it"
        )
    waiting = [
        name
        for name, spec in hypothesis.studies_of(CircuitSpec).items()
        if name not in record.circuit or set(spec.prompts) - record.circuit[name].trials.keys()
    ]
    if waiting:
        return (
            f"the run is incomplete: the circuit {waiting[0]} is not measured on every prompt; "
            "running it again resumes it"
        )
    waiting = [name for name in hypothesis.studies_of(SharedSpec) if name not in record.shared]
    if waiting:
        return f"the run is incomplete: {waiting[0]} is not measured; running it again resumes it"
    specs = all_interventions(hypothesis)
    wanted = sum(len(spec.prompts) for spec in specs.values())
    n_measured = sum(
        prompt in record.interventions[name].trials
        for name, spec in specs.items()
        if name in record.interventions
        for prompt in spec.prompts
    )
    varied = variations(hypothesis) if n_measured == wanted else ()
    if varied:
        n_measured = sum(each.name in record.variants for each in varied)
        return (
            f"the run is incomplete: {n_measured} of {counted(len(varied), 'variation')} measured; "
            "running it again resumes it"
        )
    return (
        f"the run is incomplete: {n_measured} of {counted(wanted, 'trial')} measured; "
        "running it again resumes it"
    )


def _not_tested(untested: list[Group], groups: list[Group]) -> str:
    """How much is open, and the first reason; what is not open held, or could not fail."""
    first = next(one.outcome for one in untested[0] if one.outcome.outcome == "untested")
    n_empty = sum(_has(group, "vacuous") and not _has(group, "untested") for group in groups)
    n_held = len(groups) - len(untested) - n_empty
    held = f"{n_held} held, " if n_held else ""
    empty = f"{n_empty} could not fail, " if n_empty else ""
    verb = "expectation" if len(groups) == 1 else "expectations"
    return (
        f"{held}{empty}{len(untested)} of {len(groups)} {verb} could not be tested: "
        f"{first.reason or 'no reason was given'}"
    )


def _headline(groups: list[Group], *, needed: bool) -> str:
    """The expectation a reader asks about first: what the model says, on the most prompts."""

    def weight(group: Group) -> tuple[int, int]:
        expectation = group[0].expectation
        kind = 2 if isinstance(expectation, TopIs) else int(isinstance(expectation, TopIsNot))
        return kind, sum(len(one.outcome.prompts) for one in group)

    group = max(groups, key=weight)
    if isinstance(group[0].expectation, SplitTest) or group[0].outcome.needed == 0:
        tested = " and ".join(f"{one.outcome.observed} ({one.outcome.split})" for one in group)
        return f"{group[0].where} {_claim(group[0])}: {tested}"
    where = " and ".join(_count(one.outcome, needed=needed) for one in group)
    last = group[-1].outcome
    word = "swap" if " swap" in last.expected else "prompt"
    return f"{group[0].where} {_claim(group[0])} on {where} {word}{'s' * (len(last.prompts) != 1)}"


def _claim(judged: Judged) -> str:
    test = judged.wording.test
    match judged.expectation:
        case TopIs():
            return f"the model says {_of_each(test)}"
        case TopIsNot():
            return f"the model no longer says {_of_each(test.removeprefix('not '))}"
        case _:
            return f"{judged.wording.measure}: {test}"


def _of_each(token: str) -> str:
    """The token, or 'each prompt's own answer' where every prompt has another."""
    return token if token[:1] in "'\"" else f"each prompt's {token}"


def _count(outcome: Outcome, *, needed: bool) -> str:
    split = "held-out" if outcome.split == "held out" else outcome.split
    least = f" ({outcome.needed} needed)" if needed else ""
    return f"{outcome.n_held} of {len(outcome.prompts)}{least} {split}"
