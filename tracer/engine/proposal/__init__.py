"""From prompts by concept to what a hypothesis about them can be proposed from.

`groups` are features that act alike in the prompts' graphs, `sets` are what a rule finds where they
are, `trials` clamp these on discovery prompts, and `propose` is the line through all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from tracer.engine.proposal import propose as propose

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["propose"])
