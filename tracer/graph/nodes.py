"""The nodes of an attribution graph and where each stands in the edge matrix.

Targets are rows: features, then logits. Sources are columns: features, then errors, then tokens.
Features are sorted by (layer, position, index), errors by (layer, position), tokens by position;
all index arithmetic is here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Logit:
    """One thing the graph explains: a token's logit, or a direction in the residual stream."""

    label: str
    """The token as it is decoded, or the direction's name."""
    token: int | None
    """Vocabulary id; None for a direction that is not one token."""
    weight: float
    """Where influence starts: the token's probability; 1 for a direction."""


@dataclass(frozen=True)
class Nodes:
    """Everything that sends or receives an edge."""

    features: Int[np.ndarray, "feature 3"]
    """(layer, position, index), sorted."""
    activations: Float[np.ndarray, " feature"]
    errors: Int[np.ndarray, "error 2"]
    """(layer, position), sorted."""
    tokens: Int[np.ndarray, " token"]
    """Positions, ascending."""
    logits: tuple[Logit, ...]

    @property
    def n_features(self) -> int:
        """How many features."""
        return len(self.features)

    @property
    def n_targets(self) -> int:
        """Rows of the edge matrix."""
        return len(self.features) + len(self.logits)

    @property
    def n_sources(self) -> int:
        """Columns of the edge matrix."""
        return len(self.features) + len(self.errors) + len(self.tokens)

    @property
    def logit_rows(self) -> slice:
        """Rows of the logits; the features' rows are before them."""
        return slice(len(self.features), self.n_targets)

    @property
    def error_columns(self) -> slice:
        """Columns of the errors; the features' columns are before them."""
        return slice(len(self.features), len(self.features) + len(self.errors))

    @property
    def token_columns(self) -> slice:
        """Columns of the tokens."""
        return slice(self.error_columns.stop, self.n_sources)

    def layer_slice(self, layer: int) -> slice:
        """Features of one layer: a slice of rows, and the same slice of columns."""
        first, last = np.searchsorted(self.features[:, 0], [layer, layer + 1])
        return slice(int(first), int(last))

    def find(self, features: Int[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
        """Row (and column) of each feature; −1 where the graph does not have it."""
        place = {tuple(row): n for n, row in enumerate(self.features.tolist())}
        return np.array([place.get(tuple(row), -1) for row in features.tolist()], dtype=np.int64)

    def keep(
        self,
        features: Bool[np.ndarray, " feature"],
        errors: Bool[np.ndarray, " error"],
    ) -> Nodes:
        """The nodes that a pruning leaves; tokens and logits always stay."""
        return Nodes(
            self.features[features],
            self.activations[features],
            self.errors[errors],
            self.tokens,
            self.logits,
        )
