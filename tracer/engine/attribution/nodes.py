"""The features that a graph has: how they are ranked, their rows, and what they and errors write.

One backward pass ranks all active features by their relevance to the targets. The gradient of each
target is carried back through attention *and* through every active feature, each linear as in the
local replacement model. The relevance of a feature is

    Σ_target weight · |activation · d target / d activation|

which counts all paths from the feature to a target, with their signs. No feature is left out, so
the relevance of the ones a graph keeps, as a share of all, tells what the graph carries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.targets import Targets
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.places import Place
from tracer.engine.sums import add_rows
from tracer.engine.transfer import moved

BLOCK_CELLS = 1 << 24
"""Positions × targets × features taken at once."""


@dataclass(frozen=True)
class LayerFeatures:
    """The features of one layer, a run of the graph's rows: by position, then index."""

    start: int
    """The first row."""
    pos: Int[Tensor, " n"]
    index: Int[Tensor, " n"]
    activations: Float[Tensor, " n"]
    n_at: tuple[int, ...]
    """How many there are at each position."""


@dataclass(frozen=True)
class LayerHeads:
    """Heads of one layer that are nodes, a run of rows before its features': by position, head.

    A head at a position reads value = Σ_k spread[k] · vectors · x(k) + constants of the residual
    stream x before the layer (see `head_nodes`).
    """

    start: int
    """The first row."""
    pos: Int[Tensor, " n"]
    index: Int[Tensor, " n"]
    """The head in its layer."""
    writes: Float[Tensor, "n d_model"]
    """What it adds to the residual stream at its position."""
    vectors: Float[Tensor, "n d_model"]
    """By the residual stream, before the pattern."""
    spread: Float[Tensor, "n pos"]
    """The head's pattern at its position, over the norms' scales."""
    constants: Float[Tensor, " n"]
    values: Float[Tensor, " n"]
    n_at: tuple[int, ...]
    """How many there are at each position."""

    @property
    def rows(self) -> Int[Tensor, " n"]:
        """In the graph's order."""
        return torch.arange(self.start, self.start + len(self.pos), device=self.pos.device)


@dataclass(frozen=True)
class ChosenFeatures:
    """The features that a graph has, layer by layer, and the heads where it has some."""

    layers: tuple[LayerFeatures, ...]
    heads: tuple[LayerHeads, ...] = ()
    """By layer; nothing where heads are no nodes."""

    @property
    def n(self) -> int:
        """Rows of features and heads."""
        last = self.layers[-1]
        return last.start + len(last.pos)

    @property
    def n_features(self) -> int:
        """How many features."""
        return sum(len(each.pos) for each in self.layers)

    @property
    def activations(self) -> Float[Tensor, " row"]:
        """By row; of a head, its value."""
        found = torch.cat([each.activations for each in self.layers])
        if not any(len(each.pos) for each in self.heads):
            return found
        whole = found.new_zeros(self.n)
        for each in self.layers:
            whole[each.start : each.start + len(each.pos)] = each.activations
        for heads in self.heads:
            whole[heads.rows] = heads.values.to(whole.dtype)
        return whole

    def heads_at(self, layer: int) -> LayerHeads | None:
        """A layer's heads; None where it has none."""
        return self.heads[layer] if self.heads and len(self.heads[layer].pos) else None

    def table(self) -> Int[Tensor, "row 3"]:
        """(depth, position, index) by row, sorted.

        The depth is 2 · layer + 1 of a feature and 2 · layer of a head, as in
        `tracer.record.graph.places`.
        """
        found: list[Tensor] = []
        for layer, features in enumerate(self.layers):
            if (heads := self.heads_at(layer)) is not None:
                found.append(_places_at(2 * layer, heads))
            found.append(_places_at(2 * layer + 1, features))
        return torch.cat(found)


def _places_at(depth: int, nodes: LayerFeatures | LayerHeads) -> Int[Tensor, "n 3"]:
    return torch.stack([torch.full_like(nodes.pos, depth), nodes.pos, nodes.index], 1)


def chosen(frozen: Frozen, places: Iterable[Place]) -> ChosenFeatures:
    """The features at these (layer, position, index), each once."""
    by_layer: list[list[tuple[int, int]]] = [[] for _ in range(frozen.n_layers)]
    for layer, pos, index in sorted(set(places)):
        by_layer[layer].append((pos, index))
    layers: list[LayerFeatures] = []
    start = 0
    tables = [torch.tensor(found, dtype=torch.long).view(-1, 2) for found in by_layer]
    for layer, table in enumerate(moved(tables, frozen.device)):
        pos, index = table[:, 0], table[:, 1]
        n_at = tuple(torch.bincount(tables[layer][:, 0], minlength=frozen.n_pos).tolist())
        activations = frozen.active[layer].at(pos, index)
        layers.append(LayerFeatures(start, pos, index, activations, n_at))
        start += len(table)
    return ChosenFeatures(tuple(layers))


class Writes(NamedTuple):
    """Vectors that sources write at one layer."""

    rows: Int[Tensor, " n"]
    """Of the sources in the graph's order; one source may write at several positions."""
    pos: Int[Tensor, " n"]
    vectors: Float[Tensor, "n d_model"]


def feature_writes(basis: FeatureBasis, frozen: Frozen, chosen: ChosenFeatures, to: int) -> Writes:
    """a_s · W_dec[s → to] of every feature s that writes at layer `to`'s output site."""
    pos = [torch.zeros(0, dtype=torch.long, device=frozen.device)]
    rows, vectors = [pos[0]], [torch.zeros_like(frozen.resid_pre[0][:0])]
    for layer, features in enumerate(chosen.layers[: to + 1]):
        if to in basis.write_layers(layer) and len(features.pos):
            unique, where = features.index.unique(return_inverse=True)
            W_dec = basis.W_dec(layer, unique, to).to(frozen.dtype)
            start = features.start
            rows.append(torch.arange(start, start + len(features.pos), device=frozen.device))
            pos.append(features.pos)
            vectors.append(W_dec[where] * features.activations.to(frozen.dtype)[:, None])
    return Writes(torch.cat(rows), torch.cat(pos), torch.cat(vectors))


def errors(
    basis: FeatureBasis, frozen: Frozen, layer: int, features: Writes
) -> Float[Tensor, "pos d_model"]:
    """Error = MLP output − Σ_s a_s · W_dec[s] − b_dec − W_skip x, at the layer's output site."""
    left = frozen.outputs[layer].clone()
    add_rows(left, features.pos, -features.vectors)
    if (b_dec := basis.b_dec(layer)) is not None:
        left -= b_dec.to(left.dtype)
    if (W_skip := basis.W_skip(layer)) is not None:
        left -= frozen.inputs[layer] @ W_skip.to(left.dtype).T
    return left


def relevance(
    basis: FeatureBasis, frozen: Frozen, targets: Targets
) -> tuple[Float[Tensor, " active"], ...]:
    """Relevance of every active feature, by layer, in the order of `frozen.active`."""
    first = frozen.n_prefix
    n_targets, d_model = targets.vectors.shape
    gradient = targets.vectors.new_zeros(n_targets, frozen.n_pos - first, d_model)
    gradient[:, -1] = targets.vectors
    weights = torch.tensor([logit.weight for logit in targets.logits]).to(gradient)
    at_outputs: dict[int, Tensor] = {}
    found: list[Tensor] = []
    for layer in reversed(range(frozen.n_layers)):
        block = frozen.blocks[layer]
        by_pos = gradient.transpose(0, 1).clone()  # what it is now: it goes on in place
        # d target / d output = writeᵀ g   [pos, target, d_model]
        at_outputs[layer] = block.write.back(by_pos, block.write.scale[first:, None])
        relevant, at_input = _through_features(basis, frozen, layer, at_outputs, weights)
        found.insert(0, relevant)
        if (W_skip := basis.W_skip(layer)) is not None:
            at_input = at_input + at_outputs[layer] @ W_skip.to(at_input.dtype)
        # g += readᵀ · d target / d input, on the side of attention on which features read
        added = block.read.back(at_input, block.read.scale[first:, None]).transpose(0, 1)
        if not block.is_parallel:
            gradient += added
        block.attend_vjp(gradient, first)
        if block.is_parallel:
            gradient += added
        for above in [to for to in at_outputs if not _is_written_below(basis, to, layer)]:
            del at_outputs[above]
    return tuple(found)


def _through_features(
    basis: FeatureBasis,
    frozen: Frozen,
    layer: int,
    at_outputs: dict[int, Tensor],
    weights: Float[Tensor, " target"],
) -> tuple[Float[Tensor, " active"], Float[Tensor, "carried target d_model"]]:
    """A layer's relevance, and the gradient by what its features read."""
    first, x, active = frozen.n_prefix, frozen.inputs[layer], frozen.active[layer]
    relevant = torch.zeros_like(active.values)
    at_input = torch.zeros_like(at_outputs[layer])
    index, column = active.index.long().unique(return_inverse=True)
    size = max(1, BLOCK_CELLS // max(1, len(weights) * len(index)))
    for start in range(first, frozen.n_pos, size):
        stop = min(start + size, frozen.n_pos)
        ends = torch.searchsorted(active.pos, torch.tensor([start, stop]).to(active.pos))
        entries = slice(*ends.tolist())
        here = active.pos[entries].long() - start, column[entries]
        activations = active.values.new_zeros(stop - start, len(index))
        activations[here] = active.values[entries]
        carried = slice(start - first, stop - first)
        there = {to: each[carried] for to, each in at_outputs.items()}
        # d target / d a_f = Σ_to W_dec[f → to] · d target / d output[to]   [pos, target, feature]
        gradient = basis.gradient(layer, there, index)
        # relevance_f = Σ_target weight · |d target / d a_f| · |a_f|   [pos, feature]
        found = torch.einsum("prn,r->pn", gradient.abs(), weights) * activations.abs()
        relevant[entries] = found[here].to(relevant.dtype)
        # d target / d input = Σ_{f active} d target / d a_f · e_f   [pos, target, d_model]
        through = gradient * (activations != 0)[:, None]
        at_input[carried] = basis.pull_back(layer, x[start:stop], through, index)
    return relevant, at_input


def _is_written_below(basis: FeatureBasis, above: int, layer: int) -> bool:
    """Whether features of layers below this one write to a layer above."""
    return any(above in basis.write_layers(below) for below in range(layer))


def most_relevant(frozen: Frozen, relevant: tuple[Float[Tensor, " _"], ...], n: int) -> list[Place]:
    """The n most relevant features, as (layer, position, index), strongest first."""
    values: list[Tensor] = []
    places: list[Place] = []
    for layer, (active, of_layer) in enumerate(zip(frozen.active, relevant, strict=True)):
        best = _largest(of_layer, n)
        values.append(of_layer[best])
        pos, index = active.pos[best].tolist(), active.index[best].tolist()
        places.extend((layer, *place) for place in zip(pos, index, strict=True))
    order = torch.sort(torch.cat(values), descending=True, stable=True).indices[:n]
    return [places[place] for place in order.tolist()]


def _largest(values: Float[Tensor, " m"], n: int) -> Int[Tensor, " k"]:
    """Where the n largest stand that are above 0, ascending; of equal ones the first."""
    if len(values) <= n:
        return (values > 0).nonzero()[:, 0]
    least = torch.topk(values, max(n, 1)).values[-1].clamp_min(0)
    above, equal = values > least, (values == least) & (least > 0)
    equal &= equal.cumsum(0) <= n - above.sum()
    return (above | equal).nonzero()[:, 0]
