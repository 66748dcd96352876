"""Circuits a file declares: supernodes taken together, and how good they are without the rest.

C are the features of the supernodes, M the model as it is; whatever is not kept is replaced by its
mean over reference prompts. `tracer.evidence.studies.circuit` judges what is expected of it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from tracer.hypothesis.clamps import Declared, Direction, Name
from tracer.hypothesis.expectations.base import Alpha, Expected, Number

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


class Faithfulness(Expected):
    """f(C) = (F(C) − F(∅)) / (F(M) − F(∅)) on each prompt: 1 where the circuit does everything."""

    faithfulness: Bounds


class Completeness(Expected):
    """f(M∖C), the same score of everything else: 0 where nothing else does any of it."""

    completeness: Bounds


class SplitTest(Declared):
    """Base of the tests that are made once over all prompts of a split."""

    @property
    def mostly(self) -> float:
        """There is one result, and it must hold."""
        return 1.0


class Sufficient(SplitTest):
    """The circuit is nearer to the model than a share of the random circuits are."""

    sufficient: Alpha
    share: CircuitShare = Field(default=0.9, description="q*: of the random circuits.")


class PartiallyNecessary(SplitTest):
    """Taking the circuit out changes more than taking out a share of the random circuits does."""

    partially_necessary: Alpha
    share: CircuitShare = Field(default=0.9, description="q*: of the random circuits.")


class Minimal(SplitTest):
    """No member does less than the share of fillers would; Holm's correction over members."""

    minimal: Alpha
    share: CircuitShare = Field(default=0.9, description="q*: of the random fillers.")


class Equivalent(SplitTest):
    """The circuit's score is above the model's about half of the time: two one-sided tests."""

    equivalent: Alpha
    margin: Margin = Field(default=0.1, description="ε: P(above) is between ½ − ε and ½ + ε.")


class Independent(SplitTest):
    """What is left without the circuit is not found to depend on the model's score (HSIC)."""

    independent: Alpha


CIRCUIT_TESTS = (
    "faithfulness",
    "completeness",
    "sufficient",
    "partially_necessary",
    "minimal",
    "equivalent",
    "independent",
)


def _tag(value: Any) -> str | None:
    for key in CIRCUIT_TESTS:
        if key in value if isinstance(value, dict) else hasattr(value, key):
            return f"<{key}>"
    return None


ScoreExpectation = Faithfulness | Completeness
SplitExpectation = Sufficient | PartiallyNecessary | Minimal | Equivalent | Independent
CircuitExpectation = Annotated[
    Annotated[Faithfulness, Tag("<faithfulness>")]
    | Annotated[Completeness, Tag("<completeness>")]
    | Annotated[Sufficient, Tag("<sufficient>")]
    | Annotated[PartiallyNecessary, Tag("<partially_necessary>")]
    | Annotated[Minimal, Tag("<minimal>")]
    | Annotated[Equivalent, Tag("<equivalent>")]
    | Annotated[Independent, Tag("<independent>")],
    Discriminator(
        _tag,
        custom_error_type="no_measure",
        custom_error_message="a circuit's expectation needs one of: " + ", ".join(CIRCUIT_TESTS),
    ),
]


class CircuitSpec(Declared):
    """Supernodes as one circuit: with everything else ablated, and taken out of the model."""

    supernodes: tuple[Name, ...] = Field(min_length=1, description="C: their features.")
    prompts: tuple[Name, ...] = Field(min_length=1)
    reference: tuple[Name, ...] = Field(
        min_length=1,
        description="Prompts whose mean replaces what is ablated; as many tokens as `prompts`.",
    )
    metric: Direction = Field(
        default="answer",
        description="s: the answer's logit less the vocabulary's mean, a token's, or a difference.",
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
    expect: tuple[CircuitExpectation, ...] = ()
