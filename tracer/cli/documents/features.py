"""What `tracer features` tells programs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tracer.cli.documents.document import Copied, Document, is_none
from tracer.record.feature_card import FeatureCard
from tracer.record.feature_index import IndexedFeature


class ScoredToken(Copied):
    """A token that a feature promotes or suppresses on the direct path to the output."""

    token: str
    score: float = Field(description="In standard deviations over the vocabulary.")


class LayerNorm(Copied):
    """How much a feature writes at a layer."""

    layer: int
    norm: float = Field(description="Length of what a unit of activation writes.")


class TextExample(Copied):
    """A place of the text where a feature is strongly active."""

    activation: float
    line: int = Field(description="From 1.")
    before: str
    token: str
    after: str


class TextActivity(Copied):
    """Where a feature is active on the text that was given."""

    n_tokens: int
    n_positive: int = Field(description="Tokens on which it is above 0.")
    n_negative: int
    positive: tuple[TextExample, ...] = Field(description="Strongest first, one of each line.")
    negative: tuple[TextExample, ...]


class ActivityHistogram(Copied):
    """How often the magnitude of an activation lies in each bin."""

    edges: tuple[float, ...] = Field(description="Lower bounds; the first bin is open below.")
    counts: tuple[int, ...]


class IndexedActivity(Copied):
    """What an index tells of a feature, as it is active above 0 and below."""

    n_tokens: int = Field(description="Of the indexed text.")
    positive: IndexedFeature
    negative: IndexedFeature | None
    above: ActivityHistogram
    below: ActivityHistogram | None


class FeatureSummary(Copied):
    """What a feature is."""

    id: str = Field(description="`layer_index`.")
    promoted: tuple[ScoredToken, ...] = Field(description="Strongest first.")
    suppressed: tuple[ScoredToken, ...]
    write_norms: tuple[LayerNorm, ...]
    on_text: TextActivity | None = Field(description="Null without a text.")
    indexed: IndexedActivity | None = Field(
        default=None, exclude_if=is_none, description="Where an index tells of it."
    )

    @classmethod
    def of(cls, card: FeatureCard) -> FeatureSummary:
        """As the engine finds it."""
        parts = {name: getattr(card, name) for name in cls.model_fields if name != "id"}
        return cls(id=f"{card.layer}_{card.index}", **parts)


class Features(Document):
    """What features are."""

    schema_: Literal["tracer.features/1"] = Field(default="tracer.features/1", alias="schema")
    model: str
    basis: str = Field(description="`neurons`, or the dictionary.")
    features: tuple[FeatureSummary, ...]
