"""Circuits: supernodes taken together, and how good they are without the rest.

C are the features of the supernodes, M the model as it is; whatever is not kept is replaced by its
mean over reference prompts. `tracer.evidence.studies.circuit` judges what is expected of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from tracer.errors import KeyPath, Problem, prompts_named
from tracer.hypothesis.binomial import circuits_needed, prompts_needed
from tracer.hypothesis.clamps import Direction
from tracer.hypothesis.declared import Declared, Name
from tracer.hypothesis.expectations.base import Alpha, Expectation, Number, bounds_problems, form_of
from tracer.hypothesis.studies.study import (
    Asked,
    SplitTest,
    Study,
    direction_tokens,
    layer_problems,
)

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""k: of the ranked features."""
FEWEST = 20
"""Prompts below which independence is not judged: on 20, a correlation of 0.7 is found in 85 % of
cases at p ≤ 0.05 (Gaussian scores, simulated); on 10, in 50 %."""


CircuitShare = Annotated[float, Field(gt=0, lt=1)]
Margin = Annotated[float, Field(gt=0, lt=0.5)]


class Scope(Declared):
    """What is ablated, and so what a circuit is a part of."""

    at: Name | None = Field(default=None, description="A span; default: every position.")
    layers: tuple[int, int] | None = Field(
        default=None, description="First and last layer, both kept; default: all."
    )


class Bounds(Declared):
    """What a score must be; one bound or both."""

    above: Number | None = None
    below: Number | None = None

    def problems(self, path: KeyPath) -> Iterator[Problem]:
        """No bound, or bounds that exclude each other."""
        return bounds_problems(path, self, "score")


class ScoreExpectation(Expectation):
    """Base of what is expected of a score on each prompt."""

    @property
    def bounds(self) -> Bounds:
        """What the score must be."""
        return getattr(self, self.KEY)

    def circuit_problems(
        self, parts: Parts, path: KeyPath, circuit: CircuitSpec
    ) -> Iterator[Problem]:
        """Bounds that no score can pass."""
        yield from self.bounds.problems((*path, self.KEY))


class Faithfulness(ScoreExpectation):
    """f(C) = (F(C) − F(∅)) / (F(M) − F(∅)) on each prompt: 1 where the circuit does everything."""

    KEY: ClassVar[str] = "faithfulness"
    faithfulness: Bounds


class Completeness(ScoreExpectation):
    """f(M∖C), the same score of everything else: 0 where nothing else does any of it."""

    KEY: ClassVar[str] = "completeness"
    completeness: Bounds


class CircuitTest(SplitTest):
    """Base of the tests of a circuit that are made over all prompts of a split."""

    @property
    def alpha(self) -> float:
        """What its p must not exceed."""
        return getattr(self, self.KEY)

    def circuit_problems(
        self, parts: Parts, path: KeyPath, circuit: CircuitSpec
    ) -> Iterator[Problem]:
        """Counts with which nobody can pass it."""
        yield from ()

    def _too_few_prompts(
        self, parts: Parts, path: KeyPath, circuit: CircuitSpec, needed: int
    ) -> Iterator[Problem]:
        """A split with too few prompts would leave the whole hypothesis untested."""
        known = [p for name in circuit.prompts if (p := parts.prompts.get(name)) is not None]
        for split, held_out in (("discovery", False), ("held-out", True)):
            n = sum(prompt.held_out == held_out for prompt in known)
            if 0 < n < needed:
                yield Problem(
                    (*path, self.KEY),
                    f"it needs {needed} prompts of each split it is judged on; `prompts` has {n} "
                    f"{split} ones: name more, or none of them",
                )


class AgainstCircuits(CircuitTest):
    """Base of the tests against random circuits."""

    share: CircuitShare = Field(default=0.9, description="q*: of the random circuits.")

    def circuit_problems(
        self, parts: Parts, path: KeyPath, circuit: CircuitSpec
    ) -> Iterator[Problem]:
        """Fewer random circuits than the asked p needs."""
        needed = circuits_needed(self.alpha, self.share)
        if circuit.random < needed:
            yield Problem(
                (*path, self.KEY),
                f"{circuit.random} random circuits cannot give p ≤ {self.alpha:g} at a share of "
                f"{self.share:g}: `random: {needed}` is the least",
            )


class Sufficient(AgainstCircuits):
    """The circuit is nearer to the model than a share of the random circuits are."""

    KEY: ClassVar[str] = "sufficient"
    sufficient: Alpha


class PartiallyNecessary(AgainstCircuits):
    """Taking the circuit out changes more than taking out a share of the random circuits does."""

    KEY: ClassVar[str] = "partially_necessary"
    partially_necessary: Alpha


class Minimal(CircuitTest):
    """No member does less than the share of fillers would; Holm's correction over members."""

    KEY: ClassVar[str] = "minimal"
    minimal: Alpha
    share: CircuitShare = Field(default=0.9, description="q*: of the random fillers.")

    def circuit_problems(
        self, parts: Parts, path: KeyPath, circuit: CircuitSpec
    ) -> Iterator[Problem]:
        """No fillers, or no groups."""
        if 0 in (circuit.random, circuit.groups):
            key = "random" if circuit.random == 0 else "groups"
            yield Problem((*path, self.KEY), f"`{key}` is 0, so there is nothing to compare")


class Equivalent(CircuitTest):
    """The circuit's score is above the model's about half of the time: two one-sided tests."""

    KEY: ClassVar[str] = "equivalent"
    equivalent: Alpha
    margin: Margin = Field(default=0.1, description="ε: P(above) is between ½ − ε and ½ + ε.")

    def circuit_problems(
        self, parts: Parts, path: KeyPath, circuit: CircuitSpec
    ) -> Iterator[Problem]:
        """Too few prompts."""
        needed = prompts_needed(self.alpha, self.margin)
        return self._too_few_prompts(parts, path, circuit, needed)


class Independent(CircuitTest):
    """What is left without the circuit is not found to depend on the model's score (HSIC)."""

    KEY: ClassVar[str] = "independent"
    independent: Alpha

    def circuit_problems(
        self, parts: Parts, path: KeyPath, circuit: CircuitSpec
    ) -> Iterator[Problem]:
        """Too few prompts."""
        return self._too_few_prompts(parts, path, circuit, FEWEST)


CircuitExpectation = ScoreExpectation | CircuitTest
if TYPE_CHECKING:
    CircuitExpectationForm = CircuitExpectation
else:
    CircuitExpectationForm = form_of(
        (
            Faithfulness,
            Completeness,
            Sufficient,
            PartiallyNecessary,
            Minimal,
            Equivalent,
            Independent,
        ),
        "a circuit's expectation needs one of: ",
    )


class CircuitSpec(Study):
    """Supernodes as one circuit: with everything else ablated, and taken out of the model."""

    SECTION: ClassVar[str] = "circuit"
    MAY_SHRINK: ClassVar[frozenset[str]] = frozenset({"prompts"})

    supernodes: tuple[Name, ...] = Field(min_length=1, description="C: their features.")
    prompts: tuple[Name, ...] = Field(min_length=1)
    reference: tuple[Name, ...] = Field(
        min_length=1,
        description="Prompts whose mean replaces what is ablated; as many tokens as `prompts`.",
    )
    metric: Direction = Field(
        default="answer",
        description="s: the answer's logit minus the vocabulary's mean, a token's, "
        "or a difference.",
    )
    within: Scope = Scope()
    random: int = Field(default=99, ge=0, le=9999, description="Random circuits, and fillers.")
    groups: int = Field(
        default=40,
        ge=0,
        le=1000,
        description="Members left out one at a time; more of them are left out in so many groups.",
    )
    curve: bool = Field(
        default=True, description="Measure the best-ranked features of the scope, k by k."
    )
    expect: tuple[CircuitExpectationForm, ...] = ()

    def named_prompts(self) -> tuple[str, ...]:
        """Those it is judged on, and its reference."""
        return (*self.prompts, *self.reference)

    def named_supernodes(self) -> tuple[str, ...]:
        """Its members."""
        return self.supernodes

    def asked_tokens(self, parts: Parts, path: KeyPath) -> Iterator[Asked]:
        """Those of its metric."""
        tokens = direction_tokens(self.metric)
        return (Asked((*path, "metric"), token, self.prompts) for token in tokens)

    def problems(self, parts: Parts, path: KeyPath) -> Iterator[Problem]:
        """Prompts, supernodes and scope that do not fit, and tests nobody can pass."""
        yield from parts.prompt_problems((*path, "prompts"), self.prompts)
        yield from self._reference_problems(parts, (*path, "reference"))
        place = (*path, "supernodes")
        yield from parts.supernode_list_problems(place, self.supernodes, self.prompts)
        for index, name in enumerate(self.supernodes):
            yield from parts.head_problems((*place, index), name, "a circuit is scored over")
        if self.within.at is not None:
            place = (*path, "within", "at")
            yield from parts.span_problems(place, self.within.at, self.prompts)
        yield from layer_problems((*path, "within", "layers"), self.within.layers)
        yield from self._metric_problems(parts, path)
        for index, expectation in enumerate(self.expect):
            yield from expectation.circuit_problems(parts, (*path, "expect", index), self)

    def _reference_problems(self, parts: Parts, path: KeyPath) -> Iterator[Problem]:
        yield from parts.prompt_problems(path, self.reference, discovery="a reference")
        first = self.reference[0]
        if len(self.reference) == 1 and first in self.prompts:
            message = f"{first!r} alone is its own mean: ablating changes nothing on it"
            yield Problem((*path, 0), message)

    def _metric_problems(self, parts: Parts, path: KeyPath) -> Iterator[Problem]:
        unanswered = parts.without_answer(self.prompts)
        without = [name for name in unanswered if parts.is_whole("prompts", name)]
        if self.metric == "answer" and without:
            yield Problem(
                (*path, "metric") if "metric" in self.model_fields_set else path,
                f"`metric: answer` has no meaning on {prompts_named(without)}, which has no "
                "answer: give one, or write {token: …} or {logit_diff: [.., ..]}",
            )

    def is_drawn(self, name: str) -> bool:
        """Random circuits and fillers are."""
        return True
