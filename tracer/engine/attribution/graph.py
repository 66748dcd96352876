"""From a prompt to its attribution graph: freeze, rank, choose, sweep.

The method of *Circuit Tracing* (Ameisen et al. 2025). With attention patterns and norm scales held
as on the prompt, the effect of a source s on a target t is linear, and the edge is

    A[t, s] = (write vector of s) · Jᵀ (read vector of t)

with J the frozen Jacobian of the residual stream from where s writes to where t reads. Sources
write a_s · W_dec[s] (features), the rest of an MLP's output (errors) or the embedding (tokens).
Targets are features, by their pre-activation, and logits. In the graph, row = target, column =
source, and an edge is signed: it is what the target gains when the source is doubled and all else
is held. A target's edges and its constant add up to its value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tracer.engine.attribution.dropped import scores_without_dropped
from tracer.engine.attribution.frozen import Frozen, freeze
from tracer.engine.attribution.frozen_graph import FrozenGraph
from tracer.engine.attribution.head_nodes import with_heads
from tracer.engine.attribution.nodes import ChosenFeatures, chosen, most_relevant, relevance
from tracer.engine.attribution.sweep import plan_sweep, sweep
from tracer.engine.attribution.targets import Targets
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.places import Place, Places
from tracer.engine.memory import memory_told
from tracer.engine.model.model import Model
from tracer.engine.progress import Progress
from tracer.engine.transfer import on_cpu
from tracer.errors import EngineError, UsageError
from tracer.hypothesis.vocabulary import decode, token_text
from tracer.record.graph.graph import AttributionGraph, Logit, Nodes, Subject
from tracer.record.graph.heads import HeadNodes

ChooseTargets = Callable[[Frozen], Targets]
"""Names the targets once the prompt has been run; see `tracer.engine.attribution.targets`."""


class Attributed(NamedTuple):
    """A graph, and what it was read off: more can be read off the same frozen prompt."""

    graph: AttributionGraph
    nodes: FrozenGraph


def attributed(
    model: Model,
    basis: FeatureBasis,
    ids: Int[Tensor, " pos"],
    toward: ChooseTargets,
    max_features: int,
    progress: Progress,
    required: Places | None = None,
    n_heads: int = 0,
) -> Attributed:
    """The attribution graph of a prompt, nothing pruned.

    At most `max_features` are kept, the most relevant; what the others write is in the error nodes.
    Features that are `required` are kept whatever their relevance, where they are active. `toward`
    names the targets. At most `n_heads` attention heads at positions are nodes too.

    Raises:
        UsageError: A prompt of one token has nothing to attribute to.
        ModelUnavailable: The model's blocks are not what the sweep knows.
        EngineError: Numbers that are not finite, or too little memory.
    """
    if len(ids) < 2:
        raise UsageError("an attribution graph needs a prompt of at least two tokens.")
    with memory_told(f"the graph of {len(ids):,} tokens"):
        with progress.task("freezing the prompt"):
            frozen = freeze(model, basis, ids)
            targets = toward(frozen)
        with progress.task("ranking features"):
            relevant = relevance(basis, frozen, targets)
        _require_finite(basis, *relevant)
        kept = chosen(frozen, _places(frozen, relevant, max_features, required))
        nodes = FrozenGraph(basis, frozen, kept, targets)
        subject = _subject(model, basis, frozen, kept, relevant)
        if n_heads:
            return _swept_with_heads(nodes, subject, n_heads, progress)
        return _swept(nodes, subject, None, progress)


def with_head_nodes(taken: Attributed, n_heads: int, progress: Progress) -> Attributed:
    """The same graph with its most relevant attention heads, so many at most, as nodes.

    Raises:
        EngineError: Too little memory.
    """
    n_tokens = len(taken.graph.subject.tokens)
    with memory_told(f"the graph of {n_tokens:,} tokens with its heads"):
        return _swept_with_heads(taken.nodes, taken.graph.subject, n_heads, progress)


def _swept_with_heads(
    nodes: FrozenGraph, subject: Subject, n_heads: int, progress: Progress
) -> Attributed:
    with progress.task("ranking heads"):
        found = with_heads(nodes, n_heads)
    return _swept(found.graph, subject, found.told, progress)


def _swept(
    nodes: FrozenGraph, subject: Subject, heads: HeadNodes | None, progress: Progress
) -> Attributed:
    plan = plan_sweep(nodes)
    with progress.task("sweeping", plan.n_steps(nodes.frozen)) as advance:
        swept = sweep(nodes, plan, advance)
    _require_finite(nodes.basis, swept.edges.sum(0), swept.constants, swept.values)
    graph = AttributionGraph(
        subject=subject,
        nodes=nodes_of(nodes.frozen, nodes.chosen, nodes.targets.logits, heads),
        edges=swept.edges.T.float().cpu().numpy(),
        constants=swept.constants.float().cpu().numpy(),
        values=swept.values.float().cpu().numpy(),
    )
    theirs = scores_without_dropped(nodes, plan, graph, progress)
    subject = replace(subject, without_dropped=theirs)
    return Attributed(replace(graph, subject=subject), nodes)


def _require_finite(basis: FeatureBasis, *found: Tensor) -> None:
    """Weights that nothing was encoded with, decoders and biases, show only here."""
    if not bool(torch.stack([torch.isfinite(x).all() for x in found]).all()):
        raise EngineError(
            f"edges of features: {basis.name} are not finite (NaN or infinite): its decoders, "
            "biases or skip matrices hold such numbers, or numbers too large for the dtype."
        )


def _places(
    frozen: Frozen, relevant: tuple[Tensor, ...], n: int, required: Places | None
) -> list[Place]:
    """The required features that are active, then the most relevant of the others."""
    must = set() if required is None else set(_active_ones(frozen, required))
    best = [place for place in most_relevant(frozen, relevant, n) if place not in must]
    return [*must, *best[: max(0, n - len(must))]]


def _active_ones(frozen: Frozen, where: Places) -> Iterator[Place]:
    for layer, active in enumerate(frozen.active):
        of = torch.from_numpy(where[where[:, 0] == layer, 1:]).to(frozen.device)
        there = of[active.at(of[:, 0], of[:, 1]) != 0]
        yield from ((layer, pos, index) for pos, index in there.tolist())


def _subject(
    model: Model,
    basis: FeatureBasis,
    frozen: Frozen,
    kept: ChosenFeatures,
    relevant: tuple[Tensor, ...],
) -> Subject:
    total = sum(float(each) for each in on_cpu([each.double().sum() for each in relevant]))
    of_kept = [
        replace(active, values=found).at(layer.pos, layer.index).double().sum()
        for active, found, layer in zip(frozen.active, relevant, kept.layers, strict=True)
    ]
    carried = sum(float(each) for each in on_cpu(of_kept))
    return Subject(
        prompt=decode(frozen.ids, model.tokenizer),
        tokens=tuple(token_text(token, model.tokenizer) for token in frozen.ids),
        token_ids=frozen.ids,
        model=model.record.name,
        fingerprint=model.record.fingerprint,
        basis=basis.name,
        n_layers=frozen.n_layers,
        n_active=sum(len(each.values) for each in frozen.active),
        relevance_share=carried / total if total > 0 else 0.0,
    )


def nodes_of(
    frozen: Frozen,
    kept: ChosenFeatures,
    logits: tuple[Logit, ...],
    heads: HeadNodes | None = None,
) -> Nodes:
    """The nodes of a graph that has these features and heads, and every error and token."""
    carried = torch.arange(frozen.n_prefix, frozen.n_pos)
    layers = torch.arange(frozen.n_layers)
    table = kept.table().cpu().numpy()
    return Nodes(
        features=np.concatenate([table[:, :1] // 2, table[:, 1:]], axis=1),
        activations=kept.activations.float().cpu().numpy(),
        errors=torch.cartesian_prod(layers, carried).numpy(),
        tokens=torch.arange(frozen.n_pos).numpy(),
        logits=logits,
        attention=np.flatnonzero(table[:, 0] % 2 == 0),
        heads=heads,
    )
