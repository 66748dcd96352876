"""What the schema cannot say about tests across prompts: could their counts ever reach p?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from tracer.errors import KeyPath, Problem, listed
from tracer.hypothesis.expectations.effect import Thresholds
from tracer.hypothesis.held_out import dependence
from tracer.hypothesis.partial import Parts
from tracer.hypothesis.spec import PromptSpec
from tracer.hypothesis.template import TemplateMistake

ACROSS_TESTS = ("beats_controls_across", "undercuts_controls_across")


def across_problems(
    parts: Parts, path: KeyPath, prompts: Sequence[str], expectation: Thresholds
) -> Iterator[Problem]:
    """Mistakes in one test across prompts; `path` is its own.

    A split with too few prompts would leave the whole hypothesis untested.
    """
    if expectation.mostly < 1:
        message = f"it says nothing beside {listed(ACROSS_TESTS)}: all prompts are one test"
        yield Problem((*path, "mostly"), message)
    assert expectation.alpha is not None
    needed = fewest(expectation.alpha)
    test = next(name for name in ACROSS_TESTS if getattr(expectation, name) is not None)
    known = [prompt for name in prompts if (prompt := parts.prompts.get(name)) is not None]
    for split, held_out in (("discovery", False), ("held-out", True)):
        mine = [prompt for prompt in known if prompt.held_out == held_out]
        n = _n_independent(mine, parts.template)
        if 0 < n < needed:
            yield Problem(
                (*path, test),
                f"it needs {needed} {split} prompts, those of one group or text counting once, and "
                f"`prompts` has {n}: name more, or no {split} one",
            )


def fewest(alpha: float) -> int:
    """How many prompts can reach a p: n of them cannot go below 2⁻ⁿ."""
    return math.ceil(-math.log2(alpha) - 1e-9)


def _n_independent(prompts: Sequence[PromptSpec], template: str | None) -> int:
    try:
        return len({dependence(prompt, template) for prompt in prompts})
    except TemplateMistake:
        return 0  # told where the text is
