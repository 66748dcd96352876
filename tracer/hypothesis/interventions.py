"""Named clamps on prompts, what must happen, and the words every part of a file shares."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, StringConstraints, Tag

from tracer.hypothesis.amount import Amount, amount_of
from tracer.hypothesis.directions import Declared
from tracer.hypothesis.expectations import DoseExpectation, Expectation, Thresholds

NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""A name the file gives to a prompt, supernode or intervention; also safe as part of a path."""

HERE = "here"
"""Reserved prompt name in `from:`: the prompt that the intervention is run on."""


def length_tag(value: Any) -> str:
    """Short forms are scalars, long forms mappings: a mistake is told about the form used."""
    return "<long>" if isinstance(value, dict | BaseModel) else "<short>"


Factor = Annotated[float, Field(allow_inf_nan=False)]


class ClampSpec(Declared):
    """Set every feature of a supernode: by `times`, `to` or `add`, and ×1 where none is given."""

    times: Factor | None = Field(
        default=None, description="Multiple of the feature's mean activation on `from`."
    )
    to: Factor | None = Field(default=None, description="This value, whatever the prompt.")
    add: Factor | None = Field(
        default=None,
        description="Its activation on the clamped prompt, plus this multiple of its maximum.",
    )
    from_: tuple[Name, ...] | None = Field(
        default=None,
        alias="from",
        description="Prompts, averaged; `here` is the clamped prompt itself.",
    )
    at: Name | None = Field(default=None, description="Put the features at this span instead.")
    onward: bool = Field(
        default=False,
        description="Every feature stays set from its position on: to the prompt's end, and at "
        "every position that is generated.",
    )

    @property
    def amount(self) -> Amount:
        """How much, and in which unit."""
        return amount_of(self.times, self.to, self.add)


ClampForm = Annotated[
    Annotated[Factor, Tag("<short>")] | Annotated[ClampSpec, Tag("<long>")],
    Discriminator(length_tag),
]


class Doses(Declared):
    """One clamp of the intervention repeated at several factors, the others as they are.

    A factor is in the unit of the clamp: a multiple, a value, or multiples of the maximum.
    """

    of: Name
    factors: tuple[Factor, ...] = Field(min_length=2, max_length=50)
    expect: tuple[DoseExpectation, ...] = ()


class Generation(Declared):
    """Text that the model writes under the clamps, and without them."""

    tokens: int = Field(ge=1, le=512, description="The most; a stop token ends it earlier.")
    temperature: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="0 takes the most probable token."
    )
    seed: int | None = Field(
        default=None, ge=0, lt=2**31, description="Of the samples; default: the file's own."
    )
    samples: int = Field(default=1, ge=1, le=100, description="Texts for each prompt.")


class InterventionSpec(Declared):
    """Named clamps on prompts, and what must happen.

    Where two clamps of one intervention name the same feature at the same position, the one
    written later wins, and the run says how many were shared.
    """

    prompts: tuple[Name, ...] = Field(min_length=1)
    clamp: dict[Name, ClampForm] = Field(min_length=1)
    freeze: Literal["none", "attention", "all"] = Field(
        default="none",
        description="none: everything downstream reacts; attention: patterns stay as in the clean "
        "run; all: patterns, norm scales and every other feature stay (direct effects).",
    )
    expect: tuple[Expectation, ...] = ()
    doses: Doses | None = None
    generate: Generation | None = None

    @property
    def is_compared(self) -> bool:
        """Whether an expectation compares it with controls; else none are drawn for it."""
        return any(e.alpha is not None for e in self.expect if isinstance(e, Thresholds))
