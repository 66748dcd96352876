"""Planted models on which it is known which claims are true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from tracer.cli.selftest import trials as trials

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["trials"])
