"""The language model: where it comes from, its weights, and hooks into its forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from tracer.engine.model import weights as weights

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["weights"])
