"""What `tracer propose` tells programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tracer.cli.documents.document import Document, is_none
from tracer.cli.documents.results import CaseEnding
from tracer.hypothesis.studies.necessity import Necessity
from tracer.record.files import Recorded
from tracer.record.proposal import FeatureGroup, ProposedPrompt, TriedSets

if TYPE_CHECKING:
    from tracer.api.proposal import Proposed


class PromptFate(Recorded):
    """One prompt, and what became of it."""

    name: str
    concept: str
    answer: str
    top: str = Field(description="The token that the model gives unclamped.")
    fate: Literal["discovery", "held out", "dropped"]
    why: str | None = Field(description="Of a dropped one.")

    @classmethod
    def of(cls, prompt: ProposedPrompt) -> PromptFate:
        """As the discovery has it."""
        return cls(**prompt._asdict())


class GroupOfFeatures(Recorded):
    """Features at one place that act alike over the discovery prompts."""

    at: str = Field(description="The span whose last token they sit at.")
    concept: str | None = Field(description="Null where they tell no concept from the others.")
    features: tuple[str, ...] = Field(description="`layer_index`, the most influential first.")
    influence: float = Field(description="Share of that of all features of the graphs, 0 to 1.")
    told_apart: float = Field(
        description="R²: share of the variance of their activation between concept and others."
    )
    promotes: tuple[str, ...]

    @classmethod
    def of(cls, group: FeatureGroup) -> GroupOfFeatures:
        """As the discovery has it."""
        told = group._asdict()
        told["features"] = tuple(f"{layer}_{index}" for layer, index in group.features)
        return cls(**told)


class SetsThatWereTried(Recorded):
    """One way to choose a set for each concept, and the swaps of them on discovery prompts."""

    at: str
    layers: tuple[int, int]
    top: int = Field(description="Features of each set.")
    n_right: int = Field(description="Swaps after which the donor's answer comes first.")
    n_swaps: int
    is_chosen: bool

    @classmethod
    def of(cls, tried: TriedSets, chosen: TriedSets) -> SetsThatWereTried:
        """As the discovery has it."""
        given = {key: getattr(tried, key) for key in ("at", "layers", "top", "n_right", "n_swaps")}
        return cls(**given, is_chosen=tried is chosen)


class WhatIsExpected(Recorded):
    """The thresholds, all from discovery prompts."""

    mostly: float = Field(description="Share of the swaps.")
    recipient: str
    donor: str = Field(description="Of the swap that is held against random sets and in doses.")
    rises_by: float = Field(description="logit(donor's answer) − logit(recipient's).")
    needed: tuple[str, ...] = Field(description="Studies of necessity that are claimed.")
    not_claimed: tuple[str, ...] = Field(description="What did not hold on discovery prompts.")

    @classmethod
    def of(cls, made: Proposed) -> WhatIsExpected:
        """As they are set."""
        wanted = made.expected
        return cls(
            mostly=wanted.mostly,
            recipient=wanted.recipient,
            donor=wanted.donor,
            rises_by=wanted.rises_by,
            needed=tuple(made.file.hypothesis.studies_of(Necessity)),
            not_claimed=made.rehearsal.told,
        )


class Proposal(Document):
    """A hypothesis that was proposed, and what it was made from."""

    schema_: Literal["tracer.proposal/1"] = Field(default="tracer.proposal/1", alias="schema")
    file: str
    hypothesis: str
    sha256: str = Field(description="Of what was registered.")
    answers: dict[str, str] = Field(description="By concept.")
    left_out: dict[str, str] = Field(description="Concepts by their label, and why.")
    prompts: tuple[PromptFate, ...]
    influence_at: dict[str, float] = Field(
        description="By span: share of the influence of the graphs' features at its last token."
    )
    groups: tuple[GroupOfFeatures, ...]
    tried: tuple[SetsThatWereTried, ...]
    expected: WhatIsExpected
    run: CaseEnding | None = Field(
        default=None, exclude_if=is_none, description="With --run: how it was judged."
    )

    @classmethod
    def of(cls, file: str, sha256: str, made: Proposed, run: CaseEnding | None) -> Proposal:
        """As it was written and registered."""
        found = made.discovery
        return cls(
            file=file,
            hypothesis=made.file.hypothesis.hypothesis,
            sha256=sha256,
            answers=dict(found.answers),
            left_out=dict(found.left_out),
            prompts=tuple(map(PromptFate.of, found.prompts)),
            influence_at=dict(found.influence_at),
            groups=tuple(map(GroupOfFeatures.of, found.groups)),
            tried=tuple(SetsThatWereTried.of(each, found.chosen) for each in found.tried),
            expected=WhatIsExpected.of(made),
            run=run,
        )
