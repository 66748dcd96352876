"""From a declared intervention to feature values on one prompt, and the controls matched to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tracer.engine.clean import CleanRun
from tracer.engine.features.basis import FeatureBasis, Place
from tracer.engine.supernodes import places_of, position_of
from tracer.hypothesis.clamps import HERE, Amount, InterventionSpec, long_form
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.record.record import SupernodeRecord
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

    def places(self, prompt: TokenizedPrompt) -> Iterator[tuple[int, Place]]:
        """(member, place) of every feature that has a place on a prompt.

        A clamp that goes on has each place from a member's own to the prompt's end; where two
        members are the same feature, the nearer one on the left decides.
        """
        own = places_of(self.supernode, prompt, self.at)
        if not self.onward:
            yield from own
            return
        spread: dict[Place, int] = {}
        for member, (layer, start, index) in sorted(own, key=lambda found: found[1][1]):
            for pos in range(start, len(prompt.ids)):
                spread[layer, pos, index] = member
        yield from ((member, where) for where, member in spread.items())

    def maximum(self, member: int) -> float:
        """A member's greatest activation over a dataset, as the file gives it."""
        maximum = self.supernode.features[member].maximum
        assert maximum is not None, "an amount in maxima was let through without them"
        return maximum

    def source_activations(self, member: int) -> Float[Tensor, " feature"] | None:
        """Mean activation over the sources of a member's whole layer, at the member's place.

        None where every source's span is too short to have the place.
        """
        ref = self.supernode.features[member]
        key = (ref.layer, ref.offset, ref.position)
        if key not in self._means:
            found: list[Tensor] = []
            for run in self.sources:
                pos = position_of(ref, run.prompt, self.sources_at, self.supernode.anchor)
                if pos is not None:
                    found.append(run.activation(ref.layer, pos))
            self._means[key] = torch.stack(found).mean(0) if found else None
        return self._means[key]


class Ranges:
    """The least and the greatest activation of every feature on some unclamped passes."""

    def __init__(self, runs: Iterable[CleanRun]) -> None:
        self._runs = list(runs)
        self._found: dict[int, tuple[Tensor, Tensor]] = {}

    def n_outside(self, values: Mapping[Place, float]) -> int:
        """How many features are set to less, or to more, than they are anywhere."""
        return sum(self._is_outside(layer, index, v) for (layer, _, index), v in values.items())

    def _is_outside(self, layer: int, index: int, value: float) -> bool:
        if layer not in self._found:
            seen = torch.cat([run.activations[layer] for run in self._runs])
            self._found[layer] = (seen.amin(0), seen.amax(0))
        low, high = (float(bound[index]) for bound in self._found[layer])
        slack = 1e-4 * max(abs(low), abs(high))
        return value < low - slack or value > high + slack


class Assignment(NamedTuple):
    """What a clamp, or the control of one, sets: value and clamp number by place."""

    values: dict[Place, float]
    owner: dict[Place, tuple[int, int]]
    """(clamp number, member) that decided the place."""


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
        sources = (declared.from_ or supernode.source) if amount.unit == "times" else ()
        runs = tuple(clean[prompt if source == HERE else source] for source in sources)
        sources_at = at if set(sources) == {HERE} else supernode.at
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
    assignment = assign(onward, prompt)
    found = GoingOn({}, {})
    for (layer, pos, index), (number, member) in assignment.owner.items():
        clamp = onward[number]
        if pos < len(prompt.ids) - 1:
            continue
        if clamp.amount.unit == "add":
            found.added[layer, index] = clamp.amount.value * clamp.maximum(member)
        else:
            found.values[layer, index] = assignment.values[layer, pos, index]
    return found


def assign(clamps: Sequence[Clamp], prompt: CleanRun) -> Assignment:
    """The value of every clamped feature; a later clamp takes over what an earlier one set."""
    assignment = Assignment({}, {})
    for number, clamp in enumerate(clamps):
        for member, where in clamp.places(prompt.prompt):
            value = _value(clamp, member, where, prompt)
            if value is not None:
                assignment.values[where] = value
                assignment.owner[where] = (number, member)
    return assignment


def _value(clamp: Clamp, member: int, where: Place, prompt: CleanRun) -> float | None:
    """What a member is set to; None where no source has the place its activation is read at."""
    layer, pos, index = where
    amount = clamp.amount
    if amount.unit == "to":
        return amount.value
    if amount.unit == "add":
        now = float(prompt.activation(layer, pos)[index])
        return now + amount.value * clamp.maximum(member)
    if amount.value == 0:
        return 0.0
    own = clamp.source_activations(member)
    return None if own is None else amount.value * float(own[index])


def clamp_records(
    clamps: Sequence[Clamp], prompt: CleanRun, basis: FeatureBasis, ranges: Ranges | None = None
) -> tuple[ClampRecord, ...]:
    """What each clamp did: places, overlaps, the size of its write, and what is unnatural of it."""
    assignment = assign(clamps, prompt)
    records: list[ClampRecord] = []
    for number, clamp in enumerate(clamps):
        wanted = [where for _, where in clamp.places(prompt.prompt)]
        mine = {w: v for w, v in assignment.values.items() if assignment.owner[w][0] == number}
        written = writes(basis, prompt, mine)
        norms = [float(w.norm()) ** 2 for w in written.values()]
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
                positions=tuple(sorted({pos for _, pos, _ in wanted})),
                n_features=len(wanted),
                n_overridden=len(wanted) - len(mine),
                write_norm=sum(norms) ** 0.5,
                output_norm=sum(outputs) ** 0.5 if outputs else None,
                n_out_of_range=ranges.n_outside(mine) if ranges else 0,
            )
        )
    return tuple(records)


def writes(
    basis: FeatureBasis, prompt: CleanRun, values: Mapping[Place, float]
) -> dict[tuple[int, int], Float[Tensor, " d_written"]]:
    """Summed write of setting features to values, by (layer, position): Σ (value − clean)·W_dec.

    The writes of a cross-layer feature to its several sites are joined end to end.
    """
    summed: dict[tuple[int, int], Tensor] = {}
    for (layer, pos), indices in _by_group(values).items():
        device = prompt.logits.device
        index = torch.tensor(indices, device=device)
        targets = [values[(layer, pos, i)] for i in indices]
        target = torch.tensor(targets, dtype=torch.float32, device=device)
        change = target - prompt.activation(layer, pos)[index].float()
        summed[layer, pos] = change @ _decoder(basis, layer, index)
    return summed


def _by_group(values: Mapping[Place, float]) -> dict[tuple[int, int], list[int]]:
    grouped: dict[tuple[int, int], list[int]] = {}
    for layer, pos, index in values:
        grouped.setdefault((layer, pos), []).append(index)
    return grouped


def _decoder(
    basis: FeatureBasis, layer: int, index: Int[Tensor, " n"]
) -> Float[Tensor, "n d_written"]:
    written = [basis.W_dec(layer, index, to).float() for to in basis.write_layers(layer)]
    return torch.cat(written, dim=-1)


def draw_controls(
    clamps: Sequence[Clamp],
    prompt: CleanRun,
    basis: FeatureBasis,
    excluded: Mapping[int, frozenset[int]],
    n: int,
    seed: str,
    matched: Literal["write", "range"] = "write",
) -> list[dict[Place, float]] | None:
    """Random feature sets matched to a clamped one, as values to set.

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
    real = assign(clamps, prompt)
    if n == 0 or not real.values:
        return []
    sizes = {key: float(w.norm()) for key, w in writes(basis, prompt, real.values).items()}
    generator = torch.Generator().manual_seed(seed_of(seed))
    controls: list[dict[Place, float]] = [{} for _ in range(n)]
    for (layer, pos), indices in sorted(_by_group(real.values).items()):
        roles = [real.owner[(layer, pos, index)] for index in indices]
        clean = prompt.activation(layer, pos).float()
        changes = torch.stack([natural_change(clamps[c], m, clean) for c, m in roles])
        pool = _pool(changes, excluded.get(layer, frozenset()))
        if len(pool) < len(indices):
            return None
        drawn = torch.stack(
            [pool[torch.randperm(len(pool), generator=generator)[: len(indices)]] for _ in range(n)]
        )
        change = torch.stack([changes[role, drawn[:, role]] for role in range(len(roles))], dim=1)
        if matched == "write":
            W_dec = _decoder(basis, layer, drawn.flatten()).view(n, len(indices), -1)
            norm = torch.einsum("nf,nfd->nd", change, W_dec).norm(dim=-1)
            change = change * (sizes[layer, pos] / norm)[:, None]
        scaled = clean[drawn] + change
        chosen: list[list[int]] = drawn.tolist()
        targets: list[list[float]] = scaled.tolist()
        for control, features, values in zip(controls, chosen, targets, strict=True):
            control.update({(layer, pos, i): v for i, v in zip(features, values, strict=True)})
    return controls


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
