"""Hold a graph against the model: ablate supernodes and single features, predicted and measured.

The graph is linear and the model is not, so the graph is checked where it makes a prediction:
every supernode, and some single features, are ablated in the real model, with everything frozen
(where the graph must be right), with attention frozen, and free. Half of the single features are
the most influential ones, half are drawn at random from those the graph keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.targets import ExplainedTarget
from tracer.engine.batches import BatchLimit, Row
from tracer.engine.clean import CleanRun, clean_run
from tracer.engine.features.places import PlaceValues, joined
from tracer.engine.forward import Measured, read_of_rows
from tracer.engine.freeze import Freeze
from tracer.engine.progress import Advance, Progress
from tracer.engine.resolve import MeasurementContext
from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.influence import ablation_effects, influence
from tracer.record.trials import Ablation

Members = Mapping[str, Int[np.ndarray, " _"]]
"""Rows of each supernode's features that are in the graph."""
FREEZES: tuple[Freeze, ...] = ("all", "attention", "none")


class _Item(NamedTuple):
    """What is ablated: a supernode, or a single feature."""

    name: str
    is_supernode: bool
    rows: Int[np.ndarray, " _"]


def measure_ablations(
    context: MeasurementContext,
    prompt: str,
    graph: AttributionGraph,
    members: Members,
    target: ExplainedTarget,
    limit: BatchLimit,
    progress: Progress,
) -> tuple[Ablation, ...]:
    """Ablate every supernode, and as many single features as the graph section says.

    Args:
        context: What is measured on.
        prompt: The graph's prompt.
        graph: The whole graph, nothing pruned.
        members: The supernodes, as they are in the graph.
        target: What the graph explains.
        limit: Rows at once.
        progress: Told of every row.
    """
    spec = context.hypothesis.graph
    assert spec is not None
    items = _items(graph, members, spec.check, context.hypothesis.seed)
    groups = [item.rows for item in items]
    predicted = ablation_effects(graph, groups, graph.nodes.n_features)
    with progress.task(f"ablating on {prompt}", len(FREEZES) * len(items)) as advance:
        measured = _measured(context, prompt, graph, groups, target, limit, advance)
    return tuple(
        Ablation(
            name=item.name,
            is_supernode=item.is_supernode,
            n_features=len(item.rows),
            predicted_direct=float(predicted.direct[number]),
            predicted_total=float(predicted.total[number]),
            measured_direct=measured["all"][number],
            measured_attention=measured["attention"][number],
            measured_free=measured["none"][number],
        )
        for number, item in enumerate(items)
    )


def _items(graph: AttributionGraph, members: Members, n: int, seed: int) -> list[_Item]:
    """Supernodes, then single features: the most influential half, then some at random."""
    order = np.argsort(-influence(graph).features, kind="stable")
    top, rest = order[: (n + 1) // 2], order[(n + 1) // 2 :]
    drawn = np.random.default_rng(seed).permutation(rest)[: n // 2]
    named = [_Item(name, True, rows) for name, rows in members.items() if len(rows)]
    singles = [int(row) for row in (*top, *drawn)]
    return named + [_Item(graph.nodes.id_of_row(n), False, np.array([n])) for n in singles]


def _measured(
    context: MeasurementContext,
    prompt: str,
    graph: AttributionGraph,
    groups: Sequence[Int[np.ndarray, " _"]],
    target: ExplainedTarget,
    limit: BatchLimit,
    advance: Advance,
) -> dict[Freeze, list[float]]:
    """Change of the explained quantity when each group is set to 0, by freeze mode."""
    places = [graph.nodes.features[group] for group in groups]
    positions = joined(places)[:, 1].tolist()
    clean = clean_run(context.model, context.basis, context.clean[prompt].prompt, positions)
    read = _reader(target, clean, context.model.soft_cap)
    before = float(read(clean.logits[None])[0])
    rows = [Row(PlaceValues.zeros(each), freeze) for freeze in FREEZES for each in places]
    after = torch.zeros(len(rows), dtype=torch.float64)

    def explained(measured: Measured) -> tuple[list[int], Tensor]:
        return measured.rows, read(measured.logits).double().cpu()

    of = (context.model, context.basis, clean, rows, limit)
    for numbers, values in read_of_rows(*of, explained):
        after[numbers] = values
        advance(len(numbers))
    changes = (after - before).view(len(FREEZES), len(groups)).tolist()
    return dict(zip(FREEZES, changes, strict=True))


def _reader(
    target: ExplainedTarget, clean: CleanRun, cap: float | None
) -> Callable[[Float[Tensor, "row vocab"]], Float[Tensor, " row"]]:
    """The graph's first target, read off logits: minus their mean, without the soft cap."""
    top = [(int(clean.logits.argmax()), 1.0)]
    direction = top if target == "salient" else target
    of_mean = sum(coefficient for _, coefficient in direction)

    def read(logits: Tensor) -> Tensor:
        plain = logits if cap is None else cap * torch.atanh(logits / cap)
        named = [coefficient * plain[:, token] for token, coefficient in direction]
        return torch.stack(named).sum(0) - of_mean * plain.mean(-1)

    return read
