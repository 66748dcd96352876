"""Indexes of a text: for every feature of a basis its strongest places, histogram and density.

`entries` and `index` read them without torch, `build` makes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from tracer.engine.feature_index import build as build

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["build"])
