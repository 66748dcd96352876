"""Read a graph file: tracer's own, or the JSON that Neuronpedia and circuit-tracer write.

The content of a file decides which it is, not its name. In the JSON, a node's id and type say what
and where it is; its `feature`, written in several ways, is not read. What nodes of the type `bias`
send is a target's constant. The JSON lacks part of a graph: a target's value is the sum of what
comes in; the relevance share is 0; a token without a node has the id −1; the model's fingerprint is
empty; active features are those in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from jaxtyping import Float
from pydantic import ValidationError

from tracer.errors import UsageError, listed, shorten, show
from tracer.hypothesis.neuronpedia import LabelledIds, supernodes
from tracer.hypothesis.neuronpedia_ids import (
    BIAS,
    EMBEDDING,
    ERROR,
    FEATURE,
    FIRST_VIRTUAL_TOKEN,
    LOGIT,
    EmbeddingName,
    ErrorName,
    FeatureName,
    LogitName,
    error_id,
    parse_embedding,
    parse_error,
    parse_feature,
    parse_logit,
)
from tracer.record.graph import files, neuronpedia_format
from tracer.record.graph.format import SCHEMA
from tracer.record.graph.graph import AttributionGraph, Logit, Nodes, Pruning, Subject
from tracer.record.graph.neuronpedia_export import NO_MARKS, PageMarks, logit_ids, source_ids
from tracer.record.graph.neuronpedia_format import (
    GraphFile,
    LinkEntry,
    Metadata,
    NodeEntry,
    misfits,
)
from tracer.record.graph.neuronpedia_links import AmbiguousColumns, NameIndex, edge_matrix
from tracer.record.trials import FeatureTokens

MAX_EDGES = 1 << 28
"""Room for edges, there or not: 1 GiB."""
_N_MISFITS = 3
_OURS = SCHEMA.partition("/")[0] + "/"
"""How the schema of each version of ours begins; `files.read` refuses those it cannot read."""
_OUTPUT = re.compile(r'(?:Output )?"(.*)" \(p=([0-9.]{1,20})\)', re.DOTALL)
Name = TypeVar("Name", FeatureName, ErrorName, EmbeddingName, LogitName)


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
    graph, marks = _of_data(data, path)
    return Existing(graph, _supernodes(data, path), marks, found.sha256)


def _of_data(data: dict[str, Any], path: Path) -> tuple[AttributionGraph, PageMarks]:
    """The graph of a parsed graph JSON, and its marks; sentences name the file at `path`.

    Raises:
        UsageError: it is no such graph.
    """
    try:
        file = _parse(data)
        return _graph(file), _marks(file)
    except UsageError as problem:
        raise UsageError(f"{path}: {problem}") from None


def _marks(file: GraphFile) -> PageMarks:
    """Labels, pins and the node in view, under the ids that are written; an error's is newer."""
    labels = {
        _newer(node.node_id) if node.feature_type == ERROR else node.node_id: node.clerp
        for node in file.nodes
        if node.clerp and node.feature_type not in (LOGIT, BIAS)
    }
    pinned, clicked = file.qParams.pinnedIds, file.qParams.clickedId
    ids = pinned.split(",") if isinstance(pinned, str) else cast(list[object], pinned)
    kept = dict.fromkeys(name for name in ids if isinstance(name, str) and name)
    return PageMarks(labels, tuple(kept), clicked if isinstance(clicked, str) else "")


def _supernodes(data: dict[str, Any], path: Path) -> tuple[LabelledIds, ...]:
    try:
        return tuple(LabelledIds(label, ids) for label, ids in supernodes(data).items())
    except UsageError as problem:
        raise UsageError(f"{path}: {problem}") from None


def absent(ids: Iterable[str], graph: AttributionGraph) -> frozenset[str]:
    """Those of the ids that name no node of the graph; an error may have its older name."""
    there = {*source_ids(graph), *logit_ids(graph)}
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


def _graph(file: GraphFile) -> AttributionGraph:
    entries = _entries(file.nodes)
    n_layers = _n_layers(list(entries.logits))
    _check_places(entries, n_layers, len(file.metadata.prompt_tokens))
    nodes = _nodes(entries)
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
        subject=_subject(file.metadata, entries, n_layers),
        nodes=nodes,
        edges=edges,
        constants=constants,
        values=edges.sum(1) + constants,
        pruning=_pruning(file.metadata),
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


class _Entries(NamedTuple):
    """A file's nodes by what their ids say, in the order of the edge matrix."""

    features: dict[FeatureName, NodeEntry]
    errors: dict[ErrorName, NodeEntry]
    tokens: dict[EmbeddingName, NodeEntry]
    logits: dict[LogitName, NodeEntry]


def _entries(nodes: Sequence[NodeEntry]) -> _Entries:
    known = [FEATURE, ERROR, EMBEDDING, LOGIT, BIAS]
    unknown = {node.feature_type for node in nodes}.difference(known)
    if unknown:
        raise UsageError(
            f"it has nodes of the types {listed(sorted(map(shorten, unknown)))}; only "
            f"{listed(known)} are read."
        )
    logits = _of_kind(nodes, LOGIT, parse_logit)
    if not logits:
        raise UsageError("it has no logit nodes, so it explains nothing.")
    return _Entries(
        _sorted(_of_kind(nodes, FEATURE, parse_feature), lambda f: (f.layer, f.pos, f.feature)),
        _sorted(_of_kind(nodes, ERROR, parse_error), lambda e: (e.layer, e.pos)),
        _sorted(_of_kind(nodes, EMBEDDING, parse_embedding), lambda t: (t.pos, t.token)),
        logits,
    )


def _of_kind(
    nodes: Sequence[NodeEntry], kind: str, parse: Callable[[str], Name | None]
) -> dict[Name, NodeEntry]:
    found: dict[Name, NodeEntry] = {}
    for node in nodes:
        if node.feature_type != kind:
            continue
        name = parse(node.node_id)
        if name is None:
            raise UsageError(f"{show(node.node_id)} is no id of a node of the type {kind!r}.")
        if name in found:
            raise UsageError(f"the node {show(node.node_id)} of the type {kind!r} is there twice.")
        found[name] = node
    return found


def _sorted(
    found: dict[Name, NodeEntry], key: Callable[[Name], tuple[int, ...]]
) -> dict[Name, NodeEntry]:
    return {name: found[name] for name in sorted(found, key=key)}


def _n_layers(logits: Sequence[LogitName]) -> int:
    """Logits stand in layer `n_layers + 1`."""
    layers = {logit.layer for logit in logits}
    if len(layers) > 1 or min(layers) < 2:
        raise UsageError(
            f"its logits stand in layers {sorted(layers)}; one layer is expected, the number of "
            "layers plus one."
        )
    return layers.pop() - 1


def _check_places(entries: _Entries, n_layers: int, n_tokens: int) -> None:
    for kind in entries:
        for name, entry in kind.items():
            if name.pos >= n_tokens:
                raise UsageError(
                    f"the node {show(entry.node_id)} stands at position {name.pos}, but there are "
                    f"only {n_tokens} prompt tokens, counted from 0."
                )
    for name, entry in [*entries.features.items(), *entries.errors.items()]:
        if name.layer >= n_layers:
            raise UsageError(
                f"the node {show(entry.node_id)} stands in layer {name.layer}, but its logits say "
                f"that there are only {n_layers} layers, counted from 0."
            )
    if len({token.pos for token in entries.tokens}) < len(entries.tokens):
        raise UsageError("it has two embedding nodes at one position.")


def _nodes(entries: _Entries) -> Nodes:
    features = [(name.layer, name.pos, name.feature) for name in entries.features]
    activations = [entry.activation or 0.0 for entry in entries.features.values()]
    return Nodes(
        features=np.array(features, dtype=np.int64).reshape(-1, 3),
        activations=np.array(activations, dtype=np.float32),
        errors=np.array(list(entries.errors), dtype=np.int64).reshape(-1, 2),
        tokens=np.array([token.pos for token in entries.tokens], dtype=np.int64),
        logits=tuple(_logit(name, entry) for name, entry in entries.logits.items()),
    )


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


def _name_index(entries: _Entries) -> NameIndex:
    columns: dict[str, int] = {}
    ambiguous: dict[str, AmbiguousColumns] = {}
    sources = [*entries.features.values(), *entries.errors.values(), *entries.tokens.values()]
    for column, entry in enumerate(sources):
        if entry.node_id in columns:
            ambiguous[entry.node_id] = AmbiguousColumns(columns.pop(entry.node_id), column)
        else:
            columns[entry.node_id] = column
    targets = [*entries.features.values(), *entries.logits.values()]
    return NameIndex({entry.node_id: row for row, entry in enumerate(targets)}, columns, ambiguous)


def _subject(metadata: Metadata, entries: _Entries, n_layers: int) -> Subject:
    known = {token.pos: token.token for token in entries.tokens}
    return Subject(
        prompt=metadata.prompt,
        tokens=tuple(metadata.prompt_tokens),
        token_ids=tuple(known.get(pos, -1) for pos in range(len(metadata.prompt_tokens))),
        model=metadata.scan,
        fingerprint="",
        basis=metadata.info.transcoder_set or metadata.scan,
        n_layers=n_layers,
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
