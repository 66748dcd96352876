"""Runs with attribution graphs as large as asked for, for tests of pages that show them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.dashboards import put_run
from tests.graphs import make_graph, make_subject
from tests.records import change, make_graph_record
from tracer.record import run_folder
from tracer.record.graph.files import write as write_graph
from tracer.record.graph.graph import AttributionGraph, Logit, Nodes
from tracer.record.record import FeatureRef

LAYERS, TOKENS = 18, 12


def large_graph(n_features: int, links_each: int = 10, seed: int = 0) -> AttributionGraph:
    """Heavy-tailed links, so many into each feature and a hundred into each of two outputs."""
    rng = np.random.default_rng(seed)
    every = LAYERS * TOKENS * 6144
    flat = np.sort(rng.choice(every, size=n_features, replace=False))
    features = np.stack([flat // (TOKENS * 6144), flat // 6144 % TOKENS, flat % 6144], axis=1)
    errors = np.array([[layer, pos] for layer in range(LAYERS) for pos in range(TOKENS)])
    logits = (Logit(" Austin", 7, 0.5), Logit(" Sacramento", 8, 0.2))
    activations = rng.random(n_features, dtype=np.float32)
    nodes = Nodes(features, activations, errors, np.arange(TOKENS), logits)
    edges = np.zeros((nodes.n_targets, nodes.n_sources), dtype=np.float32)
    far = np.arange(n_features, nodes.n_sources)
    layers = np.concatenate([features[:, 0], errors[:, 0], np.full(TOKENS, -1)])
    for row in range(nodes.n_targets):
        layer = features[row, 0] if row < n_features else LAYERS
        below = np.concatenate([np.arange(np.searchsorted(features[:, 0], layer)), far])
        below = below[layers[below] < layer]
        wanted = links_each if row < n_features else 100
        chosen = rng.choice(below, size=min(wanted, len(below)), replace=False)
        edges[row, chosen] = rng.standard_t(2, len(chosen)) + 1e-3
    return make_graph(nodes, edges, make_subject(TOKENS, LAYERS))


def put_graph_run(root: Path, graph: AttributionGraph, **changes: Any) -> Path:
    """A run whose prompt `dallas` has this graph; its supernode `texas` has six of the features."""
    folder = put_run(root, **changes)
    write_graph(folder / "graph-dallas.json", graph)
    record = run_folder.read_record(folder)
    told = record.prompts["dallas"].model_copy(
        update={
            "tokens": graph.subject.tokens,
            "token_ids": graph.subject.token_ids,
            "spans": {
                "city": (0, 1),
                "last": (len(graph.subject.tokens) - 1, len(graph.subject.tokens)),
            },
        }
    )
    refs = tuple(
        FeatureRef(layer=layer, index=index, position=pos)
        for layer, pos, index in graph.nodes.features[:6].tolist()
    )
    about = make_graph_record(
        n_features=graph.nodes.n_features,
        n_pruned=graph.nodes.n_features,
        members={"texas": len(refs)},
    )
    record = change(record, "prompts.dallas", told)
    record = change(record, "supernodes.texas.features", refs)
    record = change(record, "graphs", {"dallas": about})
    run_folder.write(folder, record, run_folder.read_arrays(folder))
    return folder
