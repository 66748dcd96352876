"""What attention costs beside a graph: the heads of its edges, and why one head looks somewhere.

    python benchmarks/attention.py [--tokens 40] [--features 2048] [--rounds 3]

Takes the graph of a prompt, prunes it as `tracer graph` does, finds the heads of every edge that is
left, takes the graph again with heads as nodes, tells why some heads look from the last token at
others, and sets 64 heads, and 64 neurons of
the same layers, to 0, one in each row. By turns; medians over rounds, in seconds of the clock and,
for machines with other work, in seconds of the processor. The other way to the heads is one
backward pass for each of them: a batched one of autograd through the frozen model, targets sorted
by layer (`rival.py`), which is timed once on three batches and counted for every head and once
without any, for the targets that the pruning leaves.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from clamps import INTERVENTION, Places, open_all
from graph_task import TEXT, open_model, prompt, start, toward
from rival import from_above, run

from tracer.engine.attribution.graph import Attributed, attributed, with_head_nodes
from tracer.engine.attribution.head_loadings import edge_loadings, head_loadings
from tracer.engine.attribution.query_key import qk_attribution
from tracer.engine.batches import Row, batch_limit
from tracer.engine.features.heads import beside_heads
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.places import HEADS
from tracer.engine.forward import run_rows
from tracer.engine.head_reason import MOST
from tracer.engine.model.model import Model
from tracer.engine.progress import Silent
from tracer.hypothesis.heads import HeadName
from tracer.hypothesis.studies.graph import KEPT_HEADS
from tracer.record.graph.prune import prune

MODEL = "gemma-3-270m"
N_CLAMPS = 64
RIVAL_ROWS = 32
"""Targets in one backward pass."""
Found = TypeVar("Found")
out = sys.stdout


class Timed(NamedTuple):
    """How long something took."""

    clock: float
    processor: float


def timed(act: Callable[[], Found]) -> tuple[Found, Timed]:
    """Do it, and time it."""
    clock, processor = time.perf_counter(), time.process_time()
    found = act()
    return found, Timed(time.perf_counter() - clock, time.process_time() - processor)


def report(name: str, times: list[Timed], graph: list[Timed]) -> None:
    """Medians, and what they are of the graph's."""
    clock, processor = (statistics.median(each) for each in zip(*times, strict=True))
    shares = [one.processor / whole.processor for one, whole in zip(times, graph, strict=True)]
    out.write(
        f"  {name}: {clock:.2f} s, {processor:.2f} s of the processor; "
        f"{statistics.median(shares):.2f} of the graph's ({_listed(shares)})\n"
    )


def _listed(shares: list[float]) -> str:
    return ", ".join(f"{share:.2f}" for share in shares)


def reasons(model: Model, taken: Attributed) -> dict[str, Callable[[], object]]:
    """Scores of a head in a low, a middle and the last layer, from the last token."""
    last = taken.nodes.frozen.n_pos - 1
    layers = taken.nodes.frozen.n_layers
    places = [(layers // 4, last // 2), (layers // 2, last // 2), (layers - 1, last - 1)]
    return {
        f"why head {layer}.0 looks from {last} at {key}": partial(
            _strongest, model, taken, HeadName(layer, 0), last, key
        )
        for layer, key in places
        if taken.nodes.frozen.blocks[layer].pattern[0, last, key] > 0
    }


def _strongest(model: Model, taken: Attributed, head: HeadName, query: int, key: int) -> object:
    """Every node's part of both sides, and the pairs of the strongest."""
    found = qk_attribution(model, taken.nodes, head, query, key)
    sides = found.query_marginals, found.key_marginals
    return found.pairs(*(side.abs().topk(MOST).indices for side in sides))


def clamps() -> dict[str, Callable[[], object]]:
    """As many heads as neurons of the same layers, each set to 0 in a row, at the last token."""
    _, bench = open_all("cpu")
    clean = bench.clean[bench.hypothesis.interventions[INTERVENTION].prompts[0]]
    last, n_heads = len(clean.ids) - 1, len(bench.model.W_O(0))
    of_layer = {layer: bench.model.W_O(layer).shape[1] for layer in range(bench.model.n_layers)}
    places = [divmod(number, n_heads) for number in range(N_CLAMPS)]
    ways = {
        "heads": [
            {(HEADS + layer, last, head * of_layer[layer] + i): 0.0 for i in range(of_layer[layer])}
            for layer, head in places
        ],
        "neurons": [{(layer, last, head): 0.0} for layer, head in places],
    }
    basis, limit = (
        beside_heads(bench.basis, bench.model, wanted=True),
        batch_limit(bench.model, clean),
    )

    def act(rows: list[Places]) -> list[object]:
        return [*run_rows(bench.model, basis, clean, [Row(each) for each in rows], limit)]

    return {f"{N_CLAMPS} clamps of {unit}": partial(act, rows) for unit, rows in ways.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    model = open_model(MODEL)
    basis, ids = NeuronBasis(model), prompt(model, TEXT, options.tokens)
    take = partial(
        attributed, model, basis, ids, partial(toward, model), options.features, Silent()
    )
    taken = take()
    kept = prune(taken.graph)
    acts = {
        "the graph": take,
        "heads of all edges": partial(edge_loadings, taken, kept, Silent()),
        "heads of one edge": partial(
            head_loadings, taken.nodes, [0], [taken.graph.nodes.n_features]
        ),
        f"{KEPT_HEADS} heads as nodes": partial(with_head_nodes, taken, KEPT_HEADS, Silent()),
        **reasons(model, taken),
        **clamps(),
    }
    times: dict[str, list[Timed]] = {name: [] for name in acts}
    for _ in range(options.rounds):
        for name, act in acts.items():
            times[name].append(timed(act)[1])
    n_edges, n_targets = np.count_nonzero(kept.edges), kept.nodes.n_targets
    out.write(
        f"{MODEL}, {options.tokens} tokens, {options.features} neurons; pruned to "
        f"{kept.nodes.n_features} neurons, {len(kept.nodes.errors)} errors, {n_edges:,} edges; "
        f"{torch.get_num_threads()} threads; {options.rounds} rounds\n"
    )
    for name, found in times.items():
        report(name, found, times["the graph"])
    _report_rival(model, options.tokens, options.features, n_targets, times["heads of all edges"])


def _report_rival(
    model: Model, n_tokens: int, n_features: int, n_targets: int, ours: list[Timed]
) -> None:
    """One backward pass a head, and one without any, for the targets that are left."""
    task = start(model, NeuronBasis(model), n_tokens, n_features)
    best = run(task, from_above, RIVAL_ROWS, 3).without_edges()
    blocks = task.frozen.blocks
    n_heads = len(blocks) * len(blocks[0].weights.W_O)
    seconds = (n_heads + 1) * best.seconds * n_targets / task.n_targets
    clock = statistics.median(each.clock for each in ours)
    out.write(
        f"  one backward pass a head: {seconds:.0f} s by the clock for {n_targets} targets and "
        f"{n_heads} heads, {seconds / clock:.0f}x ours\n"
    )


if __name__ == "__main__":
    main()
