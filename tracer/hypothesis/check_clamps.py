"""What the schema cannot say about the clamp of one supernode, wherever it stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tracer.errors import KeyPath, Problem, unknown
from tracer.hypothesis.clamps import HERE, UNITS, ClampSpec, InterventionSpec

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts
    from tracer.hypothesis.spec import SupernodeSpec


def clamp_problems(
    parts: Parts, path: KeyPath, spec: InterventionSpec, name: str
) -> Iterator[Problem]:
    """Mistakes in the clamp of one supernode; `path` is that of what it stands in."""
    place = (*path, "clamp", name)
    if name not in parts.supernodes:
        yield Problem(place, unknown("supernode", name, parts.supernodes))
        return
    clamp = spec.clamp[name]
    clamp = clamp if isinstance(clamp, ClampSpec) else ClampSpec(times=clamp)
    if clamp.from_ is not None:
        yield from parts.prompt_problems(
            (*place, "from"), clamp.from_, discovery="a donor", reserved=(HERE,)
        )
    yield from _amount_problems(place, clamp)
    node = parts.supernodes[name]
    if clamp.at is not None:
        yield from parts.span_problems((*place, "at"), clamp.at, spec.prompts)
    if node is None:
        return
    yield from _clamp_needs(parts, place, spec, node, clamp)


def _amount_problems(place: KeyPath, clamp: ClampSpec) -> Iterator[Problem]:
    """One unit says how much; only a multiple of an activation comes from other prompts."""
    given = [unit for unit in UNITS if getattr(clamp, unit) is not None]
    if len(given) > 1:
        named = " and ".join(f"`{unit}`" for unit in given)
        yield Problem(place, f"it has {named}; one of them says how much")
    elif clamp.from_ is not None and clamp.amount.unit != "times":
        message = f"it says nothing beside `{given[0]}`, which takes no activation from elsewhere"
        yield Problem((*place, "from"), message)


def _clamp_needs(
    parts: Parts, place: KeyPath, spec: InterventionSpec, node: SupernodeSpec, clamp: ClampSpec
) -> Iterator[Problem]:
    """What a clamp asks of its supernode: a place on every prompt, and an activation."""
    name = str(place[-1])
    donors = [donor for donor in clamp.from_ or () if donor != HERE]
    written = spec.prompts if clamp.at is None else ()
    if node.is_anchored:
        if parts.is_placed(node):
            yield from parts.span_problems(place, node.span, (*written, *donors))
    elif clamp.at is not None:
        message = f"it says nothing: every feature of {name!r} has a position of its own"
        yield Problem((*place, "at"), message)
    unit, value = clamp.amount
    if unit == "add" and node.maxima is None and parts.is_whole("supernodes", name):
        message = f"{name!r} has no `maxima` to add a multiple of: give it those of its features"
        yield Problem((*place, "add"), message)
    factors = {value}
    if spec.doses is not None and spec.doses.of == name:
        factors |= set(spec.doses.factors)
    needs_source = unit == "times" and any(factors) and clamp.from_ is None
    if needs_source and not node.has_source and parts.is_whole("supernodes", name):
        yield Problem(
            place,
            f"{name!r} has explicit features and no `source`, so there is no activation to "
            f"multiply: give the supernode a `source`, or write {{times: …, from: [{HERE}]}}",
        )
