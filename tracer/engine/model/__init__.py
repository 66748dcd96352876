"""The language model: where it comes from, its weights, and hooks into its forward pass.

What needs transformers is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from tracer.engine.model import gguf as gguf
    from tracer.engine.model import hf_load as hf_load
    from tracer.engine.model import weights as weights

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["gguf", "hf_load", "weights"]
)
