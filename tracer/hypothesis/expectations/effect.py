"""A number read off the output, `probability` or `logit_diff`, with its tests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tracer.errors import KeyPath, Problem, listed
from tracer.hypothesis.expectations.base import (
    Alpha,
    Expectation,
    Number,
    TokenPair,
    one_test_problems,
    same_token_problems,
)

if TYPE_CHECKING:
    from tracer.hypothesis.clamps import InterventionSpec
    from tracer.hypothesis.parts import Parts

ACROSS_TESTS = ("beats_controls_across", "undercuts_controls_across")
"""Each is one test of all prompts of a split."""
_CONTROL_TESTS = ("beats_controls", "undercuts_controls", *ACROSS_TESTS)
_TESTS = ("above", "below", "rises_by", "falls_by", *_CONTROL_TESTS)


class Thresholds(Expectation):
    """Tests of a number; exactly one is given."""

    above: Number | None = None
    below: Number | None = None
    rises_by: Number | None = Field(default=None, description="Clamped − clean is more than this.")
    falls_by: Number | None = Field(default=None, description="Clean − clamped is more than this.")
    beats_controls: Alpha | None = Field(
        default=None, description="Higher than matched random sets, Monte-Carlo p at most this."
    )
    undercuts_controls: Alpha | None = Field(
        default=None, description="Lower than matched random sets, Monte-Carlo p at most this."
    )
    beats_controls_across: Alpha | None = Field(
        default=None,
        description="Higher than the median of its controls, over the prompts of a split together: "
        "paired sign-flip p at most this.",
    )
    undercuts_controls_across: Alpha | None = Field(
        default=None, description="The same, lower than the median of its controls."
    )

    @property
    def alpha(self) -> float | None:
        """What its p must not exceed; None where controls are not asked."""
        return (
            self.beats_controls
            or self.undercuts_controls
            or self.beats_controls_across
            or self.undercuts_controls_across
        )

    @property
    def is_compared(self) -> bool:
        """Whether one of its tests against controls is given."""
        return self.alpha is not None

    @property
    def side(self) -> Literal["above", "below"] | None:
        """Which side of its controls it must be on; None where controls are not asked."""
        if self.alpha is None:
            return None
        return "above" if self.beats_controls or self.beats_controls_across else "below"

    @property
    def is_across(self) -> bool:
        """Whether one test is made of all prompts of a split, not one on each."""
        return bool(self.beats_controls_across or self.undercuts_controls_across)

    def problems(self, parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
        """None or several tests, controls that are not drawn, too few prompts."""
        yield from one_test_problems(parts, path, self, _TESTS)
        for test in _CONTROL_TESTS:
            if getattr(self, test) is not None and parts.controls.random == 0:
                message = "there are no controls to compare with: `controls.random` is 0"
                yield Problem((*path, test), message)
        if self.is_across:
            yield from self._across_problems(parts, path, spec.prompts)

    def _across_problems(
        self, parts: Parts, path: KeyPath, prompts: tuple[str, ...]
    ) -> Iterator[Problem]:
        """A split with too few prompts would leave the whole hypothesis untested."""
        if self.mostly < 1:
            message = f"it says nothing beside {listed(ACROSS_TESTS)}: all prompts are one test"
            yield Problem((*path, "mostly"), message)
        assert self.alpha is not None
        needed = fewest(self.alpha)
        test = next(name for name in ACROSS_TESTS if getattr(self, name) is not None)
        for split, n in parts.independent_prompts(prompts).items():
            if 0 < n < needed:
                yield Problem(
                    (*path, test),
                    f"it needs {needed} {split} prompts, those of one group or text counting once, "
                    f"and `prompts` has {n}: name more, or no {split} one",
                )


def fewest(alpha: float) -> int:
    """How many prompts a test across them needs: the p of n of them cannot go below 2⁻ⁿ."""
    return math.ceil(-math.log2(alpha) - 1e-9)


class Probability(Thresholds):
    """The token's probability, from 0 to 1."""

    KEY: ClassVar[str] = "probability"
    probability: str

    def tokens(self) -> dict[str, tuple[str, ...]]:
        """The token."""
        return {"probability": (self.probability,)}

    def problems(self, parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
        """Those of every such number, and bounds that no probability can pass."""
        yield from super().problems(parts, path, spec)
        below = 1 if self.below is None else self.below
        bounds = {
            "above": (0 <= (self.above or 0) < 1, "from 0 to below 1"),
            "below": (0 < below <= 1, "above 0, to 1"),
            "rises_by": (-1 < (self.rises_by or 0) < 1, "between -1 and 1"),
            "falls_by": (-1 < (self.falls_by or 0) < 1, "between -1 and 1"),
        }
        for test, (has_meaning, allowed) in bounds.items():
            if not has_meaning:
                found = getattr(self, test)
                yield Problem(
                    (*path, test),
                    f"found {found:g}; a probability is from 0 to 1: {allowed} is expected",
                )


class LogitDiff(Thresholds):
    """logit(first) − logit(second)."""

    KEY: ClassVar[str] = "logit_diff"
    logit_diff: TokenPair

    def tokens(self) -> dict[str, tuple[str, ...]]:
        """Both tokens."""
        return {"logit_diff": self.logit_diff}

    def problems(self, parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
        """Those of every such number, and a token compared with itself."""
        yield from super().problems(parts, path, spec)
        yield from same_token_problems(path, self.logit_diff)
