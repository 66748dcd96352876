"""What the prompts of a circuit share: scope, reference means, random circuits and the ranking.

Which features a circuit consists of on each prompt, and the random circuits matched to it.

A member's *slot* is its layer and its place relative to the prompt. Random circuits have as many
features in every slot, drawn from those of the layer that belong to no supernode and differ from
their reference mean there on at least one prompt. They are the same on all prompts.

Features of a scope by how much keeping them is expected to bring back: the curve's order.

The score of a feature at a token position is the mean over discovery prompts of

    (activation − reference mean) · d metric / d activation,

attribution patching toward the clean run (node level, signed; Nanda 2023). Held-out prompts have no
part in it. The circuit of share k holds the first k of the items, as in MIB (Mueller et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tracer.engine.ablation import Reference, mean_of, observe
from tracer.engine.attribution.patching import gradients_of
from tracer.engine.clamps import seed_of
from tracer.engine.explained import direction_of
from tracer.engine.features.basis import Place
from tracer.engine.measure.prompts import MeasurementContext, all_members
from tracer.engine.supernodes import place
from tracer.hypothesis.studies.circuit import SHARES, CircuitSpec
from tracer.hypothesis.tokens import shared_prefix
from tracer.record.record import SupernodeRecord

Slot = tuple[int, str, str, int, int | None]
"""(layer, span, anchor, offset, absolute position)."""


@dataclass(frozen=True)
class Member:
    """One feature, and where it is on each prompt of the circuit that has a place for it."""

    name: str
    slot: Slot
    index: int
    positions: Mapping[str, int]

    def place(self, prompt: str) -> Place | None:
        """Layer, position and index on a prompt."""
        pos = self.positions.get(prompt)
        return None if pos is None else (self.slot[0], pos, self.index)


def members_of(
    bench: MeasurementContext, supernodes: Sequence[str], scope: Mapping[str, range], layers: range
) -> tuple[list[list[Member]], int]:
    """Each supernode's members within the scope, none twice, and how many lie outside of it.

    `scope` holds the positions that are ablated, by prompt.
    """
    found: list[list[Member]] = []
    seen: set[tuple[Slot, int]] = set()
    n_outside = 0
    for name in supernodes:
        mine: list[Member] = []
        for member in _members(bench, bench.supernodes[name], scope, layers):
            n_outside += not member.positions
            if member.positions and (member.slot, member.index) not in seen:
                seen.add((member.slot, member.index))
                mine.append(member)
        found.append(mine)
    return found, n_outside


def _members(
    bench: MeasurementContext, supernode: SupernodeRecord, scope: Mapping[str, range], layers: range
) -> Iterator[Member]:
    for ref in supernode.features:
        positions: dict[str, int] = {}
        for prompt, allowed in scope.items() if ref.layer in layers else ():
            pos = place(ref, bench.clean[prompt].prompt, supernode.at, supernode.anchor)
            if pos is not None and pos in allowed:
                positions[prompt] = pos
        slot = (ref.layer, supernode.at, supernode.anchor, ref.offset, ref.position)
        yield Member(f"{supernode.name} {ref.layer}_{ref.index}", slot, ref.index, positions)


def grouped(found: Sequence[Sequence[Member]], n: int) -> list[tuple[str, list[Member]]]:
    """Members one at a time, or in about n groups of their supernode's order where they are more.

    A supernode's members are ordered by their scores, so a group holds neighbours in rank.
    """
    total = sum(map(len, found))
    if n == 0:
        return []
    if total <= n:
        return [(member.name, [member]) for members in found for member in members]
    groups: list[tuple[str, list[Member]]] = []
    for members in found:
        parts = min(len(members), max(1, round(n * len(members) / total)))
        bounds = [round(i * len(members) / parts) for i in range(parts + 1)]
        for start, stop in zip(bounds, bounds[1:], strict=False):
            name = members[start].name.rsplit(" ", 1)[0]
            groups.append((f"{name} {start + 1}–{stop}", list(members[start:stop])))
    return groups


class Pool:
    """What random circuits are drawn from."""

    def __init__(
        self,
        changed: Mapping[int, Bool[Tensor, "pos feature"]],
        start: int,
        excluded: Mapping[int, frozenset[int]],
        seed: int,
    ) -> None:
        """`changed` says by layer, from position `start` on, what differs from its mean."""
        self._changed, self._start, self._excluded = changed, start, excluded
        self._generator = torch.Generator().manual_seed(seed)

    def draw(self, members: Sequence[Member]) -> list[Member] | None:
        """As many other features in every slot; None where a slot has too few."""
        slots: dict[Slot, list[Member]] = {}
        for member in members:
            slots.setdefault(member.slot, []).append(member)
        drawn: list[Member] = []
        for slot, mine in slots.items():
            candidates = self._candidates(slot, mine)
            if len(candidates) < len(mine):
                return None
            order = torch.randperm(len(candidates), generator=self._generator)[: len(mine)]
            for member, index in zip(mine, candidates[order].tolist(), strict=True):
                drawn.append(Member("random", slot, index, member.positions))
        return drawn

    def pick(self, n: int) -> int:
        """A number below n."""
        return int(torch.randint(n, (1,), generator=self._generator))

    def _candidates(self, slot: Slot, members: Sequence[Member]) -> Int[Tensor, " candidate"]:
        positions = sorted({pos - self._start for m in members for pos in m.positions.values()})
        usable = self._changed[slot[0]][positions].any(0)
        usable[list(self._excluded.get(slot[0], frozenset()))] = False
        return usable.nonzero()[:, 0].cpu()


@dataclass(frozen=True)
class Ranking:
    """Items of a scope, best first."""

    places: Int[Tensor, "item 3"]
    """Layer, position and index."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many items the circuit of each share of `SHARES` has."""
        return tuple(max(1, round(share * len(self.places))) for share in SHARES)

    def first(self, n: int, base: Reference) -> dict[int, Int[Tensor, "_ 2"]]:
        """The n best, where a prompt's base reaches, by layer."""
        best = self.places[:n]
        best = best[(best[:, 1] >= base.start) & (best[:, 1] < base.stop)]
        return {
            layer: best[best[:, 0] == layer, 1:]
            for layer in base.outputs
            if bool((best[:, 0] == layer).any())
        }


class RankingScores:
    """Adds up over prompts what each feature would bring back."""

    def __init__(self, reference: Reference) -> None:
        """Nothing yet, of the features of a reference."""
        self._start = reference.start
        self._sums = {n: torch.zeros_like(mean) for n, mean in reference.features.items()}
        self._changed = {
            n: torch.zeros_like(mean, dtype=torch.bool) for n, mean in reference.features.items()
        }

    def add(
        self,
        start: int,
        changes: dict[int, Float[Tensor, "pos feature"]],
        gradients: Sequence[Float[Tensor, "pos _"]],
        candidates: Sequence[Int[Tensor, " _"]],
    ) -> None:
        """One prompt, from position `start` on."""
        for layer, change in changes.items():
            rows = slice(start - self._start, start - self._start + len(change))
            index = candidates[layer]
            found = change[:, index] * gradients[layer].to(change)
            self._sums[layer][rows, index] += found
            self._changed[layer][rows] |= change != 0

    def ranking(self) -> Ranking:
        """Every feature that differed from its mean somewhere; ties by layer and position."""
        places, values = list[Tensor](), list[Tensor]()
        for layer, changed in self._changed.items():
            found = changed.nonzero()
            values.append(self._sums[layer][found[:, 0], found[:, 1]])
            layers = torch.full_like(found[:, :1], layer)
            places.append(torch.cat([layers, found[:, :1] + self._start, found[:, 1:]], dim=1))
        order = torch.sort(torch.cat(values), descending=True, stable=True).indices
        return Ranking(torch.cat(places)[order])


Metric = Callable[[Float[Tensor, "*row vocab"]], Float[Tensor, "*row"]]
"""Reads F off last logits."""


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
    groups: list[tuple[str, list[Member]]] = field(default_factory=list[tuple[str, list[Member]]])
    random: list[list[Member]] = field(default_factory=list[list[Member]])
    fillers: list[list[Member]] = field(default_factory=list[list[Member]])
    ranking: Ranking | None = None
    ranked_on: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def set_up(bench: MeasurementContext, name: str) -> PreparedCircuit:
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
        return PreparedCircuit(name, spec, scope, problems, None)
    layers = layers_of(bench, spec)
    reference = _reference(bench, spec, scope.values(), layers)
    found, n_outside = members_of(bench, spec.supernodes, scope, layers)
    members = [member for each in found for member in each]
    seen = _Seen(bench, spec, reference, scope)
    groups = grouped(found, spec.groups)
    random, fillers, notes = _drawn(bench, name, members, groups, seen, reference)
    return PreparedCircuit(
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


def layers_of(bench: MeasurementContext, spec: CircuitSpec) -> range:
    """The layers of the scope."""
    first, last = spec.within.layers or (0, bench.basis.n_layers - 1)
    return range(first, last + 1)


def metric_of(bench: MeasurementContext, spec: CircuitSpec, prompt: str) -> Metric:
    """Σ coefficient · (logit − mean logit): of a difference the mean cancels."""
    declared = bench.hypothesis.prompts[prompt]
    direction = direction_of(spec.metric, declared, bench.clean[prompt].prompt)

    def read(logits: Tensor) -> Tensor:
        mean = logits.mean(-1)
        return torch.stack([c * (logits[..., token] - mean) for token, c in direction]).sum(0)

    return read


def _scope(bench: MeasurementContext, spec: CircuitSpec, prompt: str) -> range | str:
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


def _reference(
    bench: MeasurementContext, spec: CircuitSpec, scope: Iterable[range], layers: range
) -> Reference:
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
        self,
        bench: MeasurementContext,
        spec: CircuitSpec,
        reference: Reference,
        scope: dict[str, range],
    ) -> None:
        discovery = [p for p in scope if not bench.hypothesis.prompts[p].held_out]
        self.ranked_on = tuple(discovery) if spec.curve else ()
        self.changed = {
            n: torch.zeros_like(mean, dtype=torch.bool) for n, mean in reference.features.items()
        }
        scores = RankingScores(reference)
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


def _candidates(bench: MeasurementContext, changes: dict[int, Tensor]) -> list[Tensor]:
    """By layer, the features that differ from their mean at some position."""
    none = torch.zeros(0, dtype=torch.long)
    return [
        (changes[n] != 0).any(0).nonzero()[:, 0] if n in changes else none
        for n in range(bench.basis.n_layers)
    ]


def _drawn(
    bench: MeasurementContext,
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
