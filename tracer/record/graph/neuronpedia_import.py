"""Read a graph file: tracer's own, or the JSON that Neuronpedia and circuit-tracer write.

The content of a file decides which it is, not its name. In the JSON, a node's id and type say what
and where it is; its `feature`, written in several ways, is not read. What nodes of the type `bias`
send is a target's constant. The JSON lacks part of a graph: a target's value is the sum of what
comes in; the relevance share is 0; a token without a node has the id −1; the model's fingerprint is
empty; active features are those in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Float
from pydantic import ValidationError

from tracer.errors import UsageError, show
from tracer.hypothesis.neuronpedia import LabelledIds, supernodes
from tracer.hypothesis.neuronpedia_ids import (
    BIAS,
    FIRST_VIRTUAL_TOKEN,
    LOGIT,
    LogitName,
    error_id,
    parse_error,
)
from tracer.record.graph import files, neuronpedia_format
from tracer.record.graph.format import SCHEMA
from tracer.record.graph.graph import AttributionGraph, Logit, Nodes, Pruning, Subject, source_ids
from tracer.record.graph.heads import HeadNodes
from tracer.record.graph.neuronpedia_entries import Entries, our_id, read_entries
from tracer.record.graph.neuronpedia_export import NO_MARKS, PageMarks, logit_ids
from tracer.record.graph.neuronpedia_format import (
    GraphFile,
    HeadNodesEntry,
    LinkEntry,
    Metadata,
    NodeEntry,
    misfits,
)
from tracer.record.graph.neuronpedia_links import AmbiguousColumns, NameIndex, edge_matrix
from tracer.record.graph.neuronpedia_qk import read_tracings
from tracer.record.trials import FeatureTokens

MAX_EDGES = 1 << 28
"""Room for edges, there or not: 1 GiB."""
_N_MISFITS = 3
_OURS = SCHEMA.partition("/")[0] + "/"
"""How the schema of each version of ours begins; `files.read` refuses those it cannot read."""
_OUTPUT = re.compile(r'(?:Output |Logit )?"(.*)" \(p=([0-9.]{1,20})\)', re.DOTALL)


class Existing(NamedTuple):
    """A graph with what its file keeps beside it."""

    graph: AttributionGraph
    supernodes: tuple[LabelledIds, ...]
    """Ids as written; ours keep none."""
    marks: PageMarks
    """Ours keep none."""
    sha256: str
    """Of the JSON file, which for ours names the hash of its tensors."""
    features: Mapping[str, FeatureTokens] = {}
    """What ours tell of features, by id."""


def read_either(path: Path) -> Existing:
    """Read a graph in either format.

    Raises:
        UsageError: There is none, it is in neither format, or it is unsound or too large.
    """
    found = neuronpedia_format.read(path)
    data = cast(dict[str, Any], found.data) if isinstance(found.data, dict) else {}
    schema = data.get("schema")
    if isinstance(schema, str) and schema.startswith(_OURS):
        told = files.read_features(path)
        return Existing(files.read(path), (), NO_MARKS, found.sha256, told)
    if "nodes" not in data and "links" not in data:
        raise UsageError(
            f"{path}: no attribution graph: tracer's have the schema {SCHEMA!r}, those of "
            "Neuronpedia and circuit-tracer have `nodes` and `links`."
        )
    try:
        return _of_data(data, found.sha256)
    except UsageError as problem:
        raise UsageError(f"{path}: {problem}") from None


def _of_data(data: dict[str, Any], sha256: str) -> Existing:
    """The graph of a parsed graph JSON, with what it keeps beside it.

    Raises:
        UsageError: it is no such graph.
    """
    file = _parse(data)
    entries = read_entries(file.nodes, len(file.metadata.prompt_tokens))
    names = entries.renamed
    groups = tuple(
        LabelledIds(label, tuple(names.get(name, name) for name in ids))
        for label, ids in supernodes(data).items()
    )
    return Existing(_graph(file, entries), groups, _marks(file, entries), sha256)


def _marks(file: GraphFile, entries: Entries) -> PageMarks:
    """Labels, pins and the node in view, under the ids that are written."""
    labels = {
        our_id(node, entries.n_layers): node.clerp
        for node in file.nodes
        if node.clerp and node.feature_type not in (LOGIT, BIAS)
    }
    names, pinned, clicked = entries.renamed, file.qParams.pinnedIds, file.qParams.clickedId
    ids = pinned.split(",") if isinstance(pinned, str) else cast(list[object], pinned)
    kept = dict.fromkeys(names.get(name, name) for name in ids if isinstance(name, str) and name)
    clicked = names.get(clicked, clicked) if isinstance(clicked, str) else ""
    return PageMarks(labels, tuple(kept), clicked)


def absent(ids: Iterable[str], graph: AttributionGraph) -> frozenset[str]:
    """Those of the ids that name no node of the graph; an error may have its older name."""
    there = {*source_ids(graph.nodes, graph.subject), *logit_ids(graph)}
    return frozenset(name for name in ids if name not in there and _newer(name) not in there)


def _newer(name: str) -> str:
    error = parse_error(name)
    return name if error is None else error_id(error.layer, error.pos)


def _parse(data: object) -> GraphFile:
    try:
        return GraphFile.model_validate(data)
    except ValidationError as error:
        found = misfits(error)
        more = f"; and {len(found) - _N_MISFITS} more" if len(found) > _N_MISFITS else ""
        raise UsageError(f"no graph JSON: {'; '.join(found[:_N_MISFITS])}{more}.") from None


def _graph(file: GraphFile, entries: Entries) -> AttributionGraph:
    nodes = _nodes(entries, file.metadata.info.head_nodes)
    if nodes.n_targets * nodes.n_sources > MAX_EDGES:
        raise UsageError(
            f"{nodes.n_targets:,} × {nodes.n_sources:,} edges are possible between its nodes; at "
            f"most {MAX_EDGES:,} are read. Prune it more."
        )
    names = _name_index(entries)
    biases = {node.node_id for node in file.nodes if node.feature_type == BIAS} - {*names.columns}
    edges = edge_matrix([link for link in file.links if link.source not in biases], nodes, names)
    constants = _constants([link for link in file.links if link.source in biases], nodes, names)
    return AttributionGraph(
        subject=_subject(file.metadata, entries),
        nodes=nodes,
        edges=edges,
        constants=constants,
        values=edges.sum(1) + constants,
        pruning=_pruning(file.metadata),
        tracings=read_tracings(file, entries),
    )


def _constants(
    links: Sequence[LinkEntry], nodes: Nodes, names: NameIndex
) -> Float[np.ndarray, " target"]:
    """What the bias nodes send to each target."""
    found = np.zeros(nodes.n_targets, dtype=np.float32)
    for link in links:
        if link.target not in names.rows:
            raise UsageError(
                f"the node {show(link.source)} sends to {show(link.target)}, which receives no "
                "links, or is none."
            )
        found[names.rows[link.target]] += link.weight
    return found


def _nodes(entries: Entries, told: HeadNodesEntry | None) -> Nodes:
    features = [(each.name.layer, each.name.pos, each.name.feature) for each in entries.features]
    activations = [each.entry.activation or 0.0 for each in entries.features]
    errors = [(each.name.layer, each.name.pos) for each in entries.errors]
    return Nodes(
        features=np.array(features, dtype=np.int64).reshape(-1, 3),
        activations=np.array(activations, dtype=np.float32),
        errors=np.array(errors, dtype=np.int64).reshape(-1, 2),
        tokens=np.array([each.name.pos for each in entries.tokens], dtype=np.int64),
        logits=tuple(_logit(each.name, each.entry) for each in entries.logits),
        attention=np.flatnonzero([each.of_attention for each in entries.features]),
        attention_errors=np.flatnonzero([each.of_attention for each in entries.errors]),
        heads=_heads(entries, told),
    )


def _heads(entries: Entries, told: HeadNodesEntry | None) -> HeadNodes | None:
    if not entries.has_heads:
        return None
    n = sum(each.of_attention for each in entries.features)
    return HeadNodes(n, 0.0) if told is None else HeadNodes(told.n_all, told.relevance_share)


def _logit(name: LogitName, entry: NodeEntry) -> Logit:
    """The token's text is in the label only; in older files so is its probability."""
    output = _OUTPUT.fullmatch(entry.clerp)
    weight = entry.token_prob
    if weight is None and output and output[2].count(".") < 2 and output[2] != ".":
        weight = float(output[2])
    if weight is None or not 0 <= weight <= 1:
        raise UsageError(
            f"the logit {show(entry.node_id)} has no probability from 0 to 1: `token_prob`."
        )
    is_token = name.token < FIRST_VIRTUAL_TOKEN
    return Logit(output[1] if output else entry.clerp, name.token if is_token else None, weight)


def _name_index(entries: Entries) -> NameIndex:
    columns: dict[str, int] = {}
    ambiguous: dict[str, AmbiguousColumns] = {}
    sources = (*entries.features, *entries.errors, *entries.tokens)
    for column, each in enumerate(sources):
        name = each.entry.node_id
        if name in columns:
            ambiguous[name] = AmbiguousColumns(columns.pop(name), column)
        else:
            columns[name] = column
    targets = (*entries.features, *entries.logits)
    rows = {each.entry.node_id: row for row, each in enumerate(targets)}
    return NameIndex(rows, columns, ambiguous)


def _subject(metadata: Metadata, entries: Entries) -> Subject:
    known = {each.name.pos: each.name.token for each in entries.tokens}
    return Subject(
        prompt=metadata.prompt,
        tokens=tuple(metadata.prompt_tokens),
        token_ids=tuple(known.get(pos, -1) for pos in range(len(metadata.prompt_tokens))),
        model=metadata.scan,
        fingerprint="",
        basis=metadata.info.transcoder_set or metadata.scan,
        n_layers=entries.n_layers,
        n_active=len(entries.features),
        relevance_share=0.0,
    )


def _pruning(metadata: Metadata) -> Pruning | None:
    """A missing edge share counts as 1."""
    settings = metadata.pruning_settings
    nodes = settings.node_threshold
    if nodes is None:
        nodes = metadata.node_threshold
    if nodes is None or (nodes == 1 and settings.edge_threshold is None):
        return None
    return Pruning(nodes, 1.0 if settings.edge_threshold is None else settings.edge_threshold)
