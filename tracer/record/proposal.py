"""What was observed on discovery prompts before a hypothesis was proposed.

Nothing of a held-out prompt is here but what the model answers to it unclamped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Fate = Literal["discovery", "held out", "dropped"]


class ProposedPrompt(NamedTuple):
    """One prompt of the table, and what became of it."""

    name: str
    concept: str
    answer: str
    top: str
    """The token that the model gives unclamped."""
    fate: Fate
    why: str | None
    """Of a dropped one."""


class FeatureGroup(NamedTuple):
    """Features at one place that act alike over the discovery prompts."""

    at: str
    """The span whose last token they sit at."""
    concept: str | None
    """On whose prompts they act; None where they tell no concept from the others."""
    features: tuple[tuple[int, int], ...]
    """(layer, index), the most influential first."""
    influence: float
    """Their share of the influence of all features of the graphs, 0 to 1."""
    told_apart: float
    """Share of the variance of their activation that is between the concept and the others."""
    promotes: tuple[str, ...]
    """Tokens that what they write together promotes most."""

    @property
    def layers(self) -> tuple[int, int]:
        """First and last layer."""
        layers = [layer for layer, _ in self.features]
        return min(layers), max(layers)


@dataclass(frozen=True)
class TriedSets:
    """One way to choose a set for each concept, and what swaps of them did on discovery prompts."""

    at: str
    layers: tuple[int, int]
    top: int
    """Features of each set."""
    n_right: int
    n_swaps: int
    effects: Mapping[tuple[str, str], tuple[float, ...]]
    """By recipient and donor: the change of logit(donor's answer) − logit(own), a prompt each."""
    overlap: Mapping[str, float]
    """By concept: share of the features of its groups at this place that its set holds."""

    @property
    def rate(self) -> float:
        """Share of the swaps after which the donor's answer comes first."""
        return self.n_right / self.n_swaps


@dataclass(frozen=True)
class Discovery:
    """Everything that a proposal is made from."""

    prompts: tuple[ProposedPrompt, ...]
    answers: Mapping[str, str]
    """By concept."""
    labels: Mapping[str, str]
    """What the table calls each."""
    left_out: Mapping[str, str]
    """Concepts that are not proposed, by their label, and why."""
    groups: tuple[FeatureGroup, ...]
    """The most influential first."""
    influence_at: Mapping[str, float]
    """By span: the share of the influence of the graphs' features that sits at its last token."""
    tried: tuple[TriedSets, ...]
    chosen: TriedSets
    removed: Mapping[str, Mapping[str, tuple[float, ...]]]
    """By concept and kind of ablation: the change of logit(own answer) − logit(another's), a
    discovery prompt each."""
    promotes: Mapping[str, tuple[str, ...]]
    """By concept: tokens that what its set writes promotes most."""

    def of(self, concept: str, fate: Fate) -> tuple[str, ...]:
        """The prompts of a concept that became this."""
        return tuple(p.name for p in self.prompts if p.concept == concept and p.fate == fate)

    @property
    def n_discovery(self) -> int:
        """Prompts that features were found on."""
        return sum(prompt.fate == "discovery" for prompt in self.prompts)

    @property
    def n_held_out(self) -> int:
        """Prompts that are to judge."""
        return sum(prompt.fate == "held out" for prompt in self.prompts)

    @property
    def discovery(self) -> dict[str, tuple[str, ...]]:
        """The discovery prompts of each concept."""
        return {concept: self.of(concept, "discovery") for concept in self.answers}

    def after(self, concept: str) -> str:
        """The next concept in order, the first after the last: its counterpart in every pair."""
        return following(concept, list(self.answers))


def following(concept: str, concepts: Sequence[str]) -> str:
    """The next concept in order, the first after the last."""
    return concepts[(concepts.index(concept) + 1) % len(concepts)]
