"""One picture of a report as an SVG file of its own, for pages that show images.

A browser runs no script in an image and loads nothing for it, whatever its text says.
"""

from __future__ import annotations

from tracer.report.circuit_diagram import CircuitDrawing
from tracer.report.plots import Bars, DosePanel, Strip
from tracer.report.render import fill_picture

MARGIN = 10.0
"""Pixels around a picture."""


def circuit_picture(circuit: CircuitDrawing) -> str:
    """The supernodes of an intervention on a prompt."""
    return _picture("circuit", circuit)


def bars_picture(bars: Bars) -> str:
    """The most probable outputs, unclamped over clamped."""
    return _picture("bars", bars)


def strip_picture(strip: Strip) -> str:
    """An effect beside its matched controls."""
    return _picture("strip", strip)


def dose_picture(panel: DosePanel) -> str:
    """One prompt's dose series."""
    return _picture("dose", panel)


def _picture(kind: str, view: CircuitDrawing | Bars | Strip | DosePanel) -> str:
    return fill_picture(
        kind=kind,
        view=view,
        margin=MARGIN,
        width=view.width + 2 * MARGIN,
        height=view.height + 2 * MARGIN,
    )
