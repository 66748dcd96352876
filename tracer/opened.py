"""A model with a feature basis that fits it, opened for looking at."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from tracer.errors import EngineError
from tracer.features.basis import FeatureBasis
from tracer.features.open_basis import open_basis
from tracer.hypothesis.spec import ModelSpec
from tracer.model.model import Model
from tracer.model.weights import open_weights
from tracer.progress import Progress


class Opened(NamedTuple):
    """Both, loaded."""

    model: Model
    basis: FeatureBasis


def open_both(spec: ModelSpec, features: str, progress: Progress) -> Opened:
    """Load a model, then its features; the first time this may download or convert them.

    Raises:
        ModelUnavailable: One cannot be had here.
        UsageError: No such device or features, or features of another model.
    """
    weights = open_weights(spec, progress)
    with progress.task("wrapping the model"):
        model = Model(weights)
    return Opened(model, open_basis(features, model, progress).basis)


@contextmanager
def memory_told(of: str) -> Generator[None]:
    """Running out of memory inside is a sentence about what was being computed.

    Raises:
        EngineError: Memory ran out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # What CPU allocation fails with has no class of its own.
        known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not known and "can't allocate memory" not in str(error):
            raise
        raise EngineError(
            f"memory does not hold {of}; try fewer features, a shorter text or `--dtype bfloat16`."
        ) from error
