"""From a declared intervention to feature values on one prompt, and what they write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.clean import CleanRun
from tracer.engine.features.basis import FeatureBasis, Groups
from tracer.engine.features.places import (
    HEADS,
    Place,
    PlaceValues,
    as_places,
    groups_of,
    keys_of,
    n_members,
)
from tracer.engine.members import Placed, places_of, position_of, table_of
from tracer.engine.transfer import moved, on_cpu
from tracer.hypothesis.clamps import HERE, Amount, InterventionSpec, long_form, taken_from
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.record.record import HeadRef, SupernodeRecord
from tracer.record.trials import ClampRecord


@dataclass(frozen=True)
class Clamp:
    """One declared clamp, with its supernode resolved and its sources known."""

    supernode: SupernodeRecord
    amount: Amount
    at: str
    sources: tuple[CleanRun, ...]
    sources_at: str
    """Span of the source prompts the activations are read at."""
    onward: bool = False
    """Whether every feature stays set from its position on."""
    _means: dict[tuple[int, int, int | None], Tensor | None] = field(
        default_factory=dict[tuple[int, int, "int | None"], "Tensor | None"], repr=False
    )
    """Mean activations of a layer over the sources, by layer, offset and position: of thousands of
    members most share one."""

    def places(self, prompt: TokenizedPrompt) -> Placed:
        """Every feature that has a place on a prompt.

        A clamp that goes on has each place from a member's own to the prompt's end; where two
        members are the same feature, the nearer one on the left decides.
        """
        own = places_of(self.supernode, prompt, self.at)
        if not self.onward:
            return own
        spread: dict[Place, int] = {}
        for n in np.argsort(own.where[:, 1], kind="stable").tolist():
            layer, start, index = own.where[n].tolist()
            for pos in range(start, len(prompt.ids)):
                spread[layer, pos, index] = int(own.member[n])
        return Placed(np.array(list(spread.values()), np.int64), as_places(spread))

    def maximum(self, member: int) -> float:
        """A member's greatest activation over a dataset, as the file gives it."""
        maximum = self.supernode.features[member].maximum
        assert maximum is not None, "an amount in maxima was let through without them"
        return maximum

    def source_key(self, member: int) -> tuple[int, int, int | None]:
        """Members with the same one have their source activations in the same place."""
        ref = self.supernode.members[member]
        layer = HEADS + ref.layer if isinstance(ref, HeadRef) else ref.layer
        return layer, ref.offset, ref.position

    def source_activations(self, member: int) -> Float[Tensor, " feature"] | None:
        """Mean activation over the sources of a member's whole layer, at the member's place.

        None where every source's span is too short to have the place.
        """
        ref, key = self.supernode.members[member], self.source_key(member)
        if key not in self._means:
            found: list[Tensor] = []
            for run in self.sources:
                pos = position_of(ref, run.prompt, self.sources_at, self.supernode.anchor)
                if pos is not None:
                    found.append(run.activation(key[0], pos))
            self._means[key] = torch.stack(found).mean(0) if found else None
        return self._means[key]

    def source_means(
        self, members: Int[np.ndarray, " n"]
    ) -> Iterator[tuple[Int[np.ndarray, " _"], Float[Tensor, " feature"]]]:
        """Rows of `members` and `source_activations` of all of them, for those that have any."""
        table = table_of(self.supernode)
        keys = np.stack([table.layer, table.offset, table.position], axis=1)[members]
        _, group = np.unique(keys, axis=0, return_inverse=True)
        for number in range(int(group.max(initial=-1)) + 1):
            together = np.flatnonzero(group == number)
            means = self.source_activations(int(members[together[0]]))
            if means is not None:
                yield together, means


class Ranges:
    """The least and the greatest activation of every feature on some unclamped passes.

    Of a head it is the length of its activation, ‖z‖.
    """

    def __init__(self, runs: Iterable[CleanRun]) -> None:
        self._runs = list(runs)
        self._found: dict[int, tuple[Tensor, Tensor]] = {}

    def n_outside(self, values: PlaceValues, d_heads: Mapping[int, int]) -> int:
        """How many features are set to less, or to more, than they are anywhere.

        Heads, of which most coordinates leave their range in any change, where z is longer.
        """
        total = 0
        for layer in np.unique(values.where[:, 0]).tolist():
            mine = values.only(values.where[:, 0] == layer)
            d_head = d_heads.get(layer)
            total += self._n_longer(layer, mine, d_head) if d_head else self._n_outside(layer, mine)
        return total

    def _n_longer(self, layer: int, values: PlaceValues, d_head: int) -> int:
        if layer not in self._found:
            seen = torch.cat([run.activations[layer] for run in self._runs])
            lengths = seen.unflatten(1, (-1, d_head)).float().norm(dim=2)
            self._found[layer] = (lengths.amin(0), lengths.amax(0))
        order = np.argsort(keys_of(values.where), kind="stable")
        z = values.value[order].reshape(-1, d_head)
        head = torch.from_numpy(values.where[order[::d_head], 2] // d_head)
        longest = self._found[layer][1][head].double().numpy()
        return int((np.linalg.norm(z, axis=1) > longest * (1 + 1e-4)).sum())

    def _n_outside(self, layer: int, values: PlaceValues) -> int:
        if layer not in self._found:
            seen = torch.cat([run.activations[layer] for run in self._runs])
            self._found[layer] = (seen.amin(0), seen.amax(0))
        index = torch.from_numpy(values.where[:, 2])
        low, high = (bound[index].double().numpy() for bound in self._found[layer])
        slack = 1e-4 * np.maximum(abs(low), abs(high))
        return int(((values.value < low - slack) | (values.value > high + slack)).sum())


class Assignment(NamedTuple):
    """What clamps set, and which of them decided each place."""

    values: PlaceValues
    clamp: Int[np.ndarray, " n"]
    member: Int[np.ndarray, " n"]


def resolve_clamps(
    spec: InterventionSpec,
    supernodes: Mapping[str, SupernodeRecord],
    clean: Mapping[str, CleanRun],
    prompt: str,
) -> list[Clamp]:
    """The clamps of an intervention as they apply to one prompt."""
    clamps: list[Clamp] = []
    for name, given in spec.clamp.items():
        declared = long_form(given)
        supernode, amount = supernodes[name], declared.amount
        at = declared.at or supernode.at
        runs = tuple(clean[source] for source in taken_from(declared, supernode.source, prompt))
        sources_at = at if set(declared.from_ or ()) == {HERE} else supernode.at
        clamps.append(Clamp(supernode, amount, at, runs, sources_at, declared.onward))
    return clamps


class GoingOn(NamedTuple):
    """What clamps that go on do at every position after a prompt, by (layer, feature)."""

    values: dict[tuple[int, int], float]
    """Set."""
    added: dict[tuple[int, int], float]
    """Added to what the feature is by then."""


def going_on(clamps: Sequence[Clamp], prompt: CleanRun) -> GoingOn:
    """The features that are still clamped at a prompt's last position, and go on being so."""
    onward = [clamp for clamp in clamps if clamp.onward]
    set_ = assign(onward, prompt)
    found = GoingOn({}, {})
    at_end = np.flatnonzero(set_.values.where[:, 1] == len(prompt.ids) - 1)
    for n in at_end.tolist():
        layer, _, index = set_.values.where[n].tolist()
        clamp = onward[set_.clamp[n]]
        if clamp.amount.unit == "add":
            found.added[layer, index] = clamp.amount.value * clamp.maximum(int(set_.member[n]))
        else:
            found.values[layer, index] = float(set_.values.value[n])
    return found


def assign(clamps: Sequence[Clamp], prompt: CleanRun) -> Assignment:
    """The value of every clamped feature; a later clamp takes over what an earlier one set."""
    nothing = np.zeros(0, np.int64)
    where, values = [nothing.reshape(0, 3)], [np.zeros(0)]
    clamp, member = [nothing], [nothing]
    for number, each in enumerate(clamps):
        placed = each.places(prompt.prompt)
        value = _values(each, placed, prompt)
        there = ~np.isnan(value)
        where.append(placed.where[there])
        values.append(value[there])
        member.append(placed.member[there])
        clamp.append(np.full(int(there.sum()), number))
    rows = np.concatenate(where)
    _, first, entry = np.unique(keys_of(rows), return_index=True, return_inverse=True)
    last = np.zeros(len(first), np.int64)
    np.maximum.at(last, entry, np.arange(len(rows)))
    decides = last[np.argsort(first)]
    return Assignment(
        PlaceValues(rows[decides], np.concatenate(values)[decides]),
        np.concatenate(clamp)[decides],
        np.concatenate(member)[decides],
    )


def _values(clamp: Clamp, placed: Placed, prompt: CleanRun) -> Float[np.ndarray, " n"]:
    """What members are set to; NaN where no source has the place its activation is read at."""
    amount, n = clamp.amount, len(placed.member)
    if amount.unit == "to":
        return np.full(n, float(amount.value))
    if amount.unit == "add":
        maxima = np.array([clamp.maximum(member) for member in placed.member.tolist()])
        return prompt.at(placed.where).double().numpy() + amount.value * maxima
    if amount.value == 0:
        return np.zeros(n)
    found = np.full(n, np.nan)
    for members, means in clamp.source_means(placed.member):
        index = torch.from_numpy(placed.where[members, 2])
        found[members] = amount.value * means[index].double().numpy()
    return found


def clamp_records(
    clamps: Sequence[Clamp],
    assignment: Assignment,
    prompt: CleanRun,
    basis: FeatureBasis,
    ranges: Ranges | None = None,
) -> tuple[ClampRecord, ...]:
    """What each clamp did: places, overlaps, the size of its write, and what is unnatural of it."""
    records: list[ClampRecord] = []
    for number, clamp in enumerate(clamps):
        wanted = clamp.places(prompt.prompt).where
        n_wanted = n_members(wanted, basis.d_heads)
        mine = assignment.values.only(assignment.clamp == number)
        written = writes(basis, prompt, mine)
        norms = [float(norm) ** 2 for norm in on_cpu([w.norm() for w in written.values()])]
        outputs = [
            float(prompt.output_norms[layer][prompt.positions.index(pos)]) ** 2
            for layer, pos in written
            if prompt.output_norms
        ]
        records.append(
            ClampRecord(
                supernode=clamp.supernode.name,
                **{clamp.amount.unit: clamp.amount.value},
                source=tuple(run.prompt.name for run in clamp.sources),
                positions=tuple(np.unique(wanted[:, 1]).tolist()),
                n_features=n_wanted,
                n_overridden=n_wanted - n_members(mine.where, basis.d_heads),
                write_norm=sum(norms) ** 0.5,
                output_norm=sum(outputs) ** 0.5 if outputs else None,
                n_out_of_range=ranges.n_outside(mine, basis.d_heads) if ranges else 0,
            )
        )
    return tuple(records)


def writes(
    basis: FeatureBasis, prompt: CleanRun, values: PlaceValues
) -> dict[tuple[int, int], Float[Tensor, " d_written"]]:
    """Summed write of setting features to values, by (layer, position): Σ (value − clean)·W_dec.

    The writes of a cross-layer feature to its several sites are joined end to end.
    """
    places = groups_of(values.where)
    sets: list[ChangedSets] = []
    for layer, pos, rows in places:
        index = torch.from_numpy(values.where[rows, 2])
        target = torch.from_numpy(values.value[rows]).float()
        change = target - prompt.activation(layer, pos)[index].float()
        sets.append(ChangedSets(layer, index[None], change[None]))
    found = written_by_sets(basis, sets, prompt.logits.device)
    return {(layer, pos): each[0] for (layer, pos, _), each in zip(places, found, strict=True)}


class ChangedSets(NamedTuple):
    """Sets of features of one layer, and by how much each is changed; on the CPU."""

    layer: int
    features: Int[Tensor, "set n"]
    change: Float[Tensor, "set n"]


def written_by_sets(
    basis: FeatureBasis, many: Sequence[ChangedSets], device: torch.device
) -> Iterator[Float[Tensor, "set d_written"]]:
    """What each set of changed features writes, over all layers that it writes to; on a device."""
    sent = list[Tensor]()
    for _, index, change in many:
        n_sets, n = index.shape
        group = np.arange(n_sets).repeat(n)
        sent += [*Groups.of(index.flatten().numpy(), group, n_sets), change.flatten()]
    there = moved(sent, device)
    for number, (layer, _, _) in enumerate(many):
        *groups, amounts = there[5 * number : 5 * number + 5]
        to = basis.write_layers(layer)
        parts = [basis.written(layer, Groups(*groups), amounts, each).float() for each in to]
        yield torch.cat(parts, dim=-1)
