"""Indexes of a text: for every feature of a basis its strongest places, histogram and density.

`entries` and `index` read them without torch; `build` makes them, `search` finds features by a
text, and `promoting` by a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from tracer.engine.feature_index import build as build
    from tracer.engine.feature_index import promoting as promoting
    from tracer.engine.feature_index import search as search

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["build", "promoting", "search"]
)
