"""What a claim whose expectations all held still lacks to be called confirmed.

A verdict is *confirmed* where, for every claim of the file,

1. something happened that was not so unclamped (an outcome that was so is *vacuous*);
2. an effect is beyond matched random sets, and no p above `MOST_P` is asked for;
3. the sets do what the claim says because of what they were found on (`tracer.evidence.origin`);
4. it holds on most prompts of its kind: `FEWEST_HELD_OUT` independent held-out ones at least, and
   the 95 % Wilson interval of each expectation above one half;
5. the prompts say what the model must answer unclamped;
6. the sets are small: at most `MOST_OF_PLACE` of the features they were chosen from;
7. the effect is not what the clamps write to the logits themselves: a share of at most
   `MOST_DIRECT`, with everything else held.

What lacks one is *consistent* with the claim, and says what it lacks. `docs/evidence.md` tells why.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tracer.evidence.case import Case, log_probability
from tracer.evidence.conclusion import Group
from tracer.evidence.context import JudgingContext
from tracer.evidence.measures.effect import log_number
from tracer.evidence.origin import of_origin, of_specificity
from tracer.evidence.statistics import wilson
from tracer.evidence.wording import MINUS, named
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.effect import LogitDiff, Probability
from tracer.hypothesis.expectations.top import Rank, TopIs, TopIsNot
from tracer.hypothesis.held_out import group_of
from tracer.record.trials import Reading

FEWEST_HELD_OUT = 5
MOST_P = 0.05
MOST_OF_PLACE = 0.25
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
    if not any(each.is_compared for each in expectations):
        yield f"matched controls: no expectation of {name} compares with them"
    yield from of_held_out(context, name, spec.prompts, [group for group, _ in effects])
    yield from of_answers(context, name, spec.prompts)
    yield from of_sizes(context, specs.values())
    yield from of_direct(context, name, specs, expectations)


def of_levels(name: str, groups: Sequence[Group]) -> Iterator[str]:
    """A p that is asked for and that chance reaches more often than `MOST_P`."""
    asked = max((group[0].wording.alpha or 0 for group in groups), default=0)
    if asked > MOST_P:
        yield f"a p of {MOST_P:g} at most: an expectation of {name} asks for {asked:g}"


def of_held_out(
    context: JudgingContext, name: str, prompts: Sequence[str], groups: Sequence[Group]
) -> Iterator[str]:
    """Too few held-out prompts, or an expectation that holds on too few of them."""
    held_out = dict(context.splits(prompts)).get("held out", [])
    n = len({group_of(context.asked, prompt) for prompt in held_out})
    if n < FEWEST_HELD_OUT:
        yield (
            f"held-out prompts: {name} has {n} that depend on no other, and {FEWEST_HELD_OUT} are "
            "needed"
        )
        return
    for group in groups:
        for one in group:
            outcome = one.outcome
            if outcome.split != "held out" or outcome.needed == 0:
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
    """Sets that are a large part of what they were chosen from: that patches a place."""
    record = context.record.supernodes
    for clamped in dict.fromkeys(tuple(spec.clamp) for spec in specs):
        sets = [record[name] for name in clamped]
        places = {(x.layer, x.index, x.offset, node.at) for node in sets for x in node.features}
        most = max((node.n_candidates or 0 for node in sets), default=0)
        if most and len(places) / most > MOST_OF_PLACE:
            yield (
                f"small sets: {named(clamped)} hold {len(places):,} of {most:,} features they were "
                f"chosen from, more than {MOST_OF_PLACE:.0%}: that patches the place"
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
                    shares.setdefault(_token_words(expectation), []).append(share)
    return {what: statistics.median(found) for what, found in shares.items()} if known else None


def direct_notes(context: JudgingContext) -> Iterator[str]:
    """How much of each intervention's effect is direct, a sentence each."""
    for name, spec in context.asked.interventions.items():
        expectations = [each for each in spec.expect if _tokens(each) is not None]
        shares = direct_shares(context, {name: spec}, expectations) or {}
        if shares:
            told = ", ".join(f"{100 * s:.0f} % of that on {what}" for what, s in shares.items())
            told = told.replace("-0 %", "0 %").replace("-", MINUS)
            yield f"{name}: of its effect this much reaches the logits directly: {told}"


def direct_share(case: Case, expectation: Expectation) -> float | None:
    """The part of an effect that is left with everything else held; None without an effect.

    Of a logit difference, or of the logarithm of a token's probability.
    """
    direct, tokens = case.trial.direct, _tokens(expectation)
    if direct is None or tokens is None:
        return None
    filled = [case.token(token) for token in tokens]

    def number(reading: Reading) -> float:
        if isinstance(expectation, LogitDiff | Probability):
            return log_number(expectation, reading, filled)
        return log_probability(reading, filled[0])

    start = number(case.prompt.baseline)
    whole = number(case.trial.reading) - start
    return (number(direct) - start) / whole if abs(whole) >= LEAST_EFFECT else None


def _tokens(expectation: Expectation) -> tuple[str, ...] | None:
    kinds = (TopIs, TopIsNot, Rank, Probability, LogitDiff)
    return expectation.tokens()[expectation.KEY] if isinstance(expectation, kinds) else None


def _token_words(expectation: Expectation) -> str:
    return " − ".join(map(repr, _tokens(expectation) or ()))


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
