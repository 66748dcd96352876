"""A model with a feature basis that fits it, opened."""

from __future__ import annotations

from typing import NamedTuple

from tracer.features.basis import FeatureBasis
from tracer.features.open_basis import OpenBasis, open_basis
from tracer.hypothesis.spec import ModelSpec
from tracer.model.model import Model
from tracer.model.weights import open_weights
from tracer.progress import Progress


class Opened(NamedTuple):
    """Both, loaded."""

    model: Model
    features: OpenBasis

    @property
    def basis(self) -> FeatureBasis:
        """The features, without where they come from."""
        return self.features.basis


def open_both(spec: ModelSpec, features: str, progress: Progress) -> Opened:
    """Load a model, then its features; the first time this may download or convert them.

    Raises:
        ModelUnavailable: One cannot be had here.
        UsageError: No such device or features, or features of another model.
    """
    weights = open_weights(spec, progress)
    with progress.task("wrapping the model"):
        model = Model(weights)
    return Opened(model, open_basis(features, model, progress))
