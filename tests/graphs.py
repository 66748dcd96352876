"""Small attribution graphs: one worked out by hand, random ones, and the definitions, densely."""

from __future__ import annotations

import numpy as np

from tracer.record.graph.graph import AttributionGraph, Logit, Nodes, Subject


def make_subject(n_tokens: int = 2, n_layers: int = 2) -> Subject:
    words = tuple(f" t{n}" for n in range(n_tokens))
    ids = tuple(range(n_tokens))
    return Subject("".join(words), words, ids, "toy", "f00d", "neurons", n_layers, 40, 0.9)


def make_graph(nodes: Nodes, edges, subject: Subject | None = None) -> AttributionGraph:
    edges = np.asarray(edges, dtype=np.float32).reshape(nodes.n_targets, nodes.n_sources)
    constants = np.linspace(-1, 1, nodes.n_targets, dtype=np.float32)
    values = edges.sum(axis=1) + constants
    return AttributionGraph(subject or make_subject(), nodes, edges, constants, values)


def hand_graph() -> AttributionGraph:
    """Features A, B (layer 0) and C (layer 1), error e, tokens s and t, logits X and Y.

    Rows of |edges| sum to 2 and 4, so every share is a multiple of 1/4.
    """
    nodes = Nodes(
        features=np.array([[0, 0, 5], [0, 1, 7], [1, 1, 2]]),
        activations=np.array([1.0, 2.0, 3.0], dtype=np.float32),
        errors=np.array([[0, 1]]),
        tokens=np.array([0, 1]),
        logits=(Logit(" X", 3, 0.6), Logit(" Y", 4, 0.3)),
    )
    edges = [  #  A   B  C  e   s  t
        [0, 0, 0, 0, 2, 0],  # A
        [0, 0, 0, 0, -1, 3],  # B
        [1, -2, 0, 1, 0, 0],  # C
        [0, 0, 3, 1, 0, 0],  # X
        [0, 1, 1, 0, 0, 2],  # Y
    ]
    return make_graph(nodes, edges)


def random_graph(seed: int, n_features: int = 60, density: float = 0.5) -> AttributionGraph:
    """Four layers, five positions, every error and token, three logits, heavy-tailed edges."""
    rng = np.random.default_rng(seed)
    n_layers, n_tokens = 4, 5
    places = rng.choice(n_layers * n_tokens * 30, size=n_features, replace=False)
    features = np.array([[p // 150, p // 30 % 5, p % 30] for p in np.sort(places)]).reshape(-1, 3)
    errors = np.array([[layer, pos] for layer in range(n_layers) for pos in range(n_tokens)])
    logits = tuple(
        Logit(f" l{n}", n, float(w)) for n, w in enumerate(rng.dirichlet([1, 1, 1, 1])[:3])
    )
    activations = rng.random(n_features, dtype=np.float32)
    nodes = Nodes(features, activations, errors, np.arange(n_tokens), logits)
    layer_of_target = np.concatenate([features[:, 0], [n_layers] * 3])
    layer_of_source = np.concatenate([features[:, 0], errors[:, 0], [-1] * n_tokens])
    shape = (nodes.n_targets, nodes.n_sources)
    may = layer_of_source[None, :] < layer_of_target[:, None]
    edges = rng.standard_t(2, shape) * (rng.random(shape) < density) * may
    return make_graph(nodes, edges, make_subject(n_tokens, n_layers))


def empty_graph() -> AttributionGraph:
    """No feature and no error was kept."""
    none = np.zeros((0, 3), dtype=np.int64)
    nodes = Nodes(none, np.zeros(0, np.float32), none[:, :2], np.arange(2), (Logit(" X", 3, 0.5),))
    return make_graph(nodes, [[1, -3]])


def square(graph: AttributionGraph):
    """All nodes against all, float64: features, errors, tokens, logits; and the logits' weights."""
    nodes = graph.nodes
    n, f, n_logits = nodes.n_sources + len(nodes.logits), nodes.n_features, len(nodes.logits)
    matrix = np.zeros((n, n))
    matrix[:f, : nodes.n_sources] = graph.edges[:f]
    matrix[n - n_logits :, : nodes.n_sources] = graph.edges[f:]
    start = np.zeros(n)
    start[n - n_logits :] = [logit.weight for logit in nodes.logits]
    return matrix, start


def shares(matrix):
    """Each row of |edges| divided by its sum."""
    sums = np.abs(matrix).sum(axis=1, keepdims=True)
    return np.abs(matrix) / np.where(sums > 0, sums, 1)


def dense_influence(matrix, start):
    """start · (A + A² + …), by powers of the matrix."""
    a, found, power = shares(matrix), np.zeros(len(start)), np.eye(len(start))
    while power.any():
        power = power @ a
        found += start @ power
    return found
