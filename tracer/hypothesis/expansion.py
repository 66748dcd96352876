"""Every intervention that a hypothesis needs measured: those it names, and those its studies imply.

A study's interventions are named after it with a dot, which no name in a file may hold:
`texas_needed.zero`. They are measured, saved and resumed like any other.
"""

from __future__ import annotations

from collections.abc import Iterator

from tracer.hypothesis.interventions import HERE, ClampForm, ClampSpec, InterventionSpec
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.studies import AblationKind, Mediation, Necessity, Swaps

TOTAL, HELD = "total", "held"
Named = Iterator[tuple[str, InterventionSpec]]


def measured(hypothesis: Hypothesis) -> dict[str, InterventionSpec]:
    """Interventions by name, the file's own first."""
    found = dict(hypothesis.interventions)
    for name, needed in hypothesis.necessity.items():
        found.update(necessity_interventions(name, needed))
    for name, mediation in hypothesis.mediation.items():
        found.update(mediation_interventions(name, mediation))
    for name, swaps in hypothesis.swaps.items():
        found.update(swap_interventions(name, swaps))
    return found


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


def mediation_interventions(name: str, study: Mediation) -> Named:
    """The clamps alone, then with the mediators at their clean values."""
    clean = ClampSpec.model_validate({"from": (HERE,)})
    held = {**study.clamp, **dict.fromkeys(study.through, clean)}
    for suffix, clamp in ((TOTAL, study.clamp), (HELD, held)):
        yield (
            f"{name}.{suffix}",
            InterventionSpec(prompts=study.prompts, clamp=clamp, freeze=study.freeze),
        )


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
