"""What a hypothesis implies: the interventions of its studies, and its variations.

A variation is the same claim with one choice of its author made otherwise: a hypothesis like any
other, measured, saved and judged by the same code. Which prompts are held out never changes, and no
held-out prompt is ever put into a rule. A choice that the file has made already, or that leaves
nothing to go by, is listed with the reason and is no variation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tracer.errors import listed
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.robustness import Robustness
from tracer.hypothesis.spec import Hypothesis, SupernodeSpec
from tracer.hypothesis.studies.registry import STUDIES


def measured_together(hypothesis: Hypothesis) -> list[dict[str, InterventionSpec]]:
    """Interventions whose rows share batches on a prompt: each of the file's own, all of a study's.

    So a row comes out the same, to the last bit, whatever else the file holds.
    """
    own = [{name: spec} for name, spec in hypothesis.interventions.items()]
    return [*own, *(dict(study.interventions(name)) for name, study in hypothesis.studies())]


def all_interventions(hypothesis: Hypothesis) -> dict[str, InterventionSpec]:
    """Interventions by name: the file's own first, then those that its studies imply."""
    together = measured_together(hypothesis)
    return {name: spec for some in together for name, spec in some.items()}


Axis = Literal["template", "seed", "size", "left out"]


@dataclass(frozen=True)
class Variation:
    """One choice made otherwise."""

    name: str
    """Safe as a folder's name: 'template-question', 'seed-1', 'size-20', 'without-dallas'."""
    axis: Axis
    change: str
    """For people: 'seed 1 for 0'."""
    hypothesis: Hypothesis
    skipped: str | None = None
    """Why it is no variation; None if it is one."""


def repeated(hypothesis: Hypothesis) -> Hypothesis:
    """What every variation measures, unvaried; its verdict is what theirs are compared with."""
    spec = hypothesis.robustness
    assert spec is not None
    wanted = spec.interventions
    kept: dict[str, Any] = {"graph": None, "robustness": None}
    kept["interventions"] = _wanted(hypothesis.interventions, wanted)
    for kind in STUDIES:
        members = hypothesis.studies_of(kind) if kind.REPEATED else {}
        kept[kind.SECTION] = _wanted(members, wanted)
    return hypothesis.model_copy(update=kept)


def _wanted(members: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Those named, or all where none is."""
    return {name: one for name, one in members.items() if name in names or not names}


def variations(hypothesis: Hypothesis) -> tuple[Variation, ...]:
    """Every variation that a file asks for, axis by axis; none without `robustness`."""
    spec = hypothesis.robustness
    if spec is None:
        return ()
    base = repeated(hypothesis)
    found = [*_templates(base, spec), *_seeds(base, spec), *_sizes(base, spec)]
    return (*found, *(_left_out(base) if spec.leave_one_out else ()))


def measurable_variations(hypothesis: Hypothesis) -> tuple[Variation, ...]:
    """The variations without those that are skipped."""
    return tuple(each for each in variations(hypothesis) if each.skipped is None)


def sized(hypothesis: Hypothesis, spec: Robustness) -> tuple[str, ...]:
    """The supernodes that `sizes` are for: those named, or all whose rule keeps the strongest k."""
    nodes = hypothesis.supernodes
    return spec.of or tuple(n for n, x in nodes.items() if x.select and x.select.top is not None)


def _templates(base: Hypothesis, spec: Robustness) -> Iterator[Variation]:
    for name, template in spec.templates.items():
        changed = base.model_copy(update={"template": template})
        yield Variation(f"template-{name}", "template", f"{template!r} as the template", changed)


def _seeds(base: Hypothesis, spec: Robustness) -> Iterator[Variation]:
    for seed in spec.seeds:
        own = "it is the file's own seed" if seed == base.seed else None
        changed = base.model_copy(update={"seed": seed})
        yield Variation(f"seed-{seed}", "seed", f"seed {seed} for {base.seed}", changed, own)


def _sizes(base: Hypothesis, spec: Robustness) -> Iterator[Variation]:
    names = sized(base, spec)
    for size in spec.sizes:
        nodes = {name: _of_size(base.supernodes[name], size) for name in names}
        changed = _with(base, nodes)
        own = "it is the file's own size" if changed == base else None
        change = f"top {size} of {listed(names)}"
        yield Variation(f"size-{size}", "size", change, changed, own)


def _of_size(node: SupernodeSpec, size: int) -> SupernodeSpec:
    assert node.select is not None
    return node.model_copy(update={"select": node.select.model_copy(update={"top": size})})


def _left_out(base: Hypothesis) -> Iterator[Variation]:
    """Each selection prompt taken out of all rules that have another one in its place."""
    rules = {name: node for name, node in base.supernodes.items() if node.select is not None}
    for prompt in dict.fromkeys(name for node in rules.values() for name in node.found_on):
        without = {name: _without(node, prompt) for name, node in rules.items()}
        changed = [name for name in rules if without[name].select != rules[name].select]
        keeping = [name for name, node in without.items() if prompt in node.found_on]
        change = f"{prompt} left out of {listed(changed)}" if changed else f"{prompt} left out"
        if keeping:
            change += f"; {listed(keeping)} would have none in its place, so it stays there"
        none = None if changed else "every rule that names it has no other prompt in its place"
        varied = _with(base, without if changed else {})
        yield Variation(f"without-{prompt}", "left out", change, varied, none)


def _without(node: SupernodeSpec, prompt: str) -> SupernodeSpec:
    assert node.select is not None
    lists: dict[str, Any] = {
        key: _dropped(getattr(node.select, key), prompt) for key in ("on", "against")
    }
    lists["against_each"] = tuple(_dropped(each, prompt) for each in node.select.against_each)
    source = None if node.source is None else _dropped(node.source, prompt)
    return node.model_copy(
        update={"select": node.select.model_copy(update=lists), "source": source}
    )


def _dropped(names: tuple[str, ...], prompt: str) -> tuple[str, ...]:
    """The others, or all where there are none."""
    return tuple(name for name in names if name != prompt) or names


def _with(base: Hypothesis, nodes: Mapping[str, SupernodeSpec]) -> Hypothesis:
    return base.model_copy(update={"supernodes": {**base.supernodes, **nodes}})
