"""One open model, and what one tries on it from Python: asking, finding, clamping, graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from tracer.api.session import asking as asking

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["asking"])
