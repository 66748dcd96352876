"""What all prompts of a circuit share: its scope, reference means, random circuits and ranking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tracer.engine.ablation import Reference, mean_of, observe
from tracer.engine.attribution.patching import feature_gradients
from tracer.engine.attribution.targets import direction_of
from tracer.engine.cost import circuit_scope
from tracer.engine.measure.circuit_members import (
    Member,
    Pool,
    Ranking,
    RankingScores,
    grouped,
    members_of,
)
from tracer.engine.other_sets import seed_of
from tracer.engine.resolve import MeasurementContext
from tracer.hypothesis.studies.circuit import CircuitSpec

Metric = Callable[[Float[Tensor, "*row vocab"]], Float[Tensor, "*row"]]
"""Reads F off last logits."""
Groups = list[tuple[str, list[Member]]]
"""Members that are left out together, by name."""
_NO_RANDOM = "no random circuits: too few other features differ from their means to draw from"
_NO_CURVE = "no curve: only discovery prompts may rank features, and there is none in the scope"


@dataclass(frozen=True)
class PreparedCircuit:
    """One circuit, ready to be measured on each of its prompts."""

    name: str
    spec: CircuitSpec
    scope: dict[str, range]
    """Positions that are ablated, by prompt; a prompt that cannot be ablated is not in it."""
    problems: dict[str, str]
    """Why a prompt is not in the scope."""
    reference: Reference | None
    """None where no prompt is in the scope."""
    members: list[Member] = field(default_factory=list[Member])
    n_outside: int = 0
    groups: Groups = field(default_factory=list[tuple[str, list[Member]]])
    random: list[list[Member]] = field(default_factory=list[list[Member]])
    fillers: list[list[Member]] = field(default_factory=list[list[Member]])
    ranking: Ranking | None = None
    ranked_on: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def prepare_circuit(context: MeasurementContext, name: str) -> PreparedCircuit:
    """Run the reference prompts, draw the random circuits and rank the features of the scope."""
    spec = context.hypothesis.studies_of(CircuitSpec)[name]
    scope: dict[str, range] = {}
    problems: dict[str, str] = {}
    references = {each: context.clean[each].prompt.ids for each in spec.reference}
    for prompt in spec.prompts:
        tokenized = context.clean[prompt].prompt
        found = circuit_scope(spec, tokenized.ids, tokenized.spans, references)
        if isinstance(found, str):
            problems[prompt] = found
        else:
            scope[prompt] = found
    if not scope:
        return PreparedCircuit(name, spec, scope, problems, None)
    first, last = spec.within.layers or (0, context.basis.n_layers - 1)
    layers = range(first, last + 1)
    reference = _reference(context, spec, list(scope.values()), layers)
    by_supernode, n_outside = members_of(context, spec.supernodes, scope, layers)
    members = [member for each in by_supernode for member in each]
    groups = grouped(by_supernode, spec.groups)
    changed, ranking, ranked_on = _differences(context, spec, reference, scope)
    seed = seed_of(f"{context.hypothesis.seed}/circuit/{name}")
    pool = Pool(changed, reference.start, context.members(), seed)
    random, fillers = _drawn(pool, spec.random if members else 0, members, groups)
    notes: list[str] = []
    if members and len(random) < spec.random:
        notes.append(_NO_RANDOM)
    if spec.curve and not ranked_on:
        notes.append(_NO_CURVE)
    return PreparedCircuit(
        name, spec, scope, problems, reference, members, n_outside, groups, random, fillers,
        ranking, ranked_on, tuple(notes),
    )  # fmt: skip


def metric_of(context: MeasurementContext, spec: CircuitSpec, prompt: str) -> Metric:
    """Σ coefficient · (logit − mean logit): of a difference the mean cancels."""
    declared = context.hypothesis.prompts[prompt]
    direction = direction_of(spec.metric, declared, context.clean[prompt].prompt)

    def read(logits: Tensor) -> Tensor:
        mean = logits.mean(-1)
        return torch.stack([c * (logits[..., token] - mean) for token, c in direction]).sum(0)

    return read


def _reference(
    context: MeasurementContext, spec: CircuitSpec, scope: Sequence[range], layers: range
) -> Reference:
    positions = range(min(r.start for r in scope), max(r.stop for r in scope))
    ids = [context.clean[name].prompt.ids for name in spec.reference]
    return mean_of([observe(context.model, context.basis, i, layers, positions) for i in ids])


class _Differences(NamedTuple):
    """What sets the prompts of a scope apart from the reference means."""

    changed: dict[int, Bool[Tensor, "pos feature"]]
    """By layer, whether a feature differs from its mean on any prompt."""
    ranking: Ranking | None
    ranked_on: tuple[str, ...]


def _differences(
    context: MeasurementContext, spec: CircuitSpec, reference: Reference, scope: dict[str, range]
) -> _Differences:
    """Pass every prompt once; rank the features on discovery prompts where a curve is wanted."""
    prompts = context.hypothesis.prompts
    ranked_on = tuple(p for p in scope if not prompts[p].held_out) if spec.curve else ()
    scores = RankingScores(reference)
    changed = {
        n: torch.zeros_like(mean, dtype=torch.bool) for n, mean in reference.features.items()
    }
    for prompt, positions in scope.items():
        base = reference.between(positions.start, positions.stop)
        clean = context.clean[prompt]
        own = observe(context.model, context.basis, clean.prompt.ids, base.layers, positions)
        changes = {n: own.features[n] - mean for n, mean in base.features.items()}
        rows = slice(positions.start - reference.start, positions.stop - reference.start)
        for layer, change in changes.items():
            changed[layer][rows] |= change != 0
        if prompt in ranked_on:
            candidates = _candidates(changes, context.basis.n_layers)
            read = metric_of(context, spec, prompt)
            gradients = feature_gradients(
                read, context.model, context.basis, clean, positions, "gradient", candidates
            )
            scores.add(positions.start, changes, gradients, candidates)
    return _Differences(changed, scores.ranking() if ranked_on else None, ranked_on)


def _candidates(changes: Mapping[int, Tensor], n_layers: int) -> list[Tensor]:
    """By layer, the features that differ from their mean at some position."""
    none = torch.zeros(0, dtype=torch.long)
    return [
        (changes[n] != 0).any(0).nonzero()[:, 0] if n in changes else none for n in range(n_layers)
    ]


def _drawn(
    pool: Pool, n: int, members: list[Member], groups: Groups
) -> tuple[list[list[Member]], list[list[Member]]]:
    """Random circuits, n of them, and as many fillers; none where the pool is too small."""
    random = [drawn for _ in range(n) if (drawn := pool.draw(members)) is not None]
    if len(random) < n:
        return [], []
    groups_drawn = [groups[pool.pick(len(groups))][1] for _ in range(n if groups else 0)]
    return random, [drawn for group in groups_drawn if (drawn := pool.draw(group)) is not None]
