"""The supernodes of a run's graph for their picture: what they are, and what each does to which.

An effect carries what else is known of it: what clamping measured, and the sign that the file
claims or that ablating shows, where it is another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tracer.evidence.claimed_links import (
    Contradiction,
    claimed_links,
    contradictions,
    measured_change,
)
from tracer.evidence.wording import MINUS
from tracer.hypothesis.expectations.edge import OUTPUT
from tracer.hypothesis.neuronpedia_ids import feature_id
from tracer.record.record import Record
from tracer.record.trials import GraphEdge
from tracer.report.run_graphs import SupernodePlaces, feature_names, supernode_groups
from tracer.report.supernode_diagram import (
    Group,
    GroupEffect,
    SupernodeDiagram,
    diagram,
    output_group,
    share_text,
)
from tracer.report.text import feature_name, percent, plural, signed, visible_token

MOST_MEMBERS = 20
"""Of one box, the strongest; all of them are in the list of supernodes."""
SMALL = 0.1
"""Of the direct effect; a change that is smaller has no sign worth telling."""


def graph_diagram(
    record: Record,
    prompt: str,
    by_hand: Sequence[SupernodePlaces] = (),
    effects: Sequence[GroupEffect] = (),
    opened: Collection[str] = (),
) -> SupernodeDiagram | None:
    """The supernodes in a prompt's graph; None where none has a member there.

    Args:
        record: The run.
        prompt: Whose graph it is.
        by_hand: More supernodes, which the run does not have.
        effects: Theirs, on any supernode or the output, and on them.
        opened: Names of the supernodes whose box shows its members.
    """
    graph = record.graphs[prompt]
    there = [each for each in supernode_groups(record, prompt) if graph.members.get(each["name"])]
    names = feature_names(graph.features)
    groups = [supernode_group(each, graph.members[each["name"]], names) for each in there]
    groups += [
        supernode_group(each, len(each["places"]), names) for each in by_hand if each["places"]
    ]
    if not groups:
        return None
    claimed = {(each.source, each.target) for each in claimed_links(record, prompt)}
    output = output_group(visible_token(graph.target))
    return diagram([*groups, output], [*_effects(record, prompt), *effects], claimed, opened)


def _effects(record: Record, prompt: str) -> list[GroupEffect]:
    """The direct effects between a run's supernodes, with what else is known of each."""
    flags = {
        (each.claim.source, each.claim.target): f"claimed: {'+' if each.claim.sign > 0 else MINUS}"
        for each in contradictions(record, prompt)
    }
    return [
        GroupEffect(
            edge.source,
            edge.target,
            edge.share,
            _measured(record, prompt, edge),
            flags.get((edge.source, edge.target)) or _other_sign(record, prompt, edge),
        )
        for edge in record.graphs[prompt].edges
        if edge.share is not None
    ]


def supernode_group(places: SupernodePlaces, n_members: int, names: Mapping[str, str]) -> Group:
    """A supernode as it lies on a prompt; `names` are those of described features, by id."""
    layers = [layer for layer, _, _ in places["places"]]
    positions = [position for _, position, _ in places["places"]]
    low, high = min(layers), max(layers)
    where = f"L{low}" if low == high else f"L{low}–{high}"
    mean, at = sum(layers) / len(layers), sum(positions) / len(positions)
    note = f"{plural(n_members, 'feature')} · {where}"
    members = _members(places["places"], names)
    return Group(places["name"], places["label"], note, mean, at, members)


def _members(places: Sequence[tuple[int, int, int]], names: Mapping[str, str]) -> tuple[str, ...]:
    """The first of them by name and token, and the number of the others."""
    told = [
        f"{names.get(feature_id(layer, index, pos)) or feature_name(layer, index)}, at {pos}"
        for layer, pos, index in places[:MOST_MEMBERS]
    ]
    more = len(places) - len(told)
    return (*told, f"and {more:,} more") if more else tuple(told)


def contradiction_words(record: Record, prompt: str, found: Contradiction) -> str:
    """A sentence that says what the file claims and what was found."""
    claim = found.claim
    source = record.supernodes[claim.source].label
    target = _target(record, prompt, claim.target)
    story = "adds to" if claim.sign > 0 else "takes away from"
    said = f"{claim.where} claims that {source} {story} {target}"
    if found.found == "direct":
        return f"{said}; in the graph of {prompt} its direct effect is {share_text(found.value)}."
    verb = "lowers" if found.value > 0 else "raises"
    return f"{said}; on {prompt}, ablating it {verb} that by {abs(found.value):.2f}."


def _target(record: Record, prompt: str, name: str) -> str:
    if name == OUTPUT:
        return visible_token(record.graphs[prompt].target)
    return record.supernodes[name].label


def _measured(record: Record, prompt: str, edge: GraphEdge) -> str:
    """What clamping the source alone did to the explained logit, or to a supernode."""
    if edge.target == OUTPUT:
        change = measured_change(record.graphs[prompt], edge.source)
        return "" if change is None else f"ablated: {signed(change)}"
    for found in record.interventions.values():
        trial = found.trials.get(prompt)
        if trial is None or [clamp.supernode for clamp in trial.clamps] != [edge.source]:
            continue
        activation = trial.supernodes.get(edge.target)
        if activation is not None and activation.of_clean is not None:
            return f"{trial.clamps[0].amount.words()}: {percent(activation.of_clean)}"
    return ""


def _other_sign(record: Record, prompt: str, edge: GraphEdge) -> str:
    """Says that ablating a group moves the output the way its direct effect does not.

    Changes that are small beside the direct effect are left aside.
    """
    change = measured_change(record.graphs[prompt], edge.source) if edge.target == OUTPUT else None
    if change is None or change * edge.weight <= 0 or abs(change) < SMALL * abs(edge.weight):
        return ""
    return f"measured: {MINUS if edge.weight > 0 else '+'}"
