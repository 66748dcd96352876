"""What a graph JSON tells of why its attention features look where they do.

A node of the type `lorsa` may have `qk_tracing_results`; nodes that they name and `nodes` does not
have stand in `qk_only_nodes`, by id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer.errors import UsageError, shorten, show
from tracer.hypothesis.neuronpedia_ids import (
    EMBEDDING,
    ERROR,
    FEATURE,
    LOGIT,
    LORSA,
    LORSA_ERROR,
    FeatureName,
    cantor,
    parse_attention_error,
    parse_attention_feature,
    parse_embedding,
    parse_error,
    parse_file_feature,
)
from tracer.record.graph.neuronpedia_entries import Entries, PlacedEntry, our_id
from tracer.record.graph.neuronpedia_format import GraphFile, NodeEntry, QkEntry
from tracer.record.graph.qk_tracing import MOST_CONTRIBUTORS, Contributor, QkTracing, QkTracings

_PLACED = {
    FEATURE: (parse_file_feature, 1),
    LORSA: (parse_attention_feature, 0),
    ERROR: (parse_error, 1),
    LORSA_ERROR: (parse_attention_error, 0),
}
"""How the id of a node of a layer is read, and whether it comes after the layer's attention."""


def read_tracings(file: GraphFile, entries: Entries) -> QkTracings | None:
    """What a file tells, under our ids; None where it tells nothing.

    Raises:
        UsageError: A node is named that is nowhere described, or that the feature cannot read; or
            a list is too long.
    """
    traced = [node for node in file.nodes if node.qk_tracing_results is not None]
    for node in traced:
        if node.feature_type != LORSA:
            raise UsageError(
                f"the node {show(node.node_id)} of the type {shorten(node.feature_type)!r} has "
                f"`qk_tracing_results`; only those of the type {LORSA!r} can."
            )
    for name, node in file.qk_only_nodes.items():
        if name != node.node_id:
            raise UsageError(f"qk_only_nodes: {show(name)} has the `node_id` {show(node.node_id)}.")
    known = file.qk_only_nodes | {node.node_id: node for node in file.nodes}
    places = {each.entry.node_id: each for each in entries.features if each.of_attention}
    features: dict[str, QkTracing] = {}
    contributors: dict[str, Contributor] = {}
    for node in traced:
        assert node.qk_tracing_results is not None
        found = _tracing(node.node_id, node.qk_tracing_results)
        for name in found.ids():
            if name not in known:
                raise UsageError(
                    f"the node {show(node.node_id)}: its `qk_tracing_results` name {show(name)}, "
                    "which is neither in `nodes` nor in `qk_only_nodes`."
                )
            ours = our_id(known[name], entries.n_layers)
            contributors[ours] = _contributor(known[name], places[node.node_id])
        if found.ids():
            ours = our_id(node, entries.n_layers)
            features[ours] = _renamed(found, known, entries.n_layers)
    return QkTracings(features=features, contributors=contributors) if features else None


def _tracing(name: str, found: QkEntry) -> QkTracing:
    pairs, queries, keys = (
        tuple(found.pair_wise_contributors),
        tuple(found.top_q_marginal_contributors),
        tuple(found.top_k_marginal_contributors),
    )
    longest = max(len(pairs), len(queries), len(keys))
    if longest > MOST_CONTRIBUTORS:
        raise UsageError(
            f"the node {show(name)}: a list of its `qk_tracing_results` has {longest:,} entries; "
            f"at most {MOST_CONTRIBUTORS:,} are read."
        )
    return QkTracing(pairs=pairs, queries=queries, keys=keys)


def _renamed(found: QkTracing, known: Mapping[str, NodeEntry], n_layers: int) -> QkTracing:
    names = {name: our_id(known[name], n_layers) for name in found.ids()}
    return QkTracing(
        pairs=tuple((names[query], names[key], weight) for query, key, weight in found.pairs),
        queries=tuple((names[name], weight) for name, weight in found.queries),
        keys=tuple((names[name], weight) for name, weight in found.keys),
    )


def _contributor(node: NodeEntry, of: PlacedEntry[FeatureName]) -> Contributor:
    layer, pos, depth = _place(node)
    is_before = depth < 2 * of.name.layer and node.feature_type != LOGIT
    if pos > of.name.pos or not is_before:
        raise UsageError(
            f"the node {show(of.entry.node_id)}: its `qk_tracing_results` name "
            f"{show(node.node_id)}, which does not come before it."
        )
    return Contributor(
        kind=node.feature_type,
        layer=layer,
        position=pos,
        label=node.clerp,
        activation=node.activation,
    )


def _place(node: NodeEntry) -> tuple[int, int, int]:
    """Layer, position and depth; what is constant comes before everything."""
    if node.feature_type in _PLACED:
        parse, after = _PLACED[node.feature_type]
        if name := parse(node.node_id):
            return name.layer, name.pos, 2 * name.layer + after
    elif node.feature_type == EMBEDDING:
        if name := parse_embedding(node.node_id):
            return -1, name.pos, -1
    elif node.ctx_idx >= 0 and (node.layer == "E" or node.layer.isdecimal()):
        layer = -1 if node.layer == "E" else int(node.layer[:9])
        if layer <= 100_000:
            return layer, node.ctx_idx, -1
    raise UsageError(
        f"the node {show(node.node_id)} of the type {shorten(node.feature_type)!r}, which "
        "`qk_tracing_results` name, has no id, `layer` or `ctx_idx` that says where it stands."
    )


def as_data(found: QkTracing) -> dict[str, Any]:
    """What a node has under `qk_tracing_results`."""
    return {
        "pair_wise_contributors": [list(each) for each in found.pairs],
        "top_q_marginal_contributors": [list(each) for each in found.queries],
        "top_k_marginal_contributors": [list(each) for each in found.keys],
    }


def feature_number(name: str, kind: str) -> int | None:
    """What a described node has under `feature`."""
    parse = {FEATURE: parse_file_feature, LORSA: parse_attention_feature}.get(kind)
    found = parse(name) if parse else None
    return cantor(found.layer, found.feature) if found else None
