"""A graph as the JSON that Neuronpedia and circuit-tracer's page show.

The page's `influence` of a node is a rank: the share of all influence that the nodes down to this
one carry together, the strongest first. Its slider hides the nodes ranked above its setting and
ends at `node_threshold`; so the ranks of a pruned graph end there too.

What is constant in a target's value (biases, attention's and the MLPs' own) comes from one node of
the type `bias`: the links into a target add up to its pre-activation, as far as nothing is pruned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tracer import __version__
from tracer.errors import UsageError
from tracer.hypothesis.heads import head_id
from tracer.hypothesis.neuronpedia import LabelledIds
from tracer.hypothesis.neuronpedia_ids import (
    BIAS,
    EMBEDDING,
    ERROR,
    FEATURE,
    FIRST_VIRTUAL_TOKEN,
    LOGIT,
    LORSA,
    LORSA_ERROR,
    cantor,
    logit_id,
)
from tracer.hypothesis.studies.graph import MAX_JSON_BYTES
from tracer.record.files import write_bytes
from tracer.record.graph.graph import AttributionGraph, Pruning, source_ids
from tracer.record.graph.neuronpedia_qk import as_data, feature_number
from tracer.record.graph.qk_tracing import QkTracings

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)
_WHOLE = Pruning(nodes=1.0, edges=1.0)
_BIAS_ID = "bias_0_0"


@dataclass(frozen=True)
class PageMarks:
    """What people wrote and marked on the page of a graph, by the ids of its nodes."""

    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """`clerp`: what a node is called; those of logits are written anew."""
    pinned: tuple[str, ...] = ()
    clicked: str = ""


NO_MARKS = PageMarks()


def export(
    graph: AttributionGraph,
    influences: Float[np.ndarray, " source"],
    slug: str,
    scan: str | None = None,
    supernodes: Sequence[LabelledIds] = (),
    marks: PageMarks = NO_MARKS,
) -> dict[str, Any]:
    """The graph as plain data, ready for JSON.

    Args:
        graph: pruned, as a rule.
        influences: of each source on the logits, ≥ 0, in the order of the edges' columns.
        slug: the graph's name in its file name and URL.
        scan: what the page calls the model; without it, the model's name less its owner.
        supernodes: groups of ids, in the graph or not: the page leaves out what it does not find.
        marks: of the file that the graph was read from.

    Raises:
        UsageError: the slug has characters that no file name or URL can do without harm.
    """
    if not _SLUG.fullmatch(slug):
        raise UsageError(
            f"{slug!r} is no slug: letters, digits, '.', '_' and '-' are allowed, at most 200 of "
            "them, a letter or digit first."
        )
    kept = (graph.pruning or _WHOLE).nodes
    names = source_ids(graph.nodes, graph.subject), logit_ids(graph)
    ranks = _ranks(influences, kept)
    sources = [
        node | {"clerp": marks.labels.get(node["node_id"], node["clerp"])}
        for node in _sources(graph, names[0], ranks)
    ]
    nodes = [*sources, *_constants(graph), *_logits(graph, names[1])]
    tracings = graph.tracings and graph.tracings.of(frozenset(names[0]))
    if tracings is not None:
        _add_tracings(nodes, tracings)
    data = {
        "metadata": _metadata(graph, slug, scan),
        "qParams": {
            "pinnedIds": list(marks.pinned),
            "supernodes": [[group.label, *group.ids] for group in supernodes],
            "linkType": "both",
            "clickedId": marks.clicked,
            "sg_pos": "",
        },
        "nodes": nodes,
        "links": _links(graph, *names),
    }
    if tracings is not None:
        data["qk_only_nodes"] = _only_traced(tracings, {node["node_id"] for node in nodes})
    return data


def write(
    path: Path,
    graph: AttributionGraph,
    influences: Float[np.ndarray, " source"],
    slug: str,
    scan: str | None = None,
    supernodes: Sequence[LabelledIds] = (),
    marks: PageMarks = NO_MARKS,
) -> None:
    """Write what `export` gives, whole or not at all.

    Raises:
        UsageError: a bad slug, or more than Neuronpedia takes.
        OSError: it cannot be written.
    """
    data = export(graph, influences, slug, scan, supernodes, marks)
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    content = (text + "\n").encode("utf-8", "backslashreplace")
    if len(content) > MAX_JSON_BYTES:
        raise UsageError(
            f"{path}: the graph's JSON has {len(content) / 1e6:.0f} MB; Neuronpedia takes at most "
            f"{MAX_JSON_BYTES / 1e6:.0f} MB. Prune more."
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
    if graph.nodes.heads:
        metadata["info"]["head_nodes"] = asdict(graph.nodes.heads)
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


def logit_ids(graph: AttributionGraph) -> list[str]:
    """Ids of the logits, in the order of the edges' last rows."""
    pos, n_layers = len(graph.subject.tokens) - 1, graph.subject.n_layers
    return [logit_id(n_layers, token, pos) for token in _vocabulary_ids(graph)]


def _vocabulary_ids(graph: AttributionGraph) -> list[int]:
    logits = graph.nodes.logits
    return [FIRST_VIRTUAL_TOKEN + n if x.token is None else x.token for n, x in enumerate(logits)]


def _sources(
    graph: AttributionGraph, names: Sequence[str], ranks: Sequence[float]
) -> Iterator[dict[str, Any]]:
    rest = zip(names, ranks, strict=True)
    nodes = graph.nodes
    activations = _shortest(nodes.activations)
    attention, errors = set(nodes.attention.tolist()), set(nodes.attention_errors.tolist())
    for row, (layer, pos, index) in enumerate(nodes.features.tolist()):
        name, rank = next(rest)
        number, js_id = cantor(layer, index), f"{layer}_{index}-0"
        kind, js_id = (LORSA, name) if row in attention else (FEATURE, js_id)
        node = _node(name, kind, str(layer), pos, number, js_id)
        if nodes.heads and row in attention:
            node["clerp"] = f"head {head_id(layer, index)}"
        yield node | {"influence": rank, "activation": activations[row]}
    for number, (layer, pos) in enumerate(nodes.errors.tolist()):
        name, rank = next(rest)
        kind, js_id = (LORSA_ERROR, name) if number in errors else (ERROR, f"{layer}_-1-{pos}")
        yield _node(name, kind, str(layer), pos, -1, js_id) | {"influence": rank}
    for pos in nodes.tokens.tolist():
        name, rank = next(rest)
        js_id = f"E_{graph.subject.token_ids[pos]}-{pos}"
        yield _node(name, EMBEDDING, "E", pos, pos, js_id) | {"influence": rank}


def _add_tracings(nodes: Sequence[dict[str, Any]], tracings: QkTracings) -> None:
    for node in nodes:
        if node["node_id"] in tracings.features:
            node["qk_tracing_results"] = as_data(tracings.features[node["node_id"]])


def _only_traced(tracings: QkTracings, there: Collection[str]) -> dict[str, dict[str, Any]]:
    """Nodes that tracings name and the graph has not, by id."""
    found: dict[str, dict[str, Any]] = {}
    for name, each in tracings.contributors.items():
        if name not in there:
            layer = "E" if each.layer < 0 else str(each.layer)
            number = feature_number(name, each.kind)
            node = _node(name, each.kind, layer, each.position, number, name)
            found[name] = node | {"clerp": each.label, "activation": each.activation}
    return found


def _constants(graph: AttributionGraph) -> Iterator[dict[str, Any]]:
    """One node, where anything is constant; it has no place, and stands with the first token."""
    if graph.constants.any():
        yield _node(_BIAS_ID, BIAS, "E", 0, -1, "bias-0") | {"clerp": "Biases"}


def _logits(graph: AttributionGraph, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    pos, layer = len(graph.subject.tokens) - 1, str(graph.subject.n_layers + 1)
    tokens = _vocabulary_ids(graph)
    for n, (name, token, logit) in enumerate(zip(names, tokens, graph.nodes.logits, strict=True)):
        node = _node(name, LOGIT, layer, pos, token, f"L_{token}-{pos}")
        yield node | {
            "token_prob": logit.weight,
            "is_target_logit": n == 0,
            "clerp": f'Output "{logit.label}" (p={logit.weight:.3f})',
        }


def _node(
    node_id: str, feature_type: str, layer: str, pos: int, feature: int | None, js_id: str
) -> dict[str, Any]:
    """The keys that every kind of node has."""
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


def _links(
    graph: AttributionGraph, senders: Sequence[str], logits: Sequence[str]
) -> list[dict[str, Any]]:
    """Edges by target, each target's by source; then what is constant."""
    receivers = [*senders[: graph.nodes.n_features], *logits]
    targets, sources = np.nonzero(graph.edges)
    weights = _shortest(graph.edges[targets, sources])
    (constant,) = np.nonzero(graph.constants)
    constants = _shortest(graph.constants[constant])
    return [
        *(
            {"source": senders[source], "target": receivers[target], "weight": weight}
            for target, source, weight in zip(
                targets.tolist(), sources.tolist(), weights, strict=True
            )
        ),
        *(
            {"source": _BIAS_ID, "target": receivers[target], "weight": weight}
            for target, weight in zip(constant.tolist(), constants, strict=True)
        ),
    ]


def _shortest(numbers: Float[np.ndarray, " n"]) -> list[float]:
    """The shortest decimals that round back to the same float32: half the file."""
    return numbers.astype(np.float32).astype("U32").astype(np.float64).tolist()
