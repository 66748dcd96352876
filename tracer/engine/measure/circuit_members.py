"""A circuit's features on each prompt, random circuits like it, and the ranking of features.

A member's *slot* is its layer and its place relative to the prompt. Random circuits have as many
features in every slot, drawn from those of the layer that belong to no supernode and differ from
their reference mean there on at least one prompt. They are the same on all prompts.

For the curve, the features of the scope are ranked by how much keeping each is expected to bring
back. The score of a feature at a token position is the mean over discovery prompts of

    (activation − reference mean) · d metric / d activation,

attribution patching toward the clean run (node level, signed; Nanda 2023). Held-out prompts have no
part in it. The circuit of share k holds the first k of the items, as in MIB (Mueller et al. 2025).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tracer.engine.ablation import Reference
from tracer.engine.features.places import Place
from tracer.engine.members import position_of
from tracer.engine.resolve import MeasurementContext
from tracer.engine.transfer import on_cpu
from tracer.hypothesis.studies.circuit import SHARES
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
    context: MeasurementContext,
    supernodes: Sequence[str],
    scope: Mapping[str, range],
    layers: range,
) -> tuple[list[list[Member]], int]:
    """Each supernode's members within the scope, none twice, and how many lie outside of it.

    `scope` holds the positions that are ablated, by prompt.
    """
    found: list[list[Member]] = []
    seen: set[tuple[Slot, int]] = set()
    n_outside = 0
    for name in supernodes:
        mine: list[Member] = []
        for member in _members(context, context.supernodes[name], scope, layers):
            n_outside += not member.positions
            if member.positions and (member.slot, member.index) not in seen:
                seen.add((member.slot, member.index))
                mine.append(member)
        found.append(mine)
    return found, n_outside


def _members(
    context: MeasurementContext,
    supernode: SupernodeRecord,
    scope: Mapping[str, range],
    layers: range,
) -> Iterator[Member]:
    for ref in supernode.features:
        positions: dict[str, int] = {}
        for prompt, allowed in scope.items() if ref.layer in layers else ():
            pos = position_of(ref, context.clean[prompt].prompt, supernode.at, supernode.anchor)
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
    for members in filter(None, found):  # a supernode may have none in scope
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
        return usable.nonzero()[:, 0]


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
        here = on_cpu(gradients)
        for layer, change in changes.items():
            rows = slice(start - self._start, start - self._start + len(change))
            index = candidates[layer]
            found = change[:, index] * here[layer].to(change)
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
