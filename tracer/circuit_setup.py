"""What the prompts of a circuit share: scope, reference means, random circuits and the ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.ablation import Reference, mean_of, observe
from tracer.attribution import gradients_of
from tracer.circuit_members import Member, Pool, grouped, members_of
from tracer.circuit_ranking import Ranking, Scores
from tracer.clamps import seed_of
from tracer.direction import direction_of
from tracer.hypothesis.circuits import CircuitSpec
from tracer.measure import Bench, all_members
from tracer.tokens import shared_prefix

Metric = Callable[[Float[Tensor, "*row vocab"]], Float[Tensor, "*row"]]
"""Reads F off last logits."""


@dataclass(frozen=True)
class Circuit:
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
    groups: list[tuple[str, list[Member]]] = field(default_factory=list[tuple[str, list[Member]]])
    random: list[list[Member]] = field(default_factory=list[list[Member]])
    fillers: list[list[Member]] = field(default_factory=list[list[Member]])
    ranking: Ranking | None = None
    ranked_on: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def set_up(bench: Bench, name: str) -> Circuit:
    """Run the reference prompts, draw the random circuits and rank the features of the scope."""
    spec = bench.hypothesis.circuit[name]
    scope: dict[str, range] = {}
    problems: dict[str, str] = {}
    for prompt in spec.prompts:
        found = _scope(bench, spec, prompt)
        if isinstance(found, str):
            problems[prompt] = found
        else:
            scope[prompt] = found
    if not scope:
        return Circuit(name, spec, scope, problems, None)
    layers = layers_of(bench, spec)
    reference = _reference(bench, spec, scope.values(), layers)
    found, n_outside = members_of(bench, spec.supernodes, scope, layers)
    members = [member for each in found for member in each]
    seen = _Seen(bench, spec, reference, scope)
    groups = grouped(found, spec.groups)
    random, fillers, notes = _drawn(bench, name, members, groups, seen, reference)
    return Circuit(
        name,
        spec,
        scope,
        problems,
        reference,
        members,
        n_outside,
        groups,
        random,
        fillers,
        seen.ranking,
        seen.ranked_on,
        (*notes, *_no_curve(spec, seen)),
    )


def _no_curve(spec: CircuitSpec, seen: _Seen) -> tuple[str, ...]:
    if not spec.curve or seen.ranked_on:
        return ()
    return ("no curve: only discovery prompts may rank features, and there is none in the scope",)


def layers_of(bench: Bench, spec: CircuitSpec) -> range:
    """The layers of the scope."""
    first, last = spec.within.layers or (0, bench.basis.n_layers - 1)
    return range(first, last + 1)


def metric_of(bench: Bench, spec: CircuitSpec, prompt: str) -> Metric:
    """Σ coefficient · (logit − mean logit): of a difference the mean cancels."""
    declared = bench.hypothesis.prompts[prompt]
    direction = direction_of(spec.metric, declared, bench.clean[prompt].prompt)

    def read(logits: Tensor) -> Tensor:
        mean = logits.mean(-1)
        return torch.stack([c * (logits[..., token] - mean) for token, c in direction]).sum(0)

    return read


def _scope(bench: Bench, spec: CircuitSpec, prompt: str) -> range | str:
    """The positions that are ablated on a prompt, or why there are none.

    Tokens that a prompt begins with in common with every reference prompt are left out: what stands
    there is the mean already.
    """
    tokenized = bench.clean[prompt].prompt
    others = [bench.clean[name].prompt for name in spec.reference]
    unlike = [other for other in others if len(other.ids) != len(tokenized.ids)]
    if unlike:
        return (
            f"the reference prompt {unlike[0].name!r} has {len(unlike[0].ids)} tokens and this one "
            f"{len(tokenized.ids)}, so there is no mean at the same positions"
        )
    first = shared_prefix(tokenized.ids, [other.ids for other in others])
    at = spec.within.at
    start, stop = (0, len(tokenized.ids)) if at is None else tokenized.spans[at]
    if first >= stop:
        where = "it" if at is None else f"its span {at!r}"
        return f"the reference prompts have the same tokens as {where}: nothing would be ablated"
    return range(max(start, first), stop)


def _reference(bench: Bench, spec: CircuitSpec, scope: Iterable[range], layers: range) -> Reference:
    ranges = list(scope)
    positions = range(min(r.start for r in ranges), max(r.stop for r in ranges))
    return mean_of(
        [
            observe(bench.model, bench.basis, bench.clean[name].prompt.ids, layers, positions)
            for name in spec.reference
        ]
    )


class _Seen:
    """One look at every prompt: which features differ from their means, and what that is worth."""

    def __init__(
        self, bench: Bench, spec: CircuitSpec, reference: Reference, scope: dict[str, range]
    ) -> None:
        discovery = [p for p in scope if not bench.hypothesis.prompts[p].held_out]
        self.ranked_on = tuple(discovery) if spec.curve else ()
        self.changed = {
            n: torch.zeros_like(mean, dtype=torch.bool) for n, mean in reference.features.items()
        }
        scores = Scores(reference)
        for prompt, positions in scope.items():
            base = reference.between(positions.start, positions.stop)
            ids = bench.clean[prompt].prompt.ids
            own = observe(bench.model, bench.basis, ids, range_of(base), positions)
            changes = {n: own.features[n] - mean for n, mean in base.features.items()}
            rows = slice(positions.start - reference.start, positions.stop - reference.start)
            for layer, change in changes.items():
                self.changed[layer][rows] |= change != 0
            if prompt in self.ranked_on:
                candidates = _candidates(bench, changes)
                read = metric_of(bench, spec, prompt)
                gradients = gradients_of(
                    read, bench.model, bench.basis, bench.clean[prompt], positions, "gradient",
                    candidates,
                )  # fmt: skip
                scores.add(positions.start, changes, gradients, candidates)
        self.ranking = scores.ranking() if self.ranked_on else None


def range_of(base: Reference) -> range:
    """The layers of a reference."""
    return range(min(base.outputs), max(base.outputs) + 1)


def _candidates(bench: Bench, changes: dict[int, Tensor]) -> list[Tensor]:
    """By layer, the features that differ from their mean at some position."""
    none = torch.zeros(0, dtype=torch.long)
    return [
        (changes[n] != 0).any(0).nonzero()[:, 0] if n in changes else none
        for n in range(bench.basis.n_layers)
    ]


def _drawn(
    bench: Bench,
    name: str,
    members: list[Member],
    groups: list[tuple[str, list[Member]]],
    seen: _Seen,
    reference: Reference,
) -> tuple[list[list[Member]], list[list[Member]], tuple[str, ...]]:
    """Random circuits and fillers, or a note that says why there are none."""
    n = bench.hypothesis.circuit[name].random if members else 0
    seed = seed_of(f"{bench.hypothesis.seed}/circuit/{name}")
    pool = Pool(seen.changed, reference.start, all_members(bench.supernodes), seed)
    random = [drawn for _ in range(n) if (drawn := pool.draw(members)) is not None]
    if len(random) < n:
        note = "no random circuits: too few other features differ from their means to draw from"
        return [], [], (note,)
    groups_drawn = [groups[pool.pick(len(groups))][1] for _ in range(n if groups else 0)]
    fillers = [drawn for group in groups_drawn if (drawn := pool.draw(group)) is not None]
    return random, fillers, ()
