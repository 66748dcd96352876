"""What a hypothesis wants varied: choices of its author that the verdict should not hang on.

`tracer.hypothesis.implied` derives from it one hypothesis for each choice made otherwise.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from tracer.hypothesis.declared import Declared, Name
from tracer.hypothesis.expectations.base import Share
from tracer.hypothesis.studies.study import SplitTest

ROBUSTNESS = "robustness"
"""Stands for an intervention's name in the outcomes of what is expected of the variations."""


Seed = Annotated[int, Field(ge=0, lt=2**31)]
Size = Annotated[int, Field(ge=1)]


class SameVerdict(SplitTest):
    """The share of the variations whose verdict must be that of the file as it is."""

    KEY: ClassVar[str] = "same"
    same: Share


class Robustness(Declared):
    """Variations of this file, each measured and judged as a run of its own, one change at a time.

    Graphs and shared representations are not repeated.
    """

    templates: dict[Name, str] = Field(
        default={}, description="Paraphrases, each in place of `template`."
    )
    seeds: tuple[Seed, ...] = Field(default=(), description="Each in place of `seed`.")
    sizes: tuple[Size, ...] = Field(
        default=(), description="Each in place of `top` of the supernodes in `of`."
    )
    of: tuple[Name, ...] = Field(
        default=(), description="Supernodes that `sizes` are for; default: all that have `top`."
    )
    leave_one_out: bool = Field(
        default=False,
        description="Leave each prompt of a rule's `on` and `against` out of all rules in turn.",
    )
    interventions: tuple[Name, ...] = Field(
        default=(),
        description="What is repeated: interventions, studies and circuits; default: all of them.",
    )
    expect: tuple[SameVerdict, ...] = ()
