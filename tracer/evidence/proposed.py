"""What a proposed hypothesis claims: thresholds from discovery prompts, and what held there.

Each threshold is set below what was seen, so that what is only a little weaker elsewhere still
holds, and never below a level at which it would say nothing. All claims are then rehearsed: judged
on the discovery prompts, as they will be on the held-out ones. Only what held is claimed.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from tracer.evidence.statistics import controls_needed, wilson
from tracer.evidence.strength import LEAST_EFFECT, MOST_P
from tracer.hypothesis.concepts import concept_rules, prompts_of_others
from tracer.record.proposal import Discovery, Fate
from tracer.record.verdict import Verdict

LEAST_SHARE = 0.5
"""Of swaps or prompts: less than half would be no claim."""
OF_EFFECT = 0.5
"""Of the median effect on discovery prompts, that is asked of others."""

LEAST_RANDOM_SETS = 99
DOSES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SWAPS = "every_concept"
"""The study in which every concept is put in place of every other."""


class Lost(NamedTuple):
    """What a concept's own prompts lose without its set."""

    concept: str
    least: float
    """Over discovery prompts and kinds of ablation, logits; positive where the answer falls."""
    falls_by: float | None
    """What is asked; None where the loss is too small for a claim."""


class ProposedThresholds(NamedTuple):
    """What is expected, and the pair that is put to the closer test."""

    mostly: float
    """Share of the swaps of each split."""
    recipient: str
    donor: str
    median: float
    """Change of logit(donor's answer) − logit(own) by the swap of that pair."""
    rises_by: float
    lost: tuple[Lost, ...]


def thresholds(found: Discovery) -> ProposedThresholds:
    """What to expect of held-out prompts.

    - Swaps: the 95 % Wilson lower bound of the rate on discovery prompts, rounded down to a
      twentieth, and at least a half.
    - The effect of one swap: half of the median. The pair is the concept with the most held-out
      prompts and the one after it, so that no effect chooses it.
    - Necessity: half of the least loss of any prompt by any kind of ablation, where that is half a
      logit or more.
    """
    low, _ = wilson(found.chosen.n_right, found.chosen.n_swaps)
    concepts = list(found.answers)
    recipient = max(concepts, key=lambda each: len(found.of(each, "held out")))
    donor = found.after(recipient)
    median = statistics.median(found.chosen.effects[recipient, donor])
    return ProposedThresholds(
        mostly=max(LEAST_SHARE, _down(low, 0.05)),
        recipient=recipient,
        donor=donor,
        median=median,
        rises_by=max(LEAST_EFFECT, _down(OF_EFFECT * median, 0.1)),
        lost=tuple(_lost(found, concept) for concept in concepts),
    )


class Rehearsal(NamedTuple):
    """What did not hold on discovery prompts."""

    failed: frozenset[tuple[str, int]]
    """Name of the claim, and the number of the expectation in it; those of doses come last."""
    told: tuple[str, ...]
    """A sentence each."""

    @classmethod
    def of(cls, verdict: Verdict) -> Rehearsal:
        """As a run over the discovery prompts was judged; it has one split."""
        numbers: Counter[str] = Counter()
        failed: set[tuple[str, int]] = set()
        told: list[str] = []
        for outcome in verdict.outcomes:
            name = outcome.intervention
            if outcome.outcome != "held" and name != SWAPS:
                failed.add((name, numbers[name]))
                seen = outcome.reason or outcome.observed
                told.append(f"{name}, {outcome.expectation} {outcome.expected}: {seen}")
            numbers[name] += 1
        return cls(frozenset(failed), tuple(told))

    def allows(self, name: str, number: int) -> bool:
        """Whether an expectation held, or was not tried."""
        return (name, number) not in self.failed


UNTRIED = Rehearsal(frozenset(), ())


def claims(
    found: Discovery, wanted: ProposedThresholds, judged_on: Fate, rehearsal: Rehearsal = UNTRIED
) -> dict[str, Any]:
    """The claims as sections of a file.

    Args:
        found: What was observed.
        wanted: The thresholds of it.
        judged_on: Which of a concept's prompts.
        rehearsal: What is left out.
    """
    concepts = {name: list(found.of(name, judged_on)) for name in found.answers}
    swaps = {SWAPS: {"concepts": concepts, "off": None, "mostly": wanted.mostly}}
    needed = dict(_necessity(found, wanted, judged_on, rehearsal))
    swap = dict(_swap(found, wanted, judged_on, rehearsal))
    compared = [each for spec in swap.values() for each in spec["expect"] if _CONTROLS in each]
    n_tests = len(needed) + len(compared) + sum("doses" in spec for spec in swap.values())
    random_sets = max(LEAST_RANDOM_SETS, controls_needed(MOST_P / max(1, n_tests)))
    return {
        "swaps": swaps,
        **({"necessity": needed} if needed else {}),
        **({"interventions": swap} if swap else {}),
        "controls": {"random": random_sets},
    }


_CONTROLS = "beats_controls_across"


def _necessity(
    found: Discovery, wanted: ProposedThresholds, judged_on: Fate, rehearsal: Rehearsal
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each concept that is needed, by the name of its study; all of its expectations held."""
    for each in wanted.lost:
        name = f"{each.concept}_needed"
        if each.falls_by is None or not all(rehearsal.allows(name, n) for n in range(2)):
            continue
        pair = [found.answers[each.concept], found.answers[found.after(each.concept)]]
        yield (
            name,
            {
                "prompts": list(found.of(each.concept, judged_on)),
                "ablate": [each.concept],
                "kinds": list(found.removed[each.concept]),
                "reference": list(prompts_of_others(found.discovery, each.concept)),
                "expect": [
                    {"logit_diff": pair, "falls_by": each.falls_by, "mostly": wanted.mostly},
                    {"logit_diff": pair, "undercuts_controls_across": MOST_P},
                ],
            },
        )


def _swap(
    found: Discovery, wanted: ProposedThresholds, judged_on: Fate, rehearsal: Rehearsal
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The swap that is held against random sets and in doses."""
    name = f"{wanted.recipient}_to_{wanted.donor}"
    own, donor = found.answers[wanted.recipient], found.answers[wanted.donor]
    expected = [
        {"top": donor, "mostly": wanted.mostly},
        {"logit_diff": [donor, own], "rises_by": wanted.rises_by, "mostly": wanted.mostly},
        {"logit_diff": [donor, own], _CONTROLS: MOST_P},
    ]
    kept = [each for number, each in enumerate(expected) if rehearsal.allows(name, number)]
    rises = [{"rises": donor, "mostly": wanted.mostly}]
    doses = {"of": wanted.donor, "factors": list(DOSES), "expect": rises}
    if kept:
        yield (
            name,
            {
                "prompts": list(found.of(wanted.recipient, judged_on)),
                "clamp": {wanted.donor: 1},
                "expect": kept,
                **({"doses": doses} if rehearsal.allows(name, len(expected)) else {}),
            },
        )


def supernodes(found: Discovery) -> dict[str, Any]:
    """The set of each concept, by the rule that was chosen, as a section of a file."""
    chosen = found.chosen
    rules = concept_rules(found.discovery, chosen.at, chosen.layers, chosen.top)
    return {name: {"label": found.labels[name], "select": rule} for name, rule in rules.items()}


def _lost(found: Discovery, concept: str) -> Lost:
    least = -max(max(changes) for changes in found.removed[concept].values())
    asked = _down(OF_EFFECT * least, 0.1)
    return Lost(concept, least, asked if asked >= LEAST_EFFECT else None)


def _down(value: float, step: float) -> float:
    """The multiple of a step at or below a value, without the digits of its binary form."""
    return round(math.floor(value / step + 1e-9) * step, 6)
