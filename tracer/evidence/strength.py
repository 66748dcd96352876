"""What a claim whose expectations all held still lacks to be called confirmed.

A verdict is *confirmed* where, for every claim of the file,

1. something happened that was not so unclamped (an outcome that was so is *vacuous*);
2. an effect is beyond matched random sets, and no p above `MOST_P` is asked for;
3. the sets do what the claim says because of what they were found on (`tracer.evidence.origin`);
4. it holds on most prompts of its kind: `FEWEST_HELD_OUT` independent held-out ones at least that
   the model answers, and the 95 % Wilson interval of each expectation above one half;
5. the prompts say what the model must answer unclamped;
6. the sets are small: at most `MOST_OF_PLACE` of the features where they are;
7. the effect is not what the clamps write to the logits themselves: a share of at most
   `MOST_DIRECT`, with everything else held.

What lacks one is *consistent* with the claim, and says what it lacks. `docs/evidence.md` tells why.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tracer.evidence.case import Case
from tracer.evidence.conclusion import Group
from tracer.evidence.context import JudgingContext
from tracer.evidence.moved import number_of, tokens_of, words_of
from tracer.evidence.origin import of_origin, of_specificity, read_on
from tracer.evidence.statistics import wilson
from tracer.evidence.wording import MINUS, named
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.expectations.attends import Attends
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.python import Python
from tracer.hypothesis.held_out import n_independent, spans_of
from tracer.record.record import index_of
from tracer.record.testable import baseline_problem

FEWEST_HELD_OUT = 5
MOST_P = 0.05
MOST_OF_PLACE = 0.25
MOST_OF_SET = 0.9
MOST_UNNATURAL = 0.1
"""Of the features that are set, how many may be beyond what they are anywhere."""
MOST_DIRECT = 0.5
LEAST_EFFECT = 0.5
"""Logits, or natural logarithms of a probability; a share of a smaller effect is noise."""


def lacks_of_clamps(
    context: JudgingContext,
    name: str,
    specs: Mapping[str, InterventionSpec],
    groups: Sequence[Group],
) -> Iterator[str]:
    """What an intervention, or a study that clamps and expects as one does, lacks.

    Args:
        context: The run.
        name: Of the claim.
        specs: What was measured for it, by name.
        groups: Its outcomes, expectation by expectation.
    """
    asked = [(group, _expectation(group)) for group in groups]
    effects = [(group, each) for group, each in asked if each and not each.claims_no_change]
    if not effects:
        yield f"an effect: {name} claims only that nothing changes"
        return
    spec = next(iter(specs.values()))
    expectations = [each for _, each in effects]
    yield from of_origin(context, name, spec, expectations)
    if name in context.asked.interventions:
        yield from of_specificity(context, name, spec, expectations)
    yield from of_levels(name, [group for group, _ in effects])
    yield from of_controls(context, name, spec, expectations)
    judged, fills = [group for group, _ in effects], spans_of(context.asked, spec)
    yield from of_held_out(context, name, spec.prompts, judged, fills)
    yield from of_answers(context, name, spec.prompts)
    yield from of_sizes(context, specs.values())
    yield from of_direct(context, name, specs, expectations)


def of_controls(
    context: JudgingContext,
    name: str,
    spec: InterventionSpec,
    expectations: Sequence[Expectation],
) -> Iterator[str]:
    """Random sets that no expectation compares with, that only others do, or that are too small."""
    for each in expectations:
        if isinstance(each, Python):
            yield f"matched controls: what the Python function {each.python} says has none"
    against = [each for each in expectations if each.is_compared]
    if not against:
        yield f"matched controls: no expectation of {name} compares with them"
        return

    held = {
        read
        for each in against
        for token in tokens_of(each) or ()
        for read in read_on(context, token, spec)
    }
    open_ = [
        words_of(each)
        for each in expectations
        if (tokens := tokens_of(each)) and not read_on(context, tokens[0], spec) & held
    ]
    open_ += _open_looks(expectations)
    if open_:
        told = ", ".join(dict.fromkeys(open_))
        yield f"matched controls: nothing that {name} says of {told} is compared with them"
    if context.asked.controls.matched == "range":
        yield from _beyond_range(context, name, spec)


def _open_looks(expectations: Sequence[Expectation]) -> list[str]:
    """Weights of patterns that are said to be so much, and that are compared with no controls."""
    looks = [each for each in expectations if isinstance(each, Attends)]
    held = {each.attends.key for each in looks if each.is_compared}
    return [f"the attention of {e.attends.key}" for e in looks if e.attends.key not in held]


def _beyond_range(context: JudgingContext, name: str, spec: InterventionSpec) -> Iterator[str]:
    """Controls that stay in their range, of a clamp that does not."""
    trials = [context.trial(name, prompt) for prompt in spec.prompts]
    every = [c for trial in trials if not isinstance(trial, str) for c in trial.clamps]
    clamps = [clamp for clamp in every if clamp.amount.value != 0]  # switched off is no extreme
    beyond, n = sum(c.n_out_of_range for c in clamps), sum(c.n_features for c in clamps)
    if beyond > MOST_UNNATURAL * n:
        yield (
            f"matched controls of its size: {name} sets {beyond:,} of {n:,} features beyond what "
            "they are anywhere, and with `matched: range` its random sets are not"
        )


def of_levels(name: str, groups: Sequence[Group]) -> Iterator[str]:
    """A p that is asked for and that chance reaches more often than `MOST_P`."""
    asked = max((group[0].wording.alpha or 0 for group in groups), default=0)
    if asked > MOST_P:
        yield f"a p of {MOST_P:g} at most: an expectation of {name} asks for {asked:g}"


def of_held_out(
    context: JudgingContext,
    name: str,
    prompts: Sequence[str],
    groups: Sequence[Group],
    fills: Iterable[str],
) -> Iterator[str]:
    """Too few held-out prompts, or an expectation that holds on too few of them."""
    asked, held_out = context.asked, dict(context.splits(prompts)).get("held out", [])
    usable = [p for p in held_out if baseline_problem(context.record.prompts[p]) is None]
    n = n_independent(asked, usable, fills)
    if n < FEWEST_HELD_OUT:
        yield (
            f"held-out prompts: {name} has {n} that depend on no other and that the model answers, "
            f"and {FEWEST_HELD_OUT} are needed"
        )
        return
    for group in groups:
        for one in group:
            outcome = one.outcome
            if outcome.split != "held out" or not outcome.prompts or outcome.outcome == "vacuous":
                continue
            low, _ = wilson(outcome.n_held, len(outcome.prompts))
            if low <= 0.5:
                yield (
                    f"most held-out prompts: {outcome.expectation} {one.wording.test} holds on "
                    f"{outcome.n_held} of {len(outcome.prompts)}, which allows a true rate as low "
                    f"as {low:.2f}"
                )


def of_answers(context: JudgingContext, name: str, prompts: Sequence[str]) -> Iterator[str]:
    """Prompts of which nobody said what the model must do unclamped."""
    without = [prompt for prompt in prompts if context.asked.prompts[prompt].answer is None]
    if without:
        yield (
            f"answers: that the model can do the task unclamped is not checked on {named(without)} "
            f"of {name}"
        )


def of_sizes(context: JudgingContext, specs: Iterable[InterventionSpec]) -> Iterator[str]:
    """Sets that are a large part of what there is where they are: that patches a place.

    Counted over the layers and positions that hold `MOST_OF_SET` of it, so that a feature here and
    there in other ones does not make it look smaller.
    """
    record = context.record.supernodes
    for clamped in dict.fromkeys(spec.set_supernodes for spec in specs if spec.set_supernodes):
        sets = [record[name] for name in clamped]
        widths = {
            (node.unit, layer): width for node in sets for layer, width in node.widths.items()
        }
        members = {
            (((node.unit, x.layer), x.offset, x.position, node.at), index_of(x))
            for node in sets
            for x in node.members
        }
        unit = sets[0].unit if len({node.unit for node in sets}) == 1 else "member"
        held = n_there = 0
        for place, n in Counter(place for place, _ in members).most_common():
            if held >= MOST_OF_SET * len(members):
                break
            held, n_there = held + n, n_there + widths.get(place[0], 0)
        if n_there and held > MOST_OF_PLACE * n_there:
            yield (
                f"small sets: {named(clamped)} {'holds' if len(clamped) == 1 else 'hold'} "
                f"{held:,} of the {n_there:,} {unit}s where most of "
                f"{'it is' if len(clamped) == 1 else 'them are'}, more than {MOST_OF_PLACE:.0%}: "
                "that patches the place"
            )


def of_direct(
    context: JudgingContext,
    name: str,
    specs: Mapping[str, InterventionSpec],
    expectations: Sequence[Expectation],
) -> Iterator[str]:
    """Effects that the clamps write to the logits themselves."""
    shares = direct_shares(context, specs, expectations)
    if shares is None:
        yield f"direct effects: how much of {name} the clamps write themselves was not measured"
    for what, share in (shares or {}).items():
        if share > MOST_DIRECT:
            yield (
                f"an effect through the model: {name} writes the answer itself, {share:.0%} of "
                f"the change of {what} reaches the logits directly"
            )


def direct_shares(
    context: JudgingContext,
    specs: Mapping[str, InterventionSpec],
    expectations: Sequence[Expectation],
) -> dict[str, float] | None:
    """The median share over the prompts, by what changes; None where it was never measured."""
    shares: dict[str, list[float]] = {}
    known = False
    for each, spec in specs.items():
        for prompt in spec.prompts:
            trial = context.trial(each, prompt)
            if isinstance(trial, str) or trial.direct is None:
                continue
            known = True
            case = context.case(each, trial)
            for expectation in expectations:
                share = direct_share(case, expectation)
                if share is not None:
                    shares.setdefault(words_of(expectation), []).append(share)
    return {what: statistics.median(found) for what, found in shares.items()} if known else None


def direct_notes(context: JudgingContext) -> Iterator[str]:
    """How much of each intervention's effect is direct, a sentence each."""
    for name, spec in context.asked.interventions.items():
        expectations = [each for each in spec.expect if tokens_of(each) is not None]
        shares = direct_shares(context, {name: spec}, expectations) or {}
        if shares:
            told = ", ".join(f"{100 * s:.0f} % of that on {what}" for what, s in shares.items())
            told = told.replace("-0 %", "0 %").replace("-", MINUS)
            yield f"{name}: of its effect this much reaches the logits directly: {told}"


def direct_share(case: Case, expectation: Expectation) -> float | None:
    """The part of an effect that is left with everything else held; None without an effect.

    Of a logit difference, or of the logarithm of a token's probability.
    """
    direct, tokens = case.trial.direct, tokens_of(expectation)
    if direct is None or tokens is None:
        return None
    filled = [case.token(token) for token in tokens]
    start, clamped, left = (
        number_of(expectation, reading, filled)
        for reading in (case.prompt.baseline, case.trial.reading, direct)
    )
    whole = clamped - start
    return (left - start) / whole if abs(whole) >= LEAST_EFFECT else None


def _expectation(group: Group) -> Expectation | None:
    """What is expected, where it is not a test of a study's own."""
    found = group[0].expectation
    return found if isinstance(found, Expectation) else None


def by_claim(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """The expectations of each claim, by its name."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(group[0].outcome.intervention, []).append(group)
    return found
