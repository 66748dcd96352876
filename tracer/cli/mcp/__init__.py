"""The commands as tools of the Model Context Protocol, for agents and other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from tracer.cli.mcp import server as server

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["server"])
