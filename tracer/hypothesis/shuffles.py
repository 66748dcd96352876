"""Whether what a model says goes with the labels of its prompts better than with shuffled ones."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

N_SHUFFLES = 999
LEAST_LIKELY = 0.05
"""Labels that shuffled ones match as often are none that the model knows of."""


def agreement_p(labels: Sequence[str], said: Sequence[str], *, by_answer: bool) -> float:
    """Monte-Carlo p of a permutation test: do shuffled labels go with the answers as well?

    Args:
        labels: Of each prompt: the answer it declares, or the set that it is in.
        said: The token that the model gives, by prompt.
        by_answer: Whether labels are answers. Then prompts count on which they are what is said;
            else those on which the most frequent answer of their set is.

    Returns:
        (1 + shuffles with as many) / (shuffles + 1).
    """
    count = _n_said if by_answer else _n_of_set
    found, shuffled = count(labels, said), list(labels)
    draw = random.Random("shuffled labels")  # noqa: S311 # no secret
    n_as_many = 0
    for _ in range(N_SHUFFLES):
        draw.shuffle(shuffled)
        n_as_many += count(shuffled, said) >= found
    return (1 + n_as_many) / (N_SHUFFLES + 1)


def _n_said(labels: Sequence[str], said: Sequence[str]) -> int:
    return sum(map(str.__eq__, labels, said))


def _n_of_set(labels: Sequence[str], said: Sequence[str]) -> int:
    most: dict[str, int] = {}
    for (label, _), n in Counter(zip(labels, said, strict=True)).items():
        most[label] = max(n, most.get(label, 0))
    return sum(most.values())
