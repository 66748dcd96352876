from __future__ import annotations

from typing import Literal

from pydantic import Field

from tracer.hypothesis.expectations.base import Expected, Number


class Fraction(Expected):
    """How active a supernode is after the clamps, as a share of a reference activation.

    ⟨a, a₀⟩ / ⟨a₀, a₀⟩ over its features: 1 as the reference, 0 off, −2 inverted and doubled. That
    is the mean of the features' own shares aᵢ / a₀ᵢ, weighted by a₀ᵢ².
    """

    supernode: str
    fraction_above: Number | None = None
    fraction_below: Number | None = None
    of: Literal["clean", "source"] = Field(
        default="clean",
        description="a₀: this prompt unclamped, or the mean of the supernode's sources.",
    )
    average: Literal["weighted", "equal"] = Field(
        default="weighted",
        description="equal: every feature's share counts alike, as circuit-tracer's drawings do;"
        " features with a₀ᵢ = 0 have none and are left out.",
    )
