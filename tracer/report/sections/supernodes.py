"""The members of each supernode, and how it was found, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracer.evidence.wording import show_written
from tracer.hypothesis.clamps import Direction, LogitDiffDirection, TokenDirection
from tracer.hypothesis.neuronpedia_ids import parse_feature
from tracer.record.record import FeatureRef, HeadRef, Record, SupernodeRecord
from tracer.record.trials import FeatureTokens
from tracer.report.limits import MAX_MEMBERS, Cut, cut, each_of
from tracer.report.text import (
    NONE,
    feature_name,
    formatted,
    head_name,
    percent,
    plural,
    visible_token,
)

_FEWEST = 20
"""Members of each supernode that are listed, however many supernodes there are."""


@dataclass(frozen=True)
class MemberRow:
    """A feature or a head of a supernode."""

    name: str
    """By its place and what it promotes, where that was read."""
    where: str
    score: str
    fires: str
    """Where it is most active, where that was read."""


@dataclass(frozen=True)
class SupernodeView:
    """A supernode and how it was found."""

    name: str
    label: str
    summary: str
    rule: str
    members: Cut[MemberRow]


def supernode_views(record: Record) -> tuple[SupernodeView, ...]:
    """Every supernode of a run."""
    most = each_of(MAX_MEMBERS, len(record.supernodes), _FEWEST)
    return tuple(supernode_view(record, each, most) for each in record.supernodes.values())


def supernode_view(
    record: Record, supernode: SupernodeRecord, most: int = MAX_MEMBERS
) -> SupernodeView:
    """A supernode, ready to be written out, with so many of its members."""
    listed = cut(supernode.members, most, "members", "run.json")
    told = described(record)
    layers = [each.layer for each in supernode.members]
    span = f", layers {min(layers)} to {max(layers)}" if layers else ""
    share = supernode.share
    carried = f", {percent(share)} of the positive attribution" if share is not None else ""
    return SupernodeView(
        name=supernode.name,
        label=supernode.label,
        summary=plural(len(supernode.members), supernode.unit) + span + carried,
        rule=_rule(record, supernode),
        members=Cut(tuple(_member(told, each) for each in listed.kept), listed.note),
    )


def described(record: Record) -> dict[tuple[int, int], FeatureTokens]:
    """What features say, by layer and index, as they are on the first graph that has them."""
    found: dict[tuple[int, int], FeatureTokens] = {}
    for graph in record.graphs.values():
        for name, said in graph.features.items():
            place = parse_feature(name)
            if place is not None:
                found.setdefault((place.layer, place.feature), said)
    return found


def _member(told: Mapping[tuple[int, int], FeatureTokens], ref: FeatureRef | HeadRef) -> MemberRow:
    where = f"anchor − {ref.offset}" if ref.offset else "anchor"
    if ref.position is not None:
        where = f"token {ref.position}"
    score = NONE if ref.score is None else formatted(ref.score, ".4g")
    if isinstance(ref, HeadRef):
        return MemberRow(head_name(ref.layer, ref.head), where, score, "")
    said = told.get((ref.layer, ref.index))
    name = feature_name(ref.layer, ref.index, said)
    tokens = dict.fromkeys(visible_token(each.token) for each in (said.fires if said else ()))
    return MemberRow(name, where, score, ", ".join(tokens))


def _rule(record: Record, supernode: SupernodeRecord) -> str:
    """How a supernode was found, in a sentence."""
    spec = record.hypothesis.supernodes.get(supernode.name)
    where = f"at {supernode.at} ({supernode.anchor} token)"
    mean = f" Its own activation is the mean on {', '.join(supernode.source)}."
    sources = mean if supernode.source else ""
    if spec is None or spec.select is None:
        return f"Given by explicit ids, put {where}." + sources
    rule = spec.select
    kept = f"the {rule.top} strongest" if rule.top else "the strongest"
    if rule.share is not None:
        kept = f"the strongest that carry {percent(rule.share)} of the positive attribution"
    against = f" minus that on {', '.join(rule.compared_with)}" if rule.contrasts else ""
    layers = f" in layers {rule.layers[0]} to {rule.layers[1]}" if rule.layers else ""
    pool = f" of {supernode.n_candidates:,} {supernode.unit}s" if supernode.n_candidates else ""
    score = {
        "activation": "size of its write × how much the prompts agree; the output is not looked at",
        "influence": f"its influence in attribution graphs toward {direction(rule.toward)}",
    }.get(rule.by, f"mean gradient toward {direction(rule.toward)}")
    return (
        f"Found by a rule: {kept}{pool}{layers} {where}, by (mean activation on "
        f"{', '.join(rule.on)}{against}) × {score}." + sources
    )


def direction(toward: Direction) -> str:
    """What a selection or a graph is toward, in words."""
    match toward:
        case TokenDirection():
            return f"the logit of {show_written(toward.token)}"
        case LogitDiffDirection():
            first, second = map(show_written, toward.logit_diff)
            return f"logit({first}) − logit({second})"
        case _:
            return "the logit of each prompt's answer"
