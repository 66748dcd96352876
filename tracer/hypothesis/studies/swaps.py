from __future__ import annotations

from typing import Literal

from pydantic import Field

from tracer.hypothesis.clamps import Declared, Factor, InterventionSpec, Name, Named
from tracer.hypothesis.expectations.base import Share


def swap_interventions(name: str, study: Swaps) -> Named:
    """One for each ordered pair of concepts, on the recipient's prompts."""
    for recipient, prompts in study.concepts.items():
        for donor in study.concepts:
            if donor != recipient:
                yield (
                    swap_name(name, recipient, donor),
                    InterventionSpec(
                        prompts=prompts,
                        clamp={recipient: study.off, donor: study.on},
                        freeze=study.freeze,
                    ),
                )


def swap_name(study: str, recipient: str, donor: str) -> str:
    """What the measurement of one pair is called."""
    return f"{study}.{recipient}-{donor}"


class Swaps(Declared):
    """Every concept put in place of every other: the donor's answer must come first.

    On each prompt of a concept its own supernode is set to `off` and the donor's to `on`.
    """

    concepts: dict[Name, tuple[Name, ...]] = Field(
        min_length=2, description="Supernodes, each with the prompts that carry its concept."
    )
    off: Factor = Field(default=0.0, description="Factor of the concept that is taken away.")
    on: Factor = Field(default=1.0, description="Factor of the donor.")
    freeze: Literal["none", "attention", "all"] = "none"
    mostly: Share = Field(
        default=1.0, description="Share of the swaps of each split that must succeed."
    )
    each: Share | None = Field(
        default=None, description="And of every pair of donor and recipient, its share at least."
    )

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every recipient prompt."""
        return tuple(prompt for prompts in self.concepts.values() for prompt in prompts)
