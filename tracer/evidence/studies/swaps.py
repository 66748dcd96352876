"""Swaps: on every prompt of a concept, every other concept's answer in its place."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tracer.evidence.case import Wording, untested
from tracer.evidence.conclusion import Group, Judged
from tracer.evidence.context import JudgingContext
from tracer.evidence.measures.top import say_top
from tracer.evidence.origin import FEWEST_CONCEPTS, of_choice, of_sources
from tracer.evidence.outcomes import split_outcome
from tracer.evidence.statistics import wilson
from tracer.evidence.strength import of_direct, of_held_out, of_sizes
from tracer.evidence.studies.study import Cell, StudyEvidence, StudyRow, StudyTable
from tracer.evidence.wording import counted, show_token
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.top import TopIs
from tracer.hypothesis.held_out import spans_of
from tracer.hypothesis.studies.swaps import Swaps, swap_name
from tracer.hypothesis.template import render_token
from tracer.record.record import Record
from tracer.record.verdict import Outcome, PromptOutcome, Verdict

ARROW = " ← "
"""Between a recipient prompt and the donor, as a swap is named in a verdict."""


def judge(context: JudgingContext, name: str, study: Swaps) -> Iterator[Judged]:
    """One outcome for each split; a pair that falls short of `each` fails it."""
    whole = Expectation(mostly=study.mostly, fails=study.fails)
    where = f"with each of {counted(len(study.concepts), 'concept')} put for every other,"
    wording = Wording("top token", "the donor's answer")
    for split, prompts in context.splits(study.prompts):
        found = [one for prompt in prompts for one in _on(context, name, study, prompt)]
        outcome = split_outcome(name, split, wording, study.mostly, found)
        outcome = _counted(outcome, _weak_pairs(study, outcome))
        yield Judged(where, whole, wording, outcome)


def _on(context: JudgingContext, name: str, study: Swaps, prompt: str) -> Iterator[PromptOutcome]:
    recipient = _recipient_of(study, prompt)
    for donor, donors in study.concepts.items():
        if donor == recipient:
            continue
        pair = f"{prompt}{ARROW}{donor}"
        trial = context.trial(swap_name(name, recipient, donor), prompt)
        if isinstance(trial, str):
            yield untested(pair, trial)
            continue
        declared = context.asked.prompts[donors[0]]
        assert declared.answer is not None
        expectation = TopIs(top=render_token(declared.answer, declared))
        case = context.case(swap_name(name, recipient, donor), trial)
        found = context.judge_case(expectation, case)
        yield found.model_copy(update={"prompt": pair, "observed": say_top(trial.reading)})


def _recipient_of(study: Swaps, prompt: str) -> str:
    """The concept that a prompt carries."""
    return next(name for name, prompts in study.concepts.items() if prompt in prompts)


def _weak_pairs(study: Swaps, outcome: Outcome) -> list[str]:
    """Pairs of which fewer swaps succeeded than each must."""
    if study.each is None:
        return []
    weak: list[str] = []
    for (recipient, donor), found in _by_pair(study, outcome).items():
        n_held = sum(one.outcome == "held" for one in found)
        n_open = sum(one.outcome == "untested" for one in found)
        if n_held + n_open < math.ceil(study.each * len(found) - 1e-9):
            weak.append(f"{recipient}{ARROW}{donor} {n_held} of {len(found)}")
    return weak


def _by_pair(study: Swaps, outcome: Outcome) -> dict[tuple[str, str], list[PromptOutcome]]:
    """The swaps of each pair of recipient and donor."""
    pairs: dict[tuple[str, str], list[PromptOutcome]] = {}
    for one in outcome.prompts:
        prompt, donor = one.prompt.rsplit(ARROW, 1)
        pairs.setdefault((_recipient_of(study, prompt), donor), []).append(one)
    return pairs


def _counted(outcome: Outcome, weak: list[str]) -> Outcome:
    """In swaps, not in prompts, and failed where a pair falls short."""
    changes: dict[str, object] = {
        "expected": outcome.expected.replace("prompts", "swaps").replace("prompt", "swap")
    }
    if weak:
        changes["outcome"] = "failed"
        changes["observed"] = f"{outcome.observed}; too few of a pair: {'; '.join(weak)}"
    return Outcome.model_validate(outcome.model_dump() | changes)


def tables(record: Record, verdict: Verdict, name: str, study: Swaps) -> Iterator[StudyTable]:
    """A matrix for each split: recipients down, donors across."""
    for outcome in verdict.outcomes:
        if outcome.intervention != name:
            continue
        pairs = _by_pair(study, outcome)
        yield StudyTable(
            "every concept in place of every other",
            f"{outcome.split.capitalize()}: swaps after which the donor’s answer comes first. Rows:"
            " the concept taken away; columns: the concept put in.",
            ("", *study.concepts),
            tuple(
                StudyRow(
                    recipient,
                    tuple(_cell(record, name, recipient, d, pairs) for d in study.concepts),
                )
                for recipient in study.concepts
                if any(pair[0] == recipient for pair in pairs)
            ),
            failures=tuple(
                f"{one.prompt}: {one.observed}"
                for one in outcome.prompts
                if one.outcome == "failed"
            ),
        )


def _cell(
    record: Record,
    name: str,
    recipient: str,
    donor: str,
    pairs: Mapping[tuple[str, str], list[PromptOutcome]],
) -> Cell | None:
    """How many swaps of a pair succeeded, and what is said then; None on the diagonal."""
    found = pairs.get((recipient, donor))
    if not found:
        return None
    tested = [one for one in found if one.outcome != "untested"]
    n_held = sum(one.outcome == "held" for one in tested)
    if not tested:
        return Cell("untested", found[0].reason or "", 0)
    low, high = (f"{100 * bound:.0f}" for bound in wilson(n_held, len(tested)))
    title = f"95 % Wilson interval {low} to {high} %"
    told = f"{n_held} of {len(tested)}"
    return Cell(
        told, title, 4 * n_held // len(tested), _said(record, name, recipient, donor, tested)
    )


def _said(
    record: Record, name: str, recipient: str, donor: str, tested: Sequence[PromptOutcome]
) -> str:
    """The token that comes first on most of the prompts, and on how many where not on all."""
    trials = record.interventions[swap_name(name, recipient, donor)].trials
    prompts = [one.prompt.rsplit(ARROW, 1)[0] for one in tested]
    first = Counter(trials[prompt].reading.top[0].token for prompt in prompts if prompt in trials)
    if not first:
        return ""
    [(token, n)] = first.most_common(1)
    said = show_token(token)
    return said if n == len(tested) else f"{said} ×{n}"


def lacks(
    context: JudgingContext, name: str, study: Swaps, groups: Sequence[Group]
) -> Iterator[str]:
    """What the matrix lacks: each concept is the wrong donor of the others, if none was tuned."""
    if len(study.concepts) < FEWEST_CONCEPTS:
        n = counted(len(study.concepts), "concept")
        yield f"{FEWEST_CONCEPTS} concepts, each a control of the others: {name} has {n}"
    specs = dict(study.interventions(name))
    yield from of_choice(context, name, study.named_supernodes(), is_procedure_compared=False)
    fills = spans_of(context.asked, next(iter(specs.values())))
    yield from of_sources(context, study.named_supernodes())
    yield from of_held_out(context, name, study.prompts, groups, fills)
    yield from of_sizes(context, specs.values())
    for donor, prompts in study.concepts.items():
        answer = context.asked.prompts[prompts[0]].answer
        mine = {
            swap_name(name, other, donor): specs[swap_name(name, other, donor)]
            for other in study.concepts
            if other != donor
        }
        yield from of_direct(context, f"{name} of {donor}", mine, [TopIs(top=answer or "")])


EVIDENCE = StudyEvidence(Swaps, judge, tables, lacks)
