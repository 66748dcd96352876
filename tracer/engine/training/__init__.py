"""Training dictionaries: one forward pass of the model feeds all layers; nothing is stored.

`trainee` says what can be trained, `transcoders` and `cross_layer` are the two that can; `loop` is
the training and `train` everything around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from tracer.engine.training import train as train

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["train"])
