"""A graph's scores as circuit-tracer counts them: without what features write that are not kept.

Here the error of a layer and position is all that the kept features do not write there, so a
feature that is dropped goes into it and the edges into a node add up to its value. circuit-tracer
drops such a feature whole: its errors are what *no* feature explains, and its scores are higher.
Both ask the same of a graph that keeps every active feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.frozen_graph import FrozenGraph
from tracer.engine.attribution.nodes import ChosenFeatures, Writes, errors, feature_writes
from tracer.engine.attribution.sweep import SweepPlan, sweep
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.progress import Progress
from tracer.engine.sums import add_rows
from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.influence import Scores, scores

_ROUNDING = 1e-4
"""Of a layer's output: an error no larger is none, as of neurons, which explain everything."""
_CHUNK = 8192
"""Features whose activations and write vectors are held at once."""


def scores_without_dropped(
    nodes: FrozenGraph, plan: SweepPlan, graph: AttributionGraph, progress: Progress
) -> Scores:
    """The scores of a graph with what dropped features write neither in errors nor anywhere."""
    basis, frozen, kept = nodes.basis, nodes.frozen, nodes.chosen
    if kept.n_features == graph.subject.n_active:
        return scores(graph)
    written = [_written(basis, frozen, layer) for layer in range(frozen.n_layers)]
    if not _has_errors(basis, frozen, written):
        edges = graph.edges.copy()
        edges[:, graph.nodes.error_columns] = 0
        return scores(replace(graph, edges=edges))
    with progress.task("sweeping errors alone", plan.n_steps(frozen)) as advance:
        explained = _without_dropped(basis, frozen, kept, written)
        swept = sweep(replace(nodes, frozen=explained), plan, advance)
    return scores(replace(graph, edges=swept.edges.T.float().cpu().numpy()))


def _has_errors(
    basis: FeatureBasis, frozen: Frozen, written: Sequence[Float[Tensor, "pos d_model"]]
) -> bool:
    """Whether anything is left that no feature writes, at the positions that are carried."""
    carried = slice(frozen.n_prefix, None)
    every = torch.arange(frozen.n_pos, device=frozen.device)
    for layer, output in enumerate(frozen.outputs):
        left = errors(basis, frozen, layer, Writes(every, every, written[layer]))[carried]
        if float(left.norm()) > _ROUNDING * max(float(output[carried].norm()), 1e-30):
            return True
    return False


def _without_dropped(
    basis: FeatureBasis,
    frozen: Frozen,
    kept: ChosenFeatures,
    written: Sequence[Float[Tensor, "pos d_model"]],
) -> Frozen:
    """The prompt as if its MLPs did not write what the dropped features do."""
    outputs: list[Tensor] = []
    for layer, output in enumerate(frozen.outputs):
        writes = feature_writes(basis, frozen, kept, layer)
        outputs.append(add_rows(output - written[layer], writes.pos, writes.vectors))
    return replace(frozen, outputs=tuple(outputs))


def _written(basis: FeatureBasis, frozen: Frozen, to: int) -> Float[Tensor, "pos d_model"]:
    """What all active features write at a layer's output site."""
    found = torch.zeros_like(frozen.outputs[to])
    for layer in range(to + 1):
        active = frozen.active[layer]
        if to not in basis.write_layers(layer):
            continue
        index, column = active.index.long().unique(return_inverse=True)
        for start in range(0, len(index), _CHUNK):
            some = index[start : start + _CHUNK]
            here = (column >= start) & (column < start + _CHUNK)
            activations = found.new_zeros(len(found), len(some))
            place = active.pos[here].long(), column[here] - start
            activations[place] = active.values[here].to(found.dtype)
            found += activations @ basis.W_dec(layer, some, to).to(found.dtype)
    return found
