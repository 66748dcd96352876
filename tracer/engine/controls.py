"""Controls matched to a clamp: random features that are changed by the same rule, as much."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tracer.engine.clamps import Assignment, Clamp, writes, written_by_sets
from tracer.engine.clean import CleanRun
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.places import PlaceValues, groups_of


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

    Returns:
        None where a layer has too few features with a change to draw from.
    """
    if n == 0 or not len(real.values):
        return []
    sizes = {key: float(w.norm()) for key, w in writes(basis, prompt, real.values).items()}
    generator = torch.Generator().manual_seed(seed_of(seed))
    where: list[Int[np.ndarray, "control _ 3"]] = []
    values: list[Float[np.ndarray, "control _"]] = []
    for layer, pos, rows in groups_of(real.values.where):
        clean = prompt.activation(layer, pos).float()
        roles = list(zip(real.clamp[rows].tolist(), real.member[rows].tolist(), strict=True))
        changes, role = _natural_changes(clamps, roles, clean)
        pool = _pool(changes, excluded.get(layer, frozenset()))
        if len(pool) < len(rows):
            return None
        drawn = torch.stack(
            [pool[torch.randperm(len(pool), generator=generator)[: len(rows)]] for _ in range(n)]
        )
        change = changes[role, drawn]
        if matched == "write":
            norm = written_by_sets(basis, layer, drawn, change).norm(dim=-1)
            change = change * (sizes[layer, pos] / norm)[:, None]
        chosen = drawn.cpu().numpy()
        places = np.broadcast_to([layer, pos, 0], (*chosen.shape, 3)).copy()
        places[..., 2] = chosen
        where.append(places)
        values.append((clean[drawn] + change).double().cpu().numpy())
    columns = zip(np.concatenate(where, 1), np.concatenate(values, 1), strict=True)
    return [PlaceValues(*each) for each in columns]


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
    return torch.stack(list(kinds.values())), torch.tensor(role, device=clean.device)


def seed_of(text: str) -> int:
    """A generator's seed from a sentence that names what is drawn."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


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
