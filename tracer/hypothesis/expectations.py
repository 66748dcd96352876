"""Predicates a hypothesis may state: one measure, one test each.

A token is written as it is decoded, leading space included (`" Austin"`), and may hold the
prompt's variables: `"{answer}"` is the prompt's own answer.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from tracer.hypothesis.expected import Expected
from tracer.hypothesis.text_expectations import InLanguage, RhymesWith, Says, SaysNot

Alpha = Annotated[float, Field(gt=0, lt=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
TokenPair = tuple[str, str]


class TopIs(Expected):
    """The most probable next token is this one."""

    top: str


class TopIsNot(Expected):
    """The most probable next token is not this one."""

    top_is_not: str


class Rank(Expected):
    """The token is among the n most probable (1 is the most probable)."""

    rank: str
    at_most: int = Field(ge=1)


class Thresholds(Expected):
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
    def side(self) -> Literal["above", "below"] | None:
        """Which side of its controls it must be on; None where controls are not asked."""
        if self.alpha is None:
            return None
        return "above" if self.beats_controls or self.beats_controls_across else "below"

    @property
    def is_across(self) -> bool:
        """Whether one test is made of all prompts of a split, not one on each."""
        return bool(self.beats_controls_across or self.undercuts_controls_across)


class Probability(Thresholds):
    """The token's probability, from 0 to 1."""

    probability: str


class LogitDiff(Thresholds):
    """logit(first) − logit(second)."""

    logit_diff: TokenPair


class Fraction(Expected):
    """How active a supernode is after the clamps, as a share of a reference activation.

    ⟨a, a₀⟩ / ⟨a₀, a₀⟩ over its features: 1 as the reference, 0 off, −2 inverted and doubled. That
    is the mean of the features' own shares aᵢ / a₀ᵢ, weighted by a₀ᵢ².
    """

    supernode: str
    fraction_above: Number | None = None
    fraction_below: Number | None = None
    of: Literal["clean", "source"] = Field(
        default="clean",
        description="a₀: this prompt unclamped, or the mean of the supernode's sources.",
    )
    average: Literal["weighted", "equal"] = Field(
        default="weighted",
        description="equal: every feature's share counts alike, as circuit-tracer's drawings do;"
        " features with a₀ᵢ = 0 have none and are left out.",
    )


class Rises(Expected):
    """The token's log-probability rises with the dose: Spearman ρ > 0, exact permutation p."""

    rises: str
    p: Alpha = 0.05


class Falls(Expected):
    """The token's log-probability falls with the dose: Spearman ρ < 0, exact permutation p."""

    falls: str
    p: Alpha = 0.05


class EdgeTest(BaseModel):
    """Which supernodes an edge joins, and what it must be; one bound or both."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    from_: str = Field(alias="from", description="The source supernode.")
    to: str = Field(description="The target supernode, or `output`: what the graph explains.")
    above: Number | None = None
    below: Number | None = None


class Edge(Expected):
    """The direct effect of one supernode on another in the attribution graph, from -1 to 1.

    The sum of all edges between their features, as a share of everything that enters the target,
    signs left out: Σ edge(from → to) / Σ |edge(any → to)|.
    """

    edge: EdgeTest


_KEYS = (
    "top",
    "top_is_not",
    "rank",
    "probability",
    "logit_diff",
    "supernode",
    "says",
    "says_not",
    "language",
    "rhymes_with",
)
_DOSE_KEYS = ("rises", "falls")


def _tag(value: Any, keys: tuple[str, ...]) -> str | None:
    """A union's tag, spelled so that no key of a file can be taken for it."""
    if isinstance(value, dict):
        return next((f"<{k}>" for k in keys if k in value), None)
    return next((f"<{k}>" for k in keys if hasattr(value, k)), None)


Expectation = Annotated[
    Annotated[TopIs, Tag("<top>")]
    | Annotated[TopIsNot, Tag("<top_is_not>")]
    | Annotated[Rank, Tag("<rank>")]
    | Annotated[Probability, Tag("<probability>")]
    | Annotated[LogitDiff, Tag("<logit_diff>")]
    | Annotated[Fraction, Tag("<supernode>")]
    | Annotated[Says, Tag("<says>")]
    | Annotated[SaysNot, Tag("<says_not>")]
    | Annotated[InLanguage, Tag("<language>")]
    | Annotated[RhymesWith, Tag("<rhymes_with>")],
    Discriminator(
        lambda value: _tag(value, _KEYS),
        custom_error_type="no_measure",
        custom_error_message="an expectation needs one measure: " + ", ".join(_KEYS),
    ),
]
DoseExpectation = Annotated[
    Annotated[Rises, Tag("<rises>")] | Annotated[Falls, Tag("<falls>")],
    Discriminator(
        lambda value: _tag(value, _DOSE_KEYS),
        custom_error_type="no_measure",
        custom_error_message="a dose expectation needs one of: " + ", ".join(_DOSE_KEYS),
    ),
]


def tokens_of(expectation: Expectation | DoseExpectation) -> dict[str, tuple[str, ...]]:
    """The tokens an expectation asks for, by the key that names them, variables unfilled."""
    match expectation:
        case TopIs():
            return {"top": (expectation.top,)}
        case TopIsNot():
            return {"top_is_not": (expectation.top_is_not,)}
        case Rank():
            return {"rank": (expectation.rank,)}
        case Probability():
            return {"probability": (expectation.probability,)}
        case LogitDiff():
            return {"logit_diff": expectation.logit_diff}
        case Rises():
            return {"rises": (expectation.rises,)}
        case Falls():
            return {"falls": (expectation.falls,)}
        case Fraction() | Says() | SaysNot() | InLanguage() | RhymesWith():
            return {}
