"""Necessity: without these supernodes the behaviour is gone, however they are taken away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tracer.errors import KeyPath, Problem, listed
from tracer.hypothesis.clamps import HERE, ClampForm, ClampSpec, InterventionSpec
from tracer.hypothesis.declared import Name
from tracer.hypothesis.expectations.registry import ExpectationForm
from tracer.hypothesis.studies.study import Asked, Study, asked_by

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts

AblationKind = Literal["zero", "mean", "resample", "inhibit"]
NEED_REFERENCE: tuple[AblationKind, ...] = ("mean", "resample")


class Necessity(Study):
    """The behaviour needs these supernodes: without them it is gone, however they are taken away.

    Every expectation must hold under every kind of ablation, and under every draw of `resample`.
    """

    SECTION: ClassVar[str] = "necessity"

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
    expect: tuple[ExpectationForm, ...] = Field(min_length=1)

    def named_prompts(self) -> tuple[str, ...]:
        """Those it is judged on, and those that activations are taken from."""
        return (*self.prompts, *self.reference)

    def named_supernodes(self) -> tuple[str, ...]:
        """Those that are ablated, and those that are read."""
        return (*self.ablate, *(name for each in self.expect for name in each.supernodes()))

    def asked_tokens(self, parts: Parts, path: KeyPath) -> Iterator[Asked]:
        """Those of its expectations."""
        return asked_by((*path, "expect"), self.expect, self.prompts)

    def problems(self, parts: Parts, path: KeyPath) -> Iterator[Problem]:
        """Prompts, supernodes, references and expectations that do not fit."""
        yield from parts.prompt_problems((*path, "prompts"), self.prompts)
        yield from parts.supernode_list_problems((*path, "ablate"), self.ablate, self.prompts)
        yield from self._reference_problems(parts, path)
        for index, kind in enumerate(self.kinds):
            if kind in self.kinds[:index]:
                yield Problem((*path, "kinds", index), f"the kind {kind!r} is named twice")
        if all(name in parts.supernodes for name in self.ablate):
            spec = next(spec for _, spec in self.interventions(str(path[-1])))
            for index, expectation in enumerate(self.expect):
                yield from expectation.problems(parts, (*path, "expect", index), spec)

    def _reference_problems(self, parts: Parts, path: KeyPath) -> Iterator[Problem]:
        needing = [kind for kind in self.kinds if kind in NEED_REFERENCE]
        place = (*path, "reference")
        if needing and not self.reference and parts.is_whole(*path):
            message = f"{listed(needing)} take activations from prompts: name `reference`"
            yield Problem(path, message)
        elif self.reference and not needing:
            yield Problem(place, f"nothing uses it: it is for the kinds {listed(NEED_REFERENCE)}")
        elif self.reference:
            yield from parts.prompt_problems(place, self.reference, discovery="a reference")
            for name in self.ablate:
                if name in parts.supernodes:
                    yield from parts.supernode_problems(place, name, self.reference)
        for index, name in enumerate(self.reference):
            if name in self.prompts:
                message = (
                    f"the prompt {name!r} is also ablated: its own activations take nothing away"
                )
                yield Problem((*place, index), message)

    def interventions(self, name: str) -> Iterator[tuple[str, InterventionSpec]]:
        """One for each kind of ablation; `resample` has one for each prompt it draws from."""
        for kind in self.kinds:
            for suffix, clamp in _ablations(kind, self.reference):
                yield (
                    f"{name}.{suffix}",
                    InterventionSpec(
                        prompts=self.prompts,
                        clamp=dict.fromkeys(self.ablate, clamp),
                        freeze=self.freeze,
                        expect=self.expect,
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
