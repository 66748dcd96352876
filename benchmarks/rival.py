"""The same edges by batched autograd through the model itself: what `graphs.py` compares with.

The prompt is run once, as many times side by side as a batch has targets, with attention patterns,
norm scales and the MLPs' outputs detached. Every batch then goes backwards through that one graph.
What makes it quick: weights need no gradients; the MLPs and the unembedding, through which nothing
goes back, are run for one row only; each layer's gradient meets the layer's sources while it is
warm, in one matrix product per position that writes straight to its place among the edges, and is
let go; batches are of even size, so none is padded, and go back from their highest layer.

Two orders of the targets. `as_picked` is how they come: logits, then features as a graph takes
them. Then nearly every batch has a target near the top and goes back through the whole model.
`from_above` sorts them by layer, so that a batch starts no higher than it must.
"""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from graph_task import Task
from torch import Tensor

from tracer.engine.attribution.nodes import errors, feature_writes
from tracer.engine.model.model import Hook
from tracer.engine.model.sites import Site

SIZES = (4, 8, 16, 32, 64, 128)
TRIED = 96
"""Targets that a batch size is tried on; three batches at least."""
Meet = Callable[[Tensor], Tensor]
Ordering = Callable[[Task], Tensor]
"""Rows of the targets, as they are put into batches."""


class Readings(NamedTuple):
    """What each target reads, and where, in the order of the batches."""

    layer: Tensor
    """The number of layers for a logit."""
    pos: Tensor
    vectors: Tensor


class Sources(NamedTuple):
    """What one layer adds at its output site."""

    features: list[tuple[int, slice, Tensor]]
    """By position: the columns, and what stands there."""
    columns: slice
    errors: Tensor


class Timed(NamedTuple):
    """What came out, and how long it took."""

    size: int
    n_batches: int
    done: list[Tensor]
    """Rows that were computed, by batch."""
    edges: list[Tensor]
    """[target, source] for each of them."""
    start: float
    """Seconds for the forward pass and the sources."""
    batches: float
    """Seconds for all batches, scaled from those that were run."""

    @property
    def seconds(self) -> float:
        """The whole."""
        return self.start + self.batches

    def without_edges(self) -> Timed:
        """Only the times."""
        return self._replace(edges=[])


def as_picked(task: Task) -> Tensor:
    """Logits, then features as a graph takes them."""
    return torch.cat([torch.arange(task.chosen.n, task.n_targets), task.picked])


def from_above(task: Task) -> Tensor:
    """By layer, from the highest down."""
    return torch.arange(task.n_targets).flip(0)


def try_sizes(task: Task, ordering: Ordering) -> list[Timed]:
    """What each batch size promises, from some of its batches."""
    return [run(task, ordering, n, max(3, TRIED // n)).without_edges() for n in SIZES]


def run(task: Task, ordering: Ordering, size: int, most: int) -> Timed:
    """All edges, or those of `most` batches spread evenly over the order.

    Where only some batches are run, one more goes first and is not counted.
    """
    n_batches = math.ceil(task.n_targets / size)
    size = math.ceil(task.n_targets / n_batches)
    done = [slice(n * size, (n + 1) * size) for n in _spread(n_batches, most)]
    started = time.perf_counter()
    order = ordering(task)
    graph = Graph(task, order, size)
    ready = time.perf_counter()
    if len(done) < n_batches:
        graph.carry(done[0])
    seconds: list[float] = []
    for rows in done:
        before = time.perf_counter()
        graph.carry(rows)
        seconds.append(time.perf_counter() - before)
    graph.close()
    batches = statistics.mean(seconds) * n_batches
    edges = [graph.edges[rows] for rows in done]
    return Timed(size, n_batches, [order[rows] for rows in done], edges, ready - started, batches)


def _spread(n: int, most: int) -> list[int]:
    """The middle of each of `most` equal parts."""
    most = min(n, most)
    return [(2 * part + 1) * n // (2 * most) for part in range(most)]


class Graph:
    """The frozen model, expanded and run once, with its autograd graph kept."""

    def __init__(self, task: Task, order: Tensor, size: int) -> None:
        frozen, chosen = task.frozen, task.chosen
        n_errors = frozen.n_layers * (frozen.n_pos - frozen.n_prefix)
        self.edges = torch.zeros(task.n_targets, chosen.n + n_errors + frozen.n_pos)
        self._into = self.edges
        self._size = size
        self._readings = Readings(*(each[order] for each in _readings(task)))
        self._sources = [_sources(task, layer) for layer in range(frozen.n_layers)]
        self._embedding = frozen.resid_pre[0]
        self._first = frozen.n_prefix
        self._leaves: dict[int, Tensor] = {}
        self._inputs: dict[int, Tensor] = {}
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TransformerLens on hooks that change the graph
            task.model.forward(torch.tensor(frozen.ids), self._hooks(task), rows=size)

    def carry(self, rows: slice) -> None:
        """Fill some rows of the edges."""
        self._into = self.edges[rows]
        layers, pos, vectors = (each[rows] for each in self._readings)
        outputs: list[Tensor] = []
        gradients: list[Tensor] = []
        for layer in layers.unique().tolist():
            which = (layers == layer).nonzero()[:, 0]
            gradient = torch.zeros_like(self._inputs[layer])
            gradient[which, pos[which]] = vectors[which]
            outputs.append(self._inputs[layer])
            gradients.append(gradient)
        below = [self._leaves[layer] for layer in range(-1, int(layers.max()))]
        torch.autograd.grad(outputs, below, gradients, retain_graph=True)

    def close(self) -> None:
        """Let the graph go: it and the hooks in it hold each other, which no collector sees."""
        self._inputs.clear()
        self._leaves.clear()

    def _hooks(self, task: Task) -> list[tuple[Site, Hook]]:
        layers, end = range(task.frozen.n_layers), task.frozen.n_layers
        hooks: list[tuple[Site, Hook]] = [
            (Site("resid_pre", 0), self._cut(-1, self._meet_tokens)),
            (Site("resid_post", end - 1), self._read(end)),
        ]
        hooks += [(site, torch.Tensor.detach) for site in task.model.scale_sites]
        hooks += [(Site("pattern", layer), torch.Tensor.detach) for layer in layers]
        for layer in layers:
            meet = partial(self._meet, self._sources[layer])
            hooks.append((Site("mlp_in", layer), self._read(layer)))
            hooks.append((Site("mlp_out", layer), self._cut(layer, meet)))
        return hooks

    def _read(self, layer: int) -> Hook:
        """Keep what targets read. What the model makes of it is detached, so one row will do."""

        def hook(x: Tensor) -> Tensor:
            self._inputs[layer] = x
            return x[:1].detach()

        return hook

    def _cut(self, layer: int, meet: Meet) -> Hook:
        """Start the graph anew here; its gradient is met as soon as it is there."""

        def hook(x: Tensor) -> Tensor:
            self._leaves[layer] = x.detach().expand(self._size, -1, -1).requires_grad_()
            self._leaves[layer].register_hook(meet)
            return self._leaves[layer]

        return hook

    def _meet(self, sources: Sources, gradient: Tensor) -> Tensor:
        mine = gradient[: len(self._into)]
        for pos, columns, vectors in sources.features:
            torch.mm(mine[:, pos], vectors.T, out=self._into[:, columns])
        left = mine[:, self._first :]
        self._into[:, sources.columns] = torch.einsum("rpd,pd->rp", left, sources.errors)
        return _nothing(gradient)

    def _meet_tokens(self, gradient: Tensor) -> Tensor:
        mine = gradient[: len(self._into)]
        tokens = torch.einsum("rpd,pd->rp", mine, self._embedding)
        self._into[:, -len(self._embedding) :] = tokens
        return _nothing(gradient)


def _nothing(gradient: Tensor) -> Tensor:
    """Stands for a gradient that has been met, and holds no memory."""
    return gradient.new_zeros(()).expand_as(gradient)


def _readings(task: Task) -> Readings:
    frozen, (logits, vectors, _) = task.frozen, task.targets
    pos = [features.pos for features in task.chosen.layers]
    read = [
        task.basis.readers(
            layer, frozen.inputs[layer], features.pos, features.index, features.activations
        ).vectors
        for layer, features in enumerate(task.chosen.layers)
    ]
    counts = torch.tensor([*map(len, pos), len(logits)])
    layer = torch.arange(frozen.n_layers + 1).repeat_interleave(counts)
    last = torch.full((len(logits),), frozen.n_pos - 1)
    return Readings(layer, torch.cat([*pos, last]), torch.cat([*read, vectors]))


def _sources(task: Task, layer: int) -> Sources:
    basis, frozen, features = task.basis, task.frozen, task.chosen.layers[layer]
    assert list(basis.write_layers(layer)) == [layer] and basis.W_skip(layer) is None
    assert (basis.input_site(layer).kind, basis.output_site(layer).kind) == ("mlp_in", "mlp_out")
    writes = feature_writes(basis, frozen, task.chosen, layer)
    _, pos, vectors = writes
    by_pos: list[tuple[int, slice, Tensor]] = []
    start = 0
    for at, n in enumerate(torch.bincount(pos, minlength=frozen.n_pos).tolist()):
        columns = slice(features.start + start, features.start + start + n)
        if n:
            by_pos.append((at, columns, vectors[start : start + n]))
        start += n
    n_carried = frozen.n_pos - frozen.n_prefix
    first = task.chosen.n + layer * n_carried
    left = errors(basis, frozen, layer, writes)[frozen.n_prefix :]
    return Sources(by_pos, slice(first, first + n_carried), left)
