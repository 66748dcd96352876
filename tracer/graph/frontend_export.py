"""A graph as the JSON that Neuronpedia and circuit-tracer's page show.

The page's `influence` of a node is no influence but its rank: the share of all influence that the
nodes down to this one carry together, the strongest first. Its slider hides the nodes above its
setting, and ends at `node_threshold`; so the ranks of a pruned graph end there too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tracer import __version__
from tracer.atomic import write_bytes
from tracer.errors import UsageError
from tracer.graph.frontend_ids import (
    EMBEDDING,
    ERROR,
    FEATURE,
    FIRST_VIRTUAL_TOKEN,
    LOGIT,
    cantor,
    embedding_id,
    error_id,
    feature_id,
    logit_id,
)
from tracer.graph.graph import AttributionGraph, Pruning

MAX_BYTES = 100_000_000
"""Neuronpedia takes no larger file."""

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)
_WHOLE = Pruning(nodes=1.0, edges=1.0)


def export(
    graph: AttributionGraph,
    influences: Float[np.ndarray, " source"],
    slug: str,
    scan: str | None = None,
) -> dict[str, Any]:
    """The graph as plain data, ready for JSON.

    Args:
        graph: pruned, as a rule.
        influences: of each source on the logits, ≥ 0, in the order of the edges' columns.
        slug: the graph's name in its file name and URL.
        scan: what the page calls the model; without it, the model's name less its owner.

    Raises:
        UsageError: the slug has characters that no file name or URL can do without harm.
    """
    if not _SLUG.fullmatch(slug):
        raise UsageError(
            f"{slug!r} is no slug: letters, digits, '.', '_' and '-' are allowed, at most 200 of "
            "them, a letter or digit first."
        )
    kept = (graph.pruning or _WHOLE).nodes
    nodes = [*_sources(graph, _ranks(influences, kept)), *_logits(graph)]
    return {
        "metadata": _metadata(graph, slug, scan),
        "qParams": {
            "pinnedIds": [],
            "supernodes": [],
            "linkType": "both",
            "clickedId": "",
            "sg_pos": "",
        },
        "nodes": nodes,
        "links": _links(graph, [node["node_id"] for node in nodes]),
    }


def write(
    path: Path,
    graph: AttributionGraph,
    influences: Float[np.ndarray, " source"],
    slug: str,
    scan: str | None = None,
) -> None:
    """Write what `export` gives, whole or not at all.

    Raises:
        UsageError: a bad slug, or more than Neuronpedia takes.
        OSError: it cannot be written.
    """
    data = export(graph, influences, slug, scan)
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    content = (text + "\n").encode("utf-8", "backslashreplace")
    if len(content) > MAX_BYTES:
        raise UsageError(
            f"{path}: the graph's JSON has {len(content) / 1e6:.0f} MB; Neuronpedia takes at most "
            f"{MAX_BYTES / 1e6:.0f} MB. Prune more."
        )
    write_bytes(path, content)


def _metadata(graph: AttributionGraph, slug: str, scan: str | None) -> dict[str, Any]:
    subject, pruning = graph.subject, graph.pruning
    metadata: dict[str, Any] = {
        "slug": slug,
        "scan": scan or subject.model.rpartition("/")[2],
        "transcoder_list": [],
        "prompt_tokens": list(subject.tokens),
        "prompt": subject.prompt,
        "node_threshold": (pruning or _WHOLE).nodes,
        "schema_version": 1,
        "info": {
            "transcoder_set": subject.basis,
            "generator": {"name": "tracer", "version": __version__},
        },
    }
    if pruning:
        metadata["pruning_settings"] = {
            "node_threshold": pruning.nodes,
            "edge_threshold": pruning.edges,
        }
    return metadata


def _ranks(influences: Float[np.ndarray, " source"], kept: float) -> list[float]:
    """Cumulative share of influence at each source's rank, the last one's being `kept`."""
    assert np.isfinite(influences).all() and (influences >= 0).all()
    total = influences.sum(dtype=np.float64)
    if total == 0:
        return [kept] * len(influences)
    order = np.argsort(-influences, kind="stable")
    cumulative = np.cumsum(influences[order], dtype=np.float64)
    ranks = np.empty(len(influences))
    ranks[order] = cumulative / cumulative[-1] * kept
    return ranks.tolist()


def _sources(graph: AttributionGraph, ranks: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Features, errors and tokens, in the order of the edges' columns."""
    rank = iter(ranks)
    nodes = graph.nodes
    activations = _shortest(nodes.activations)
    for (layer, pos, index), activation in zip(nodes.features.tolist(), activations, strict=True):
        name = feature_id(layer, index, pos)
        node = _node(name, FEATURE, str(layer), pos, cantor(layer, index), f"{layer}_{index}-0")
        yield node | {"influence": next(rank), "activation": activation}
    for layer, pos in nodes.errors.tolist():
        node = _node(error_id(layer, pos), ERROR, str(layer), pos, -1, f"{layer}_-1-{pos}")
        yield node | {"influence": next(rank)}
    for pos in nodes.tokens.tolist():
        token = graph.subject.token_ids[pos]
        node = _node(embedding_id(token, pos), EMBEDDING, "E", pos, pos, f"E_{token}-{pos}")
        yield node | {"influence": next(rank)}


def _logits(graph: AttributionGraph) -> Iterator[dict[str, Any]]:
    pos = len(graph.subject.tokens) - 1
    n_layers = graph.subject.n_layers
    for n, logit in enumerate(graph.nodes.logits):
        token = FIRST_VIRTUAL_TOKEN + n if logit.token is None else logit.token
        name = logit_id(n_layers, token, pos)
        node = _node(name, LOGIT, str(n_layers + 1), pos, token, f"L_{token}-{pos}")
        yield node | {
            "token_prob": logit.weight,
            "is_target_logit": n == 0,
            "clerp": f'Output "{logit.label}" (p={logit.weight:.3f})',
        }


def _node(
    node_id: str, feature_type: str, layer: str, pos: int, feature: int, js_id: str
) -> dict[str, Any]:
    """A node with what every kind of node has; the kinds fill in theirs."""
    return {
        "node_id": node_id,
        "feature": feature,
        "layer": layer,
        "ctx_idx": pos,
        "feature_type": feature_type,
        "token_prob": 0.0,
        "is_target_logit": False,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": js_id,
        "clerp": "",
        "influence": None,
        "activation": None,
    }


def _links(graph: AttributionGraph, names: Sequence[str]) -> list[dict[str, Any]]:
    """Edges by target, each target's by source; `names` are of sources, then logits."""
    nodes = graph.nodes
    receivers = [*names[: nodes.n_features], *names[nodes.n_sources :]]
    targets, sources = np.nonzero(graph.edges)
    weights = _shortest(graph.edges[targets, sources])
    return [
        {"source": names[source], "target": receivers[target], "weight": weight}
        for target, source, weight in zip(targets.tolist(), sources.tolist(), weights, strict=True)
    ]


def _shortest(numbers: Float[np.ndarray, " n"]) -> list[float]:
    """The shortest decimals that round back to the same float32: half the file."""
    return numbers.astype(np.float32).astype("U32").astype(np.float64).tolist()
