"""Attention heads as nodes of a graph: which ones, what they write and what they read.

A head h of layer l at a position q is a source: it writes w = W_O z(q), through the frozen norm
behind attention, into the residual stream. z is a vector, so what it *reads* is read toward what
the graph explains. Let G be the gradient of the goal Σ_logit weight · logit by attention's output
at (l, q), over all paths through heads and the graph's features, each feature passing on what the
graph says it does (G is what the edges above, multiplied along paths, add up to). The head's value
and its incoming edges are

    value(h) = G · w        edge(s → h) = Σ_k G · W_O^h · A_h(q, k) · W_V^h · n₁ V_s(k)

the part that source s has in w, taken the same way: the head's loadings of what s does to the goal,
in the goal's unit. V_s(k) is what s has put into the stream before the layer, past all heads that
are nodes: what comes through those is theirs. So edges and constants add up to the value, as for
any target; and since the head's own paths to the goal add up to its value too, taking some heads
for nodes changes no source's total effect on the goal.

Heads are ranked as features are: Σ_logit weight · |G_logit · w|, each logit by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tracer.engine.attribution.frozen_block import FrozenBlock
from tracer.engine.attribution.frozen_graph import FrozenGraph
from tracer.engine.attribution.nodes import ChosenFeatures, LayerFeatures, LayerHeads
from tracer.engine.sums import add_rows
from tracer.record.graph.heads import HeadNodes


class GraphWithHeads(NamedTuple):
    """The nodes of a graph, heads among them."""

    graph: FrozenGraph
    told: HeadNodes


def with_heads(graph: FrozenGraph, most: int) -> GraphWithHeads:
    """The same graph with its most relevant heads as nodes.

    Args:
        graph: Features, errors, tokens and logits, without heads.
        most: So many heads at positions, fewer where fewer do anything.
    """
    relevant = list(_relevance(graph))
    every = torch.stack([found.relevance for found in reversed(relevant)])
    kept = _most_relevant(every, most)
    layers, heads = list[LayerFeatures](), list[LayerHeads]()
    blocks, start = list[FrozenBlock](), 0
    for layer, found in enumerate(reversed(relevant)):
        block = graph.frozen.blocks[layer]
        mine = _layer_heads(graph, layer, found.gradient, kept[layer], start)
        start += len(mine.pos)
        layers.append(replace(graph.chosen.layers[layer], start=start))
        start += len(layers[-1].pos)
        heads.append(mine)
        blocks.append(replace(block, cut=kept[layer]) if len(mine.pos) else block)
    frozen = replace(graph.frozen, blocks=tuple(blocks))
    chosen = ChosenFeatures(tuple(layers), tuple(heads))
    total, share = float(every.double().sum()), float(every[kept].double().sum())
    n_all = every[..., graph.frozen.n_prefix :].numel()
    told = HeadNodes(n_all, share / total if total > 0 else 0.0)
    return GraphWithHeads(replace(graph, frozen=frozen, chosen=chosen), told)


class _LayerGoal(NamedTuple):
    """What a layer's heads do to the goal."""

    relevance: Float[Tensor, "head pos"]
    """0 over the special-token prefix, which is held."""
    gradient: Float[Tensor, "pos d_model"]
    """Of the goal by attention's output, G; 0 over the special-token prefix."""


def _relevance(graph: FrozenGraph) -> Iterator[_LayerGoal]:
    """Carry the logits back through heads and features; from the last layer to the first."""
    frozen, chosen, targets = graph.frozen, graph.chosen, graph.targets
    first = frozen.n_prefix
    here = slice(first, frozen.n_pos)
    n_logits, d_model = targets.vectors.shape
    gradient = frozen.resid_post.new_zeros(n_logits, graph.n_carried, d_model)
    gradient[:, -1] = targets.vectors
    weights = torch.tensor([logit.weight for logit in targets.logits]).to(gradient)
    # effects[t, f]: what doubling feature f adds to logit t, all paths counted
    effects = gradient.new_zeros(len(gradient), graph.constant + 1)
    for layer in reversed(range(frozen.n_layers)):
        block, writes = frozen.blocks[layer], graph.writes(layer)
        found = torch.einsum("tnd,nd->tn", gradient[:, writes.pos - first], writes.vectors)
        add_rows(effects.T, writes.rows, found.T)
        skipped = graph.skip_vjp(layer, gradient, here)
        if block.is_parallel:
            yield _at_heads(block, frozen.resid_pre[layer], gradient, weights)
            block.attend_vjp(gradient, first)
        if skipped is not None:
            gradient += skipped
        _pass_features(graph, layer, chosen.layers[layer], effects, gradient)
        if not block.is_parallel:
            yield _at_heads(block, frozen.resid_pre[layer], gradient, weights)
            block.attend_vjp(gradient, first)


def _pass_features(
    graph: FrozenGraph,
    layer: int,
    features: LayerFeatures,
    effects: Float[Tensor, "target row"],
    gradient: Float[Tensor, "target carried d_model"],
) -> None:
    """gradient[t, pos of f] += effects[t, f] / a_f · read vector of f."""
    rows = slice(features.start, features.start + len(features.pos))
    slopes = effects[:, rows] / features.activations.to(effects.dtype)
    added = slopes[..., None] * graph.feature_reads(layer).vectors
    at = features.pos - graph.frozen.n_prefix
    add_rows(gradient.transpose(0, 1), at, added.transpose(0, 1))


def _at_heads(
    block: FrozenBlock,
    x: Float[Tensor, "pos d_model"],
    gradient: Float[Tensor, "target carried d_model"],
    weights: Float[Tensor, " target"],
) -> _LayerGoal:
    """Σ_target weight · |G_target · w| of every head, and Σ_target weight · G_target."""
    z, first = block.z(x), len(x) - gradient.shape[1]
    scale = block.after.scale[first:] if block.after.norm is not None else 1.0
    relevant = z.new_zeros(z.shape[:2])
    for U, mine, into in zip(block.U, z[:, first:], relevant[:, first:], strict=True):
        # G · w = U G · z / scale of the norm behind attention   [target, pos]
        effect = ((gradient / scale) @ U.T * mine).sum(-1)
        into += weights @ effect.abs()
    goal = torch.zeros_like(x)
    goal[first:] = torch.einsum("t,tpd->pd", weights, gradient)
    return _LayerGoal(relevant, goal)


def _most_relevant(
    relevant: Float[Tensor, "layer head pos"], most: int
) -> Bool[Tensor, "layer head pos"]:
    """The strongest, of equal ones the first by layer, head, position; none that does nothing."""
    flat = relevant.flatten()
    order = torch.sort(flat, descending=True, stable=True).indices[:most]
    kept = torch.zeros_like(flat, dtype=torch.bool)
    kept[order] = flat[order] > 0
    return kept.view_as(relevant)


def _layer_heads(
    graph: FrozenGraph,
    layer: int,
    goal: Float[Tensor, "pos d_model"],
    kept: Bool[Tensor, "head pos"],
    start: int,
) -> LayerHeads:
    block, x = graph.frozen.blocks[layer], graph.frozen.resid_pre[layer]
    where = kept.T.cpu().nonzero()
    pos, index = where.to(x.device).unbind(1)
    U, V = block.U[index], block.V[index // block.n_shared]

    def written(z: Float[Tensor, "head pos d_head"]) -> Float[Tensor, "n d_model"]:
        vectors = torch.einsum("nk,nkd->nd", z[index, pos], U)
        return vectors if block.after.norm is None else vectors / block.after.scale[pos]

    writes, biases = written(block.z(x)), written(block.z(torch.zeros_like(x)))
    # by the stream at k: Vᵀ U G, times the pattern over the norms' scales
    vectors = torch.einsum("nkd,nk->nd", V, torch.einsum("nkd,nd->nk", U, goal[pos]))
    return LayerHeads(
        start=start,
        pos=pos,
        index=index,
        writes=writes,
        vectors=vectors,
        spread=block.scaled_pattern[index, pos],
        constants=(biases * goal[pos]).sum(1),
        values=(writes * goal[pos]).sum(1),
        n_at=tuple(torch.bincount(where[:, 0], minlength=len(x)).tolist()),
    )
