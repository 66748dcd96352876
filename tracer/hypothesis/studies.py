"""Claims that take several interventions each: necessity, mediation, and swaps of every pair.

A study is declared as one object and measured as the interventions it implies
(`tracer.hypothesis.expansion`); its outcome is read from all of them together.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tracer.hypothesis.directions import Declared
from tracer.hypothesis.expectations import Expectation, Expected, Number, TokenPair
from tracer.hypothesis.expected import Share
from tracer.hypothesis.interventions import ClampForm, Factor, Name

AblationKind = Literal["zero", "mean", "resample", "inhibit"]
NEED_REFERENCE: tuple[AblationKind, ...] = ("mean", "resample")


class Necessity(Declared):
    """The behaviour needs these supernodes: without them it is gone, however they are taken away.

    Every expectation must hold under every kind of ablation, and under every draw of `resample`.
    """

    prompts: tuple[Name, ...] = Field(min_length=1)
    ablate: tuple[Name, ...] = Field(min_length=1, description="Supernodes, taken away together.")
    kinds: tuple[AblationKind, ...] = Field(
        min_length=2,
        description="zero: set to 0; mean: to the mean over `reference`; resample: to each prompt "
        "of `reference` in turn; inhibit: to −1 × the prompt's own activation.",
    )
    reference: tuple[Name, ...] = Field(
        default=(), description="Prompts that `mean` and `resample` take activations from."
    )
    freeze: Literal["none", "attention", "all"] = "none"
    expect: tuple[Expectation, ...] = Field(min_length=1)


class MediatedShare(Expected):
    """The share of an effect on a logit difference that is gone when the mediators are held.

    1 − Δ(clamped, mediators at their clean values) / Δ(clamped), Δ the change of
    logit(first) − logit(second).
    """

    logit_diff: TokenPair
    share_above: Number | None = None
    share_below: Number | None = None


class Mediation(Declared):
    """What the clamps do, they do through these supernodes."""

    prompts: tuple[Name, ...] = Field(min_length=1)
    clamp: dict[Name, ClampForm] = Field(min_length=1)
    through: tuple[Name, ...] = Field(
        min_length=1, description="Mediators: held at their clean values in the second pass."
    )
    freeze: Literal["none", "attention"] = "none"
    expect: tuple[MediatedShare, ...] = Field(min_length=1)


class Swaps(Declared):
    """Every concept put in place of every other: the donor's answer must come first.

    On each prompt of a concept its own supernode is set to `off` and the donor's to `on`.
    """

    concepts: dict[Name, tuple[Name, ...]] = Field(
        min_length=2, description="Supernodes, each with the prompts that carry its concept."
    )
    off: Factor = Field(default=0.0, description="Factor of the concept that is taken away.")
    on: Factor = Field(default=1.0, description="Factor of the donor.")
    freeze: Literal["none", "attention", "all"] = "none"
    mostly: Share = Field(
        default=1.0, description="Share of the swaps of each split that must succeed."
    )
    each: Share | None = Field(
        default=None, description="And of every pair of donor and recipient, its share at least."
    )

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every recipient prompt."""
        return tuple(prompt for prompts in self.concepts.values() for prompt in prompts)
