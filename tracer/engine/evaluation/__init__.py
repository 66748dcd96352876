"""How good a dictionary is: what it reconstructs of the MLPs, and what the model says with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from tracer.engine.evaluation import evaluate as evaluate

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["evaluate"])
