"""Procedure-matched controls on a model: the rule of a supernode carried out anew for each.

Which rules these are says `tracer.hypothesis.procedure`; a set found by one has the size of the
real set, and takes its activations from the prompts it was found on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tracer.engine.resolve import MeasurementContext
from tracer.engine.supernodes import RuleScores, select
from tracer.hypothesis.clamps import HERE, ClampForm, ClampSpec, InterventionSpec
from tracer.hypothesis.procedure import ProcedureSet, procedure_sets, put_in
from tracer.hypothesis.spec import SupernodeSpec
from tracer.record.record import SupernodeRecord


class MadeAnew(NamedTuple):
    """One control: the intervention with other supernodes in it."""

    made: ProcedureSet
    spec: InterventionSpec
    supernodes: Mapping[str, SupernodeRecord]


def made_anew(
    context: MeasurementContext, name: str, spec: InterventionSpec
) -> tuple[MadeAnew, ...]:
    """The procedure-matched controls of an intervention; found once for all of its prompts."""
    key = f"made anew/{name}"
    if key not in context.kept:
        context.kept[key] = _make(context, name, spec)
    return context.kept[key]


def _make(context: MeasurementContext, name: str, spec: InterventionSpec) -> tuple[MadeAnew, ...]:
    declared = context.hypothesis
    sets = procedure_sets(declared, name, spec)
    replaced = put_in(declared, spec) if sets else ()
    scores = RuleScores(context.model, context.basis, context.clean, declared.prompts)
    found: list[MadeAnew] = []
    for each in sets:
        nodes = {
            node: select(
                node,
                _declared(declared.supernodes[node], each, len(context.supernodes[node].members)),
                scores,
            )
            for node in replaced
        }
        clamp = {n: _moved(given, each) if n in nodes else given for n, given in spec.clamp.items()}
        changed = spec.model_copy(update={"clamp": clamp})
        found.append(MadeAnew(each, changed, {**context.supernodes, **nodes}))
    return tuple(found)


def _declared(node: SupernodeSpec, made: ProcedureSet, size: int) -> SupernodeSpec:
    rule = made.rule.model_copy(update={"top": size, "share": None})
    source = node.source if made.family == "answers" else made.rule.on
    return node.model_copy(update={"select": rule, "source": source})


def _moved(given: ClampForm, made: ProcedureSet) -> ClampForm:
    """A clamp whose donors are those of the rule; one from the clamped prompt itself stays."""
    if made.family == "answers" or not isinstance(given, ClampSpec) or given.from_ == (HERE,):
        return given
    return given.model_copy(update={"from_": None})
