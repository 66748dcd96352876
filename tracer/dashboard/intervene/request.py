"""What a person asks for: supernodes to clamp, modes, factors, places, and what is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["ablate", "scale", "inject", "set", "add"]
Freeze = Literal["none", "attention", "all"]

MODES: dict[Mode, str] = {
    "ablate": "ablate",
    "scale": "scale (× itself)",
    "inject": "inject (× source)",
    "set": "set to a value",
    "add": "add (× maximum)",
}
"""In words, for people."""
LOWEST, HIGHEST = -5.0, 5.0
"""Of a factor; a value that is set may be any."""


@dataclass(frozen=True)
class Clamping:
    """One supernode, clamped."""

    supernode: str
    mode: Mode
    factor: float = 0.0
    """Multiplies an activation, or a maximum; with `set` it is the activation itself."""
    at: str | None = None
    """A span of the prompt, instead of the supernode's own."""
    positions: tuple[int, ...] = ()
    """Tokens of the prompt, instead of the supernode's own; every feature at each of them."""
    onward: bool = False
    """Also at all later positions, generated ones too."""


@dataclass(frozen=True)
class Dosing:
    """One clamp of the attempt at several factors."""

    supernode: str
    factors: tuple[float, ...]


@dataclass(frozen=True)
class Attempt:
    """Clamps on one prompt of a run."""

    prompt: str
    clamps: tuple[Clamping, ...]
    measure: tuple[str, ...]
    """One token: its probability; two: the difference of their logits."""
    freeze: Freeze = "none"
    n_controls: int = 0
    """Matched random feature sets."""
    dosing: Dosing | None = None
    n_tokens: int = 0
    """To be generated, at temperature 0."""
