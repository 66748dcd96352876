"""A feature card: what a feature promotes and suppresses, writes, and reacts to in a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tracer.record.feature_index import CLEAR, IndexedSides

FeatureId = tuple[int, int]
"""(layer, index)."""


class Line(NamedTuple):
    """A line of a text."""

    number: int
    """1-based."""
    text: str


class LogitEffect(NamedTuple):
    """A token that a feature promotes (score above 0) or suppresses."""

    token: str
    score: float
    """In standard deviations over the vocabulary, which no scale changes."""


class LogitEffects(NamedTuple):
    """The two ends of a feature's scores, strongest first, where it is active above 0."""

    promoted: tuple[LogitEffect, ...]
    suppressed: tuple[LogitEffect, ...]

    def at(self, activation: float) -> LogitEffects:
        """As the feature is active: below 0 the two change places, and scores change their sign."""
        if activation >= 0:
            return self
        ends = (self.suppressed, self.promoted)
        return LogitEffects(*(tuple(e._replace(score=-e.score) for e in end) for end in ends))

    def clear(self) -> tuple[str, ...]:
        """The promoted tokens that an automatic label counts on."""
        return tuple(each.token for each in self.promoted if each.score >= CLEAR)


class Example(NamedTuple):
    """A place in the text where a feature is strongly active."""

    activation: float
    line: int
    before: str
    token: str
    after: str


class OnText(NamedTuple):
    """How a feature behaves on a text; the special tokens in front of a line do not count."""

    n_tokens: int
    n_positive: int
    """Tokens on which its activation is above 0."""
    n_negative: int
    positive: tuple[Example, ...]
    """Strongest first, the strongest of each line."""
    negative: tuple[Example, ...]
    """The same for activations below 0, which neurons have."""


class WriteNorm(NamedTuple):
    """The length of what a unit of activation writes at a layer."""

    layer: int
    norm: float


@dataclass(frozen=True)
class FeatureCard:
    """One feature."""

    layer: int
    index: int
    promoted: tuple[LogitEffect, ...]
    """Strongest first."""
    suppressed: tuple[LogitEffect, ...]
    write_norms: tuple[WriteNorm, ...]
    on_text: OnText | None
    """None without a text."""
    indexed: IndexedSides | None = None
    """None without an index."""
