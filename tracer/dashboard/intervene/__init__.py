"""Intervene: clamp by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from tracer.dashboard.intervene import measure as measure

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["measure"])
