"""What a picture of a circuit is made of, in pixels: boxes, lines at layers, and all of it."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.report.token_row import TokenChip

BOX = 42.0
"""Height of a box."""


@dataclass(frozen=True)
class Box:
    """A supernode."""

    label: str
    members: str
    percent: str
    percent_width: float
    of_source: bool
    pill: str | None
    pill_width: float
    ghost: bool
    injected: bool
    unknown: bool
    """It has no place on this prompt, so that nothing was measured; it stands on the left."""
    title: str
    x: float
    y: float
    width: float
    home_x: float
    home_y: float
    """The mean layer and token of the members: a leader joins it where the box had to move."""

    @property
    def height(self) -> float:
        """The same for all boxes."""
        return BOX

    @property
    def moved(self) -> bool:
        """Whether the box no longer covers its true place."""
        if self.unknown:
            return False
        inside_x = self.x <= self.home_x <= self.x + self.width
        return not (inside_x and self.y <= self.home_y <= self.y + BOX)

    @property
    def edge_y(self) -> float:
        """Where the leader meets the box."""
        return min(max(self.home_y, self.y), self.y + BOX)

    @property
    def edge_x(self) -> float:
        """Where the leader meets the box."""
        return min(max(self.home_x, self.x + 8), self.x + self.width - 8)


@dataclass(frozen=True)
class Tick:
    """A line at a layer."""

    y: float
    label: str


@dataclass(frozen=True)
class Circuit:
    """Everything `circuit.svg.j2` draws, in pixels."""

    width: float
    top: float
    height: float
    tokens_y: float
    description: str
    boxes: tuple[Box, ...]
    tokens: tuple[TokenChip, ...]
    ticks: tuple[Tick, ...]
