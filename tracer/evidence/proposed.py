"""What a proposed hypothesis may expect: thresholds from discovery prompts alone.

Each is set below what was seen there, so that what is only a little weaker elsewhere still holds,
and never below a level at which it would say nothing.
"""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

from tracer.evidence.statistics import controls_needed, wilson
from tracer.evidence.strength import LEAST_EFFECT, MOST_P
from tracer.record.proposal import Discovery

LEAST_SHARE = 0.5
"""Of swaps or prompts: less than half would be no claim."""
OF_EFFECT = 0.5
"""Of the median effect on discovery prompts, that is asked of others."""


LEAST_RANDOM_SETS = 99
N_OF_SWAP = 2
"""Tests of the one swap: against random sets, and over its doses."""


class Lost(NamedTuple):
    """What a concept's own prompts lose without its set."""

    concept: str
    least: float
    """Over discovery prompts and kinds of ablation, logits; positive where the answer falls."""
    falls_by: float | None
    """What is asked; None where the loss is too small for a claim."""


class Thresholds(NamedTuple):
    """What is expected, and the pair that is put to the closer test."""

    mostly: float
    """Share of the swaps of each split."""
    recipient: str
    donor: str
    median: float
    """Change of logit(donor's answer) − logit(own) by the swap of that pair."""
    rises_by: float
    lost: tuple[Lost, ...]


def thresholds(found: Discovery) -> Thresholds:
    """What to expect of held-out prompts.

    - Swaps: the 95 % Wilson lower bound of the rate on discovery prompts, rounded down to a
      twentieth, and at least a half.
    - The effect of one swap: half of the median. The pair is the concept with the most held-out
      prompts and the one after it, so that no effect chooses it.
    - Necessity: half of the least loss of any prompt by any kind of ablation; none is claimed where
      that is under half a logit.
    """
    low, _ = wilson(found.chosen.n_right, found.chosen.n_swaps)
    concepts = list(found.answers)
    recipient = max(concepts, key=lambda each: len(found.of(each, "held out")))
    donor = found.after(recipient)
    median = statistics.median(found.chosen.effects[recipient, donor])
    return Thresholds(
        mostly=max(LEAST_SHARE, _down(low, 0.05)),
        recipient=recipient,
        donor=donor,
        median=median,
        rises_by=max(LEAST_EFFECT, _down(OF_EFFECT * median, 0.1)),
        lost=tuple(_lost(found, concept) for concept in concepts),
    )


def random_sets(wanted: Thresholds) -> int:
    """Matched random sets that let each comparison with them pass after Holm's correction."""
    n_tests = N_OF_SWAP + sum(each.falls_by is not None for each in wanted.lost)
    return max(LEAST_RANDOM_SETS, controls_needed(MOST_P / n_tests))


def _lost(found: Discovery, concept: str) -> Lost:
    least = -max(max(changes) for changes in found.removed[concept].values())
    asked = _down(OF_EFFECT * least, 0.1)
    return Lost(concept, least, asked if asked >= LEAST_EFFECT else None)


def _down(value: float, step: float) -> float:
    """The multiple of a step at or below a value, without the digits of its binary form."""
    return round(math.floor(value / step + 1e-9) * step, 6)
