"""What a sweep multiplies and adds, and this machine's rate of doing so: for `graphs.py`."""

from __future__ import annotations

import statistics
import time
from typing import TypeVar

import torch
from graph_task import Task
from torch import Tensor

from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.node_streams import n_sparse_passes
from tracer.engine.attribution.sweep import plan_sweep, target_nodes

SQUARE = 2048
Width = TypeVar("Width", int, Tensor)


def operations(task: Task) -> float:
    """What the sweep multiplies and adds: maps, patterns, edges, products at the split layer.

    The first passes of a node, whose streams are sparse, are not counted.
    """
    _, _, frozen, kept, _, _ = task
    plan = plan_sweep(task.graph)
    d_model, last = frozen.resid_post.numel(), frozen.n_layers - 1
    n_heads = len(frozen.blocks[0].weights.W_O)
    total = 0
    for members in plan.backward.batches:
        width, layer_of = plan.backward.n_pos(members), plan.backward.layer[members]
        n_sparse = int(n_sparse_passes(torch.tensor([width]), n_heads))
        for layer in range(plan.split_layer, frozen.n_layers):
            sources = int((kept.layers[layer].pos < width + frozen.n_prefix).sum()) + width
            passes = layer_of.clamp_max(last) - layer
            total += int((passes >= n_sparse).sum()) * carried(frozen, width)
            total += int((layer_of > layer).sum()) * sources * d_model
    for members in plan.forward.batches:
        width, layer_of = plan.forward.n_pos(members), plan.forward.layer[members]
        n_sparse = int(n_sparse_passes(torch.tensor([width]), n_heads))
        for layer in range(plan.split_layer):
            readers = int((kept.layers[layer].pos >= frozen.n_pos - width).sum())
            passes = layer - 1 - layer_of
            total += int((passes >= n_sparse).sum()) * carried(frozen, width)
            total += int((layer_of < layer).sum()) * readers * d_model
        for other in plan.backward.batches if plan.split_layer else ():
            both = max(0, plan.backward.n_pos(other) + width - (frozen.n_pos - frozen.n_prefix))
            pairs = (members.stop - members.start) * (other.stop - other.start)
            total += pairs * both * d_model
    return 2.0 * total


def operations_backward(task: Task) -> float:
    """What carrying every target backward to the embeddings would multiply and add, likewise."""
    frozen, kept, readers = task.frozen, task.chosen, target_nodes(task.graph)
    width = readers.pos + 1 - frozen.n_prefix
    passes = (readers.layer + 1).clamp_max(frozen.n_layers)
    total = float((passes * carried(frozen, width)).sum())
    for layer, features in enumerate(kept.layers):
        sources = torch.bincount(features.pos, minlength=frozen.n_pos)
        sources[frozen.n_prefix :] += 1
        met = sources.cumsum(0)[readers.pos[readers.layer > layer]].sum()
        total += float(met) * frozen.resid_post.numel()
    return 2.0 * total


def carried(frozen: Frozen, width: Width) -> Width:
    """Products for one node of a width through one layer: both maps, and the patterns."""
    heads, d_head, d_model = frozen.blocks[0].weights.W_O.shape
    groups = len(frozen.blocks[0].weights.W_V)
    return width * d_head * (d_model * (heads + groups) + heads * width)


def square_speed() -> float:
    """Operations per second of a square matrix product, the median of five."""
    a, b = torch.randn(2, SQUARE, SQUARE)
    seconds: list[float] = []
    for _ in range(5):
        started = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - started)
    return 2 * SQUARE**3 / statistics.median(seconds)
