"""Controls matched to a clamp: random features and heads, changed by the same rule, as much."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tracer.engine.clamps import Assignment, ChangedSets, Clamp, writes, written_by_sets
from tracer.engine.clean import CleanRun
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.places import PlaceValues, groups_of
from tracer.engine.other_sets import other_sets, seed_of, standing_for
from tracer.engine.transfer import by_key_on_cpu, on_cpu


def draw_controls(
    clamps: Sequence[Clamp],
    real: Assignment,
    prompt: CleanRun,
    basis: FeatureBasis,
    excluded: Mapping[int, frozenset[int]],
    n: int,
    seed: str,
    matched: Literal["write", "range"] = "write",
) -> list[PlaceValues] | None:
    """Random feature sets matched to a clamped one (`real`: what the clamps set), as values to set.

    Each control has the same number of features at every (layer, position), none of them in
    `excluded` (by layer). A drawn feature is clamped by the rule of the feature it stands for: the
    same factor times its own activation on the same sources, the same value, or, since its own
    maximum is not known, the same amount added; by value or amount, an active feature stands for an
    active one. Then its change is scaled so that the summed write at each (layer, position) has the
    norm of the real one; matched by `range` it is left as it is. Prompts whose clamps sit alike
    draw the same features under the same seed.

    A head is drawn whole, and stands for the same head at every position. A layer has few, so a
    control may share some with the real set (see `other_sets`). Where nothing but heads is
    clamped, no set of them comes twice: of few heads all other sets may be fewer than `n`.

    Returns:
        None where a layer has too few features, or heads, with a change to draw from.
    """
    if n == 0 or not len(real.values):
        return []
    device = prompt.logits.device
    written = writes(basis, prompt, real.values)
    of_real = by_key_on_cpu({place: each.norm() for place, each in written.items()})
    sizes = {place: float(norm) for place, norm in of_real.items()}
    generator = torch.Generator().manual_seed(seed_of(seed))
    groups = [
        _Group.of(clamps, real, prompt, layer, pos, rows, basis.d_heads.get(layer, 1))
        for layer, pos, rows in groups_of(real.values.where)
    ]
    heads = [group for group in groups if group.width > 1]
    sets = _head_sets(heads, excluded, n, seed)
    if len(heads) == len(groups):
        n = len(sets)
    if heads and not sets:
        return None
    draws: list[_Draw] = []
    for group in groups:
        if group.width > 1:
            drawn = torch.stack([group.coordinates(sets[k % len(sets)]) for k in range(n)])
        else:
            pool = _pool(group.changes, excluded.get(group.layer, frozenset()))
            k = len(group.role)
            if len(pool) < k:
                return None
            drawn = torch.stack(
                [pool[torch.randperm(len(pool), generator=generator)[:k]] for _ in range(n)]
            )
        draws.append(_Draw(group, drawn, group.changes[group.role, drawn]))
    if matched == "write":
        draws = _as_large(draws, sizes, basis, device)
    where, value = zip(*map(_places, draws), strict=True)
    columns = zip(np.concatenate(where, 1), np.concatenate(value, 1), strict=True)
    return [PlaceValues(*each) for each in columns]


class _Draw(NamedTuple):
    """What stands for the members of a group, control by control."""

    group: _Group
    drawn: Int[Tensor, "control role"]
    change: Float[Tensor, "control role"]

    @property
    def own(self) -> Int[Tensor, "control role"]:
        """The coordinates of the group's own heads."""
        return self.group.of_heads(self.group.heads).expand_as(self.drawn)

    def compared(self) -> tuple[ChangedSets, ...]:
        """What is to write as much as the real one; of heads, the real one of these, too.

        A head that is shared with the real set changes as it does there, and is left out.
        """
        group, is_other = self.group, self.drawn != self.own if self.group.heads else None
        if is_other is None:
            return (ChangedSets(group.layer, self.drawn, self.change),)
        pairs = ((self.own, group.changes[group.role, self.own]), (self.drawn, self.change))
        return tuple(
            ChangedSets(group.layer, index, torch.where(is_other, each, 0)) for index, each in pairs
        )


def _as_large(
    draws: Sequence[_Draw],
    sizes: Mapping[tuple[int, int], float],
    basis: FeatureBasis,
    device: torch.device,
) -> list[_Draw]:
    """Changes scaled together to the norm that those they stand for write."""
    compared = [each.compared() for each in draws]
    written = written_by_sets(basis, [one for each in compared for one in each], device)
    norms, found = iter(on_cpu([each.norm(dim=-1) for each in written])), list[_Draw]()
    for draw in draws:
        group, change = draw.group, draw.change
        if group.heads:
            scale = (next(norms) / next(norms))[:, None]
            change = torch.where(draw.drawn != draw.own, change * scale, change)
        else:
            change = change * (sizes[group.layer, group.pos] / next(norms))[:, None]
        found.append(draw._replace(change=change))
    return found


def _places(
    draw: _Draw,
) -> tuple[Int[np.ndarray, "control role 3"], Float[np.ndarray, "control role"]]:
    """Where a draw sets features, and to what."""
    group, chosen = draw.group, draw.drawn.numpy()
    places = np.broadcast_to([group.layer, group.pos, 0], (*chosen.shape, 3)).copy()
    places[..., 2] = chosen
    return places, (group.clean[draw.drawn] + draw.change).double().numpy()


class _Group(NamedTuple):
    """What is clamped at one layer and position: features, or whole heads."""

    layer: int
    pos: int
    clean: Float[Tensor, " feature"]
    """Activations of the whole layer there."""
    changes: Float[Tensor, "kind feature"]
    """What every one of them would change by, were it clamped as a member is."""
    role: Int[Tensor, " role"]
    """By clamped scalar, the row of `changes` that is its own."""
    width: int
    """Scalars of a member."""
    heads: tuple[int, ...]
    """Where they are heads: which."""

    @classmethod
    def of(
        cls,
        clamps: Sequence[Clamp],
        real: Assignment,
        prompt: CleanRun,
        layer: int,
        pos: int,
        rows: Int[np.ndarray, " n"],
        width: int,
    ) -> _Group:
        """The rows of the assignment that are there."""
        if width > 1:  # coordinates of a head in a row, whatever order clamps took them in
            rows = rows[np.argsort(real.values.where[rows, 2], kind="stable")]
        clean = prompt.activation(layer, pos).float()
        roles = list(zip(real.clamp[rows].tolist(), real.member[rows].tolist(), strict=True))
        changes, role = _natural_changes(clamps, roles, clean)
        index = real.values.where[rows[::width], 2] // width
        heads = tuple(index.tolist()) if width > 1 else ()
        return cls(layer, pos, clean, changes, role, width, heads)

    def usable(self) -> frozenset[int]:
        """Heads that would change under every role."""
        changed = (self.changes.unflatten(1, (-1, self.width)) != 0).any(2).all(0)
        return frozenset(changed.nonzero()[:, 0].tolist())

    def coordinates(self, drawn: _HeadSet) -> Int[Tensor, " role"]:
        """Of the heads that stand for these, one after the other."""
        return self.of_heads(standing_for(self.heads, drawn[self.layer, self.heads]))

    def of_heads(self, heads: Sequence[int]) -> Int[Tensor, " role"]:
        """The coordinates of some heads, one after the other."""
        within = torch.arange(self.width)
        return (torch.tensor(heads)[:, None] * self.width + within).flatten()


_HeadSet = Mapping[tuple[int, tuple[int, ...]], tuple[int, ...]]
"""Other heads, by layer and the heads that they stand for."""


def _head_sets(
    groups: Sequence[_Group],
    excluded: Mapping[int, frozenset[int]],
    n: int,
    seed: str,
) -> list[_HeadSet]:
    """At most `n` different sets of other heads; all there are where these are fewer."""
    pools: dict[tuple[int, tuple[int, ...]], frozenset[int]] = {}
    for group in groups:
        key = group.layer, group.heads
        usable = group.usable() - (excluded.get(group.layer, frozenset()) - set(group.heads))
        pools[key] = pools.get(key, usable) & usable
    keys = list(pools)
    if not keys:
        return []
    own = [key[1] for key in keys]
    found = other_sets([sorted(pools[key]) for key in keys], own, n, seed)
    return [dict(zip(keys, each, strict=True)) for each in found]


def _natural_changes(
    clamps: Sequence[Clamp], roles: Sequence[tuple[int, int]], clean: Float[Tensor, " feature"]
) -> tuple[Float[Tensor, "kind feature"], Int[Tensor, " role"]]:
    """`natural_change` of each role, a (clamp, member), once for those that have the same."""
    kinds: dict[Hashable, Tensor] = {}
    numbers: dict[Hashable, int] = {}
    role: list[int] = []
    for number, member in roles:
        clamp = clamps[number]
        is_alike = clamp.amount.unit == "times"
        kind = (number, clamp.source_key(member) if is_alike else member)
        if kind not in kinds:
            numbers[kind] = len(kinds)
            kinds[kind] = natural_change(clamp, member, clean)
        role.append(numbers[kind])
    return torch.stack(list(kinds.values())), torch.tensor(role)


def natural_change(
    clamp: Clamp, member: int, clean: Float[Tensor, " feature"]
) -> Float[Tensor, " feature"]:
    """Change of every feature of the layer, were it clamped as this member is.

    0 for one that cannot stand for it: an inactive one for an active one, by value or amount.
    """
    amount = clamp.amount
    if amount.unit == "times":
        if amount.value == 0:
            return -clean
        own = clamp.source_activations(member)
        assert own is not None
        return amount.value * own.float() - clean
    if amount.unit == "to":
        change = amount.value - clean
    else:
        change = torch.full_like(clean, amount.value * clamp.maximum(member))
    is_active = bool(clean[clamp.supernode.features[member].index] != 0)
    return torch.where(clean == 0, 0.0, change) if is_active else change


def _pool(
    changes: Float[Tensor, "role feature"], excluded: frozenset[int]
) -> Int[Tensor, " candidate"]:
    """Features that would change under every role and belong to no supernode."""
    usable: Bool[Tensor, " feature"] = (changes != 0).all(0)
    usable[list(excluded)] = False
    return usable.nonzero()[:, 0]
