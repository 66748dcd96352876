from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from tracer.hypothesis.clamps import (
    HERE,
    ClampForm,
    ClampSpec,
    Declared,
    InterventionSpec,
    Name,
    Named,
)
from tracer.hypothesis.expectations.registry import Expectation


def necessity_interventions(name: str, study: Necessity) -> Named:
    """One for each kind of ablation; `resample` has one for each prompt it draws from."""
    for kind in study.kinds:
        for suffix, clamp in _ablations(kind, study.reference):
            yield (
                f"{name}.{suffix}",
                InterventionSpec(
                    prompts=study.prompts,
                    clamp=dict.fromkeys(study.ablate, clamp),
                    freeze=study.freeze,
                    expect=study.expect,
                ),
            )


def _ablations(kind: AblationKind, reference: tuple[str, ...]) -> Iterator[tuple[str, ClampForm]]:
    match kind:
        case "zero":
            yield kind, 0.0
        case "inhibit":
            yield kind, ClampSpec.model_validate({"times": -1.0, "from": (HERE,)})
        case "mean":
            yield kind, ClampSpec.model_validate({"from": reference})
        case "resample":
            for donor in reference:
                yield f"{kind}-{donor}", ClampSpec.model_validate({"from": (donor,)})


AblationKind = Literal["zero", "mean", "resample", "inhibit"]
NEED_REFERENCE: tuple[AblationKind, ...] = ("mean", "resample")


class Necessity(Declared):
    """The behaviour needs these supernodes: without them it is gone, however they are taken away.

    Every expectation must hold under every kind of ablation, and under every draw of `resample`.
    """

    prompts: tuple[Name, ...] = Field(min_length=1)
    ablate: tuple[Name, ...] = Field(min_length=1, description="Supernodes, taken away together.")
    kinds: tuple[AblationKind, ...] = Field(
        min_length=2,
        description="zero: set to 0; mean: to the mean over `reference`; resample: to each prompt "
        "of `reference` in turn; inhibit: to −1 × the prompt's own activation.",
    )
    reference: tuple[Name, ...] = Field(
        default=(), description="Prompts that `mean` and `resample` take activations from."
    )
    freeze: Literal["none", "attention", "all"] = "none"
    expect: tuple[Expectation, ...] = Field(min_length=1)
