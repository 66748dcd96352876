"""Measure what is claimed of heads in an attribution graph, with other sets in their place.

`carried` is compared with other sets of as many heads of the same layers: all where these are few.
`because` is compared with as many other features of the graph at each layer and position, in place
of every supernode that it names. Such a set may share members with the one that is claimed.
`attends` is read off the unclamped patterns, and compared with what controls of its knockout would
knock out: other heads of the same layers, to the same keys or to as many others in a row, and the
same heads to other keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tracer.engine.attribution.graph import Attributed
from tracer.engine.attribution.head_loadings import carried_by
from tracer.engine.attribution.query_key import qk_attribution
from tracer.engine.measure.graph_ablations import Members
from tracer.engine.measure.graph_controls import compared, control_sets
from tracer.engine.other_sets import n_other_sets, other_sets
from tracer.engine.pattern_clamps import (
    heads_of,
    kept_row,
    pattern_controls,
    resolve_patterns,
    unclamped_row,
    unclamped_weight,
    unseen_by,
)
from tracer.engine.patterns import Knockout, Look, PatternEdit
from tracer.engine.resolve import MeasurementContext
from tracer.errors import ModelUnavailable, UsageError
from tracer.hypothesis.attention import PatternClamp
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.expectations.attends import Attends, PatternWeight
from tracer.hypothesis.expectations.because import MEAN, Because, BecauseTest
from tracer.hypothesis.expectations.carried import Carried, CarriedTest
from tracer.hypothesis.expectations.edge import OUTPUT
from tracer.hypothesis.heads import HeadName
from tracer.hypothesis.studies.graph import N_CONTROLS
from tracer.record.graph.head_reason import Against
from tracer.record.head_shares import HeadShareRecord, ReasonRecord
from tracer.record.trials import GraphRecord

ROUNDING = 1e-5
"""A sum that is less than this of its terms' magnitudes is rounding, and nothing has a share."""


def heads_cause(context: MeasurementContext, prompt: str) -> list[Any]:
    """What the claims of the graph section measure depends on beside the graph, for a key."""
    carried, reasons, looks = _asked(context)
    spans = context.clean[prompt].prompt.spans
    named = {span for each in reasons for span in (each.from_, each.to, each.against)}
    named |= {span for each in looks for span in (each.from_, each.to)}
    return [
        [(each.key, heads_of(context, each.heads)) for each in carried],
        [(each.name, heads_of(context, each.heads)) for each in reasons],
        [(each.key, heads_of(context, each.heads)) for each in looks],
        [(span, spans[span]) for span in sorted(named) if span in spans],
    ]


def with_claims(
    context: MeasurementContext,
    prompt: str,
    taken: Attributed,
    members: Members,
    record: GraphRecord,
) -> GraphRecord:
    """A prompt's graph with what is claimed of its heads."""
    asked = _asked(context)
    found = {
        "carried": {each.key: _carried(context, taken, members, each) for each in asked.carried},
        "reasons": {
            each.name: _reason(context, prompt, taken, members, each) for each in asked.reasons
        },
        "looks": {each.key: _look(context, prompt, each) for each in asked.looks},
    }
    return record.model_copy(update=found)


class _Asked(NamedTuple):
    carried: list[CarriedTest]
    reasons: list[BecauseTest]
    looks: list[PatternWeight]


def _asked(context: MeasurementContext) -> _Asked:
    """Each once, whatever share is asked for."""
    spec = context.hypothesis.graph
    expected = spec.expect if spec else ()
    carried = {e.carried.key: e.carried for e in expected if isinstance(e, Carried)}
    reasons = {e.because.name: e.because for e in expected if isinstance(e, Because)}
    looks = {e.attends.key: e.attends for e in expected if isinstance(e, Attends)}
    return _Asked(list(carried.values()), list(reasons.values()), list(looks.values()))


def _ids(heads: Sequence[HeadName]) -> tuple[str, ...]:
    return tuple(map(str, heads))


def _carried(
    context: MeasurementContext, taken: Attributed, members: Members, asked: CarriedTest
) -> HeadShareRecord:
    heads = heads_of(context, asked.heads)
    graph, (source, target) = taken.graph, (asked.edge.from_, asked.edge.to)
    from_rows = members.get(source, np.empty(0, dtype=np.int64))
    to_rows = np.array([graph.nodes.n_features]) if target == OUTPUT else members.get(target, ())
    if not len(from_rows) or not len(to_rows):
        return HeadShareRecord(heads=_ids(heads), problem="a supernode is not in the graph")
    edges = graph.edges[np.ix_(to_rows, from_rows)].astype(np.float64)
    whole, size = float(edges.sum()), float(np.abs(edges).sum())
    if abs(whole) <= ROUNDING * size:
        told = f"the edge {source} → {target} is 0, so nothing is a share of it"
        return HeadShareRecord(heads=_ids(heads), whole=whole, problem=told)
    others = _other_heads(context, taken, heads, asked.key)
    sets = [heads, *others.sets]
    found = carried_by(taken.nodes, from_rows.tolist(), list(map(int, to_rows)), sets)
    shares = found.double().cpu().numpy() / whole
    return HeadShareRecord(
        heads=_ids(heads),
        part=float(found[0]),
        whole=whole,
        share=float(shares[0]),
        is_every_set=others.is_all,
        **compared(float(shares[0]), shares[1:]),
    )


class _OtherHeads(NamedTuple):
    sets: list[list[HeadName]]
    is_all: bool


def _other_heads(
    context: MeasurementContext, taken: Attributed, heads: Sequence[HeadName], key: str
) -> _OtherHeads:
    """Other sets of as many heads of the same layers: `N_CONTROLS`, or all there are."""
    n_heads = len(taken.nodes.frozen.blocks[0].weights.W_O)
    layers = sorted({layer for layer, _ in heads})
    named = [sorted({head for at, head in heads if at == layer}) for layer in layers]
    pools = [range(n_heads)] * len(layers)
    drawn = other_sets(pools, named, N_CONTROLS, f"{context.hypothesis.seed} carried {key}")
    sets = [
        [HeadName(layer, head) for layer, some in zip(layers, each, strict=True) for head in some]
        for each in drawn
    ]
    return _OtherHeads(sets, n_other_sets(pools, named) <= N_CONTROLS)


def _reason(
    context: MeasurementContext,
    prompt: str,
    taken: Attributed,
    members: Members,
    asked: BecauseTest,
) -> ReasonRecord:
    """The part of two supernodes in the scores of some heads together."""
    spans, heads = context.clean[prompt].prompt.spans, heads_of(context, asked.heads)
    query, key = spans[asked.from_][1] - 1, spans[asked.to][1] - 1
    against: Against = MEAN if asked.against == MEAN else spans[asked.against][1] - 1
    told: dict[str, Any] = {"heads": _ids(heads), "query": query, "key": key}
    rows = {name: members.get(name, np.empty(0, dtype=np.int64)) for name in asked.sides}
    if not all(map(len, rows.values())):
        return ReasonRecord(**told, problem="a supernode is not in the graph")
    if against == key:
        return ReasonRecord(**told, problem=f"{asked.against} is the same token as {asked.to}")
    try:
        found = [
            qk_attribution(context.model, taken.nodes, head, query, key, against) for head in heads
        ]
    except (UsageError, ModelUnavailable) as refused:
        return ReasonRecord(**told, problem=str(refused).removesuffix("."))
    told["attention"] = kept_row(torch.stack([e.pattern[: query + 1] for e in found]).mean(0))
    whole = math.fsum(float(each.total) for each in found)
    if whole <= ROUNDING * math.fsum(abs(each.score) for each in found):
        problem = f"the score is no higher than that of {asked.against} ({whole:+.3g})"
        return ReasonRecord(**told, whole=whole, problem=problem)
    drawn = [rows, *_other_features(context, taken, rows, asked)]
    queries, keys = (_sets(taken, drawn, name) for name in (asked.query, asked.key))
    products = [e.sums("query", queries) * e.sums("key", keys) for e in found]
    parts = torch.stack(products).sum((0, 2)).double().tolist()
    shares = np.array(parts) / whole
    share, others = float(shares[0]), compared(float(shares[0]), shares[1:])
    return ReasonRecord(**told, part=parts[0], whole=whole, share=share, **others)


def _look(context: MeasurementContext, prompt: str, asked: PatternWeight) -> HeadShareRecord:
    """A weight of the unclamped patterns, a share of 1, and those of other heads and keys."""
    clamp = PatternClamp.model_validate(
        {"heads": asked.heads, "from": asked.from_, "to": asked.to, "set": 0}
    )
    spec = InterventionSpec(prompts=(prompt,), attention=(clamp,))
    look = _look_of(resolve_patterns(context, spec, prompt))
    told: dict[str, Any] = {"heads": _ids([HeadName(*head) for head in look.heads])}
    unseen = unseen_by(context, look, prompt)
    if unseen is not None:
        return HeadShareRecord(**told, problem=unseen)
    seed = f"{context.hypothesis.seed} attends {asked.key}"
    others = pattern_controls(context, spec, prompt, {}, N_CONTROLS, seed)
    weight, *theirs = (
        unclamped_weight(context, each, prompt) for each in (look, *map(_look_of, others))
    )
    return HeadShareRecord(
        **told,
        part=weight,
        whole=1.0,
        share=weight,
        attention=unclamped_row(context, look, prompt),
        is_every_set=len(theirs) < N_CONTROLS,
        **compared(weight, np.array(theirs)),
    )


def _look_of(edits: Sequence[PatternEdit]) -> Look:
    """The weight that a knockout of some heads, all of the same queries and keys, takes away."""
    first = edits[0]
    assert isinstance(first, Knockout)
    return Look(tuple((each.layer, each.head) for each in edits), first.queries, first.keys)


def _sets(
    taken: Attributed, drawn: Sequence[dict[str, Int[np.ndarray, " n"]]], name: str | None
) -> list[Int[Tensor, " n"]] | None:
    """By draw, the rows of a side's supernode, or of what stands in its place; None: every node."""
    device = taken.nodes.frozen.device
    return None if name is None else [torch.from_numpy(each[name]).to(device) for each in drawn]


def _other_features(
    context: MeasurementContext,
    taken: Attributed,
    rows: dict[str, Int[np.ndarray, " n"]],
    asked: BecauseTest,
) -> list[dict[str, Int[np.ndarray, " n"]]]:
    """By draw, other features in place of each supernode."""
    none, seed = np.empty(0, dtype=np.int64), f"{context.hypothesis.seed} because {asked.name}"
    sets = control_sets(taken.graph, list(rows.values()), none, seed)
    return [dict(zip(rows, each, strict=True)) for each in sets]
