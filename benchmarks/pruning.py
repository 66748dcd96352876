"""What pruning without sorting every pair saves: ours, and the definition written out densely.

    python benchmarks/pruning.py [--features 9000] [--rounds 5]

The graph is random: heavy-tailed edges from lower layers and from no later position, with errors,
tokens and ten logits. The dense way is torch, the nodes squared in float32: powers by repeated
products until nothing is left, full sorts of all scores. Ways alternate within a round; medians and
their ratio are printed. Extra memory is each way's peak in a fresh process, less the process's peak
before it. What they keep is compared first: a fast wrong answer is no result.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tracer.record.graph.graph import AttributionGraph, Logit, Nodes, Subject
from tracer.record.graph.prune import prune

LAYERS, TOKENS, LOGITS = 30, 12, 10
NODE_SHARE, EDGE_SHARE = 0.8, 0.98


class Kept(NamedTuple):
    """What a pruning leaves."""

    features: np.ndarray
    """Mask over the graph's features."""
    n_edges: int


def make_graph(n_features: int) -> AttributionGraph:
    """A graph of the size that a prompt of twelve tokens has, filled row by row."""
    rng = np.random.default_rng(0)
    places = np.sort(rng.choice(LAYERS * (TOKENS - 1) * 4096, n_features, replace=False))
    layers, rest = np.divmod(places, (TOKENS - 1) * 4096)
    features = np.stack([layers, 1 + rest // 4096, rest % 4096], axis=1)
    errors = np.array([[layer, pos] for layer in range(LAYERS) for pos in range(1, TOKENS)])
    logits = tuple(Logit(f" {n}", n, 0.5 ** (n + 1)) for n in range(LOGITS))
    nodes = Nodes(features, np.ones(n_features, np.float32), errors, np.arange(TOKENS), logits)
    source_layer = np.concatenate([features[:, 0], errors[:, 0], np.full(TOKENS, -1)])
    source_pos = np.concatenate([features[:, 1], errors[:, 1], nodes.tokens])
    strength = np.exp(rng.normal(size=nodes.n_sources) * 0.3).astype(np.float32)
    edges = np.empty((nodes.n_targets, nodes.n_sources), dtype=np.float32)
    for row in range(nodes.n_targets):
        layer, pos = features[row, :2] if row < n_features else (LAYERS, TOKENS - 1)
        drawn = rng.standard_normal(nodes.n_sources, dtype=np.float32)
        readable = (source_layer < layer) & (source_pos <= pos)
        edges[row] = drawn * np.abs(drawn) * strength * readable
    subject = Subject("", (), (), "random", "", "random", LAYERS, n_features, 1.0)
    nothing = np.zeros(nodes.n_targets, dtype=np.float32)
    return AttributionGraph(subject, nodes, edges, nothing, nothing)


def ours(graph: AttributionGraph) -> Kept:
    """What the package does."""
    pruned = prune(graph, NODE_SHARE, EDGE_SHARE)
    features = np.zeros(graph.nodes.n_features, dtype=bool)
    features[graph.nodes.find(pruned.nodes.features)] = True
    return Kept(features, int(np.count_nonzero(pruned.edges)))


def squared(graph: AttributionGraph) -> Tensor:
    """All nodes against all, as a graph is kept elsewhere; not counted, it is what one is given."""
    nodes = graph.nodes
    n = nodes.n_sources + len(nodes.logits)
    matrix = torch.zeros(n, n)
    edges = torch.from_numpy(graph.edges)
    matrix[: nodes.n_features, : nodes.n_sources] = edges[: nodes.n_features]
    matrix[nodes.n_sources :, : nodes.n_sources] = edges[nodes.n_features :]
    return matrix


def shares(matrix: Tensor) -> Tensor:
    """Each row of |edges| divided by its sum."""
    sizes = matrix.abs()
    return sizes / sizes.sum(dim=1, keepdim=True).clamp(min=1e-10)


def flowed(a: Tensor, start: Tensor) -> Tensor:
    """Start · (A + A² + …)."""
    step = start @ a
    found = torch.zeros_like(step)
    while step.any():
        found += step
        step = step @ a
    return found


def least(scores: Tensor, share: float) -> Tensor:
    """The score at which the descending sum reaches the share."""
    ordered = torch.sort(scores.flatten(), descending=True).values
    reached = torch.cumsum(ordered, dim=0) / ordered.sum()
    return ordered[min(int(torch.searchsorted(reached, share)), len(ordered) - 1)]


def dense(nodes: Nodes, matrix: Tensor) -> Kept:
    """The definition, step by step."""
    f, fixed = nodes.n_features, nodes.token_columns.start
    start = torch.zeros(len(matrix))
    start[nodes.n_sources :] = torch.tensor([logit.weight for logit in nodes.logits])
    found = flowed(shares(matrix), start)
    kept = found >= least(found, NODE_SHARE)
    kept[fixed:] = True
    cut = matrix.clone()
    cut[~kept] = 0
    cut[:, ~kept] = 0
    a = shares(cut)
    scores = a * (flowed(a, start) + start)[:, None]
    edges = scores >= least(scores, EDGE_SHARE)
    before = torch.zeros_like(kept)
    while not torch.equal(kept, before):
        before = kept.clone()
        edges[~kept] = False
        edges[:, ~kept] = False
        kept[:fixed] &= edges[:, :fixed].any(dim=0)
        kept[:f] &= edges[:f].any(dim=1)
    return Kept(kept[:f].numpy(), int(edges.sum()))


def way(name: str, graph: AttributionGraph) -> Callable[[], Kept]:
    """One of the two, ready to run."""
    if name == "ours":
        return lambda: ours(graph)
    matrix = squared(graph)
    return lambda: dense(graph.nodes, matrix)


def peak_mb() -> float:
    """This process's peak so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def extra_mb(name: str, n_features: int) -> float:
    """Peak of one way beyond what building its input took, in a fresh process."""
    command = [sys.executable, __file__, "--features", str(n_features), "--peak-of", name]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, default=9000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak-of", choices=["ours", "dense"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    out = sys.stdout
    if options.peak_of:
        run, before = way(options.peak_of, make_graph(options.features)), peak_mb()
        run()
        out.write(f"{peak_mb() - before}\n")
        return
    # First of all, because a process begins with the peak of the one that starts it.
    extra = {name: extra_mb(name, options.features) for name in ("dense", "ours")}
    graph = make_graph(options.features)
    ways = {name: way(name, graph) for name in ("dense", "ours")}
    kept = {name: run() for name, run in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    same = np.array_equal(kept["dense"].features, kept["ours"].features)
    out.write(
        f"{graph.nodes.n_features} features, {graph.nodes.n_sources} sources, "
        f"{np.count_nonzero(graph.edges)} edges; {torch.get_num_threads()} threads; "
        f"{options.rounds} rounds\n"
        f"the same features remain: {'yes' if same else 'NO'} ({kept['ours'].features.sum()}); "
        f"edges: dense {kept['dense'].n_edges}, ours {kept['ours'].n_edges}\n"
    )
    for name, median in medians.items():
        out.write(f"{name:6} {median:7.3f} s   {extra[name]:7.0f} MB extra\n")
    out.write(
        f"{medians['dense'] / medians['ours']:.1f}x faster, "
        f"{extra['ours'] / extra['dense']:.3f} of the extra memory\n"
    )


if __name__ == "__main__":
    main()
