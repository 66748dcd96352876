"""A graph on disk: `<stem>.json` says what it is, `<stem>.safetensors` beside it holds the numbers.

The tensors are written first and the JSON names their hash, so a JSON file never names tensors that
are cut short. What is read may come from anywhere: it gives a graph or a `UsageError`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from tracer.errors import UsageError, one_line
from tracer.record.files import read_model, write_bytes, write_text
from tracer.record.graph.format import (
    SCHEMA,
    GraphDocument,
    TensorForm,
    Tensors,
    agreement_of,
    describe,
    from_graph,
    head_nodes_of,
    heads_of,
    logits_of,
    pruning_of,
    subject_of,
    tracings_of,
)
from tracer.record.graph.graph import AttributionGraph, ListedGraph, Nodes
from tracer.record.graph.soundness import contradiction, misfit, misform, too_large
from tracer.record.trials import FeatureTokens

NAME = "graph.json"
"""What a graph is called where only its folder is given."""

_NOWHERE = Path("a graph in memory")
_MAX_JSON = 64 * 2**20
"""Bytes; a prompt of a million tokens needs less."""


class PackedGraph(NamedTuple):
    """A graph as tensors and a JSON value."""

    tensors: Tensors
    about: Any


def write(
    path: Path, graph: AttributionGraph, features: Mapping[str, FeatureTokens] | None = None
) -> Path:
    """Write both files, replacing older ones; the path of the JSON.

    Args:
        path: The JSON file, or a folder, where it is then called `graph.json`.
        graph: Its floats are kept as float32.
        features: What is told of its features, by id.

    Raises:
        UsageError: The path ends otherwise, or the graph is none that `read` would take.
        OSError: A file cannot be written.
    """
    path = _json_path(path)
    found = from_graph(graph)
    data = safetensors.numpy.save(found)
    about = _describe(path, graph, found, hashlib.sha256(data).hexdigest(), features or {})
    write_bytes(path.with_suffix(".safetensors"), data)
    optional = "features", "attention", "head_nodes", "agreement"
    empty = {name for name in optional if not getattr(about, name)}
    write_text(path, about.model_dump_json(by_alias=True, indent=1, exclude=empty) + "\n")
    return path


def pack(graph: AttributionGraph) -> PackedGraph:
    """Both halves of a graph, for keeping them elsewhere than in files of their own."""
    found = from_graph(graph)
    about = _describe(_NOWHERE, graph, found, hashlib.sha256().hexdigest(), {})
    return PackedGraph(found, about.model_dump(mode="json", by_alias=True))


def unpack(packed: PackedGraph) -> AttributionGraph:
    """The graph that `pack` was given.

    Raises:
        ValueError: The document is none.
        KeyError: A tensor is missing.
        UsageError: They contradict each other.
    """
    about = GraphDocument.model_validate_json(json.dumps(packed.about))
    return _assemble(_whole(_NOWHERE, about, packed.tensors))


def read(path: Path) -> AttributionGraph:
    """Read a graph, given as it was to `write`.

    Raises:
        UsageError: There is none, it is not one that this version reads, its tensors are not those
            it was written with, or it is too large.
    """
    return _assemble(_read_whole(_json_path(path)))


def read_listed(path: Path) -> ListedGraph:
    """Read a graph without making its matrix, so that one of any size can be shown.

    Raises:
        UsageError: As `read`.
    """
    found = _read_whole(_json_path(path))
    return ListedGraph(
        subject_of(found.about),
        found.nodes,
        found.tensors["edges.target"].astype(np.int64),
        found.tensors["edges.source"].astype(np.int64),
        found.tensors["edges.weight"],
        heads_of(found.about, found.tensors),
        tracings_of(found.about),
        agreement_of(found.about, found.tensors),
    )


def read_features(path: Path) -> Mapping[str, FeatureTokens]:
    """What a graph's file tells of its features, by id.

    Raises:
        UsageError: As `read`, of the JSON alone.
    """
    return _read_document(_json_path(path)).features


class _Whole(NamedTuple):
    """Both files, checked."""

    path: Path
    """Of the tensors."""
    about: GraphDocument
    nodes: Nodes
    tensors: Tensors


def _read_whole(path: Path) -> _Whole:
    about = _read_document(path)
    beside = path.with_suffix(".safetensors")
    _check_hash(beside, about.tensors_sha256, path)
    return _whole(beside, about, _read_tensors(beside, about))


def _describe(
    path: Path,
    graph: AttributionGraph,
    found: Tensors,
    sha256: str,
    told: Mapping[str, FeatureTokens],
) -> GraphDocument:
    try:
        about = describe(graph, len(found["edges.weight"]), sha256, told)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        wrong = f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
        raise UsageError(f"{path}: this graph cannot be kept: {wrong}.") from error
    wrong = contradiction(about) or too_large(about.counts) or misfit(found, graph.nodes, about)
    if wrong:
        raise UsageError(f"{path}: this graph cannot be kept: {wrong}.")
    return about


def _json_path(path: Path) -> Path:
    if path.is_dir():
        return path / NAME
    if path.suffix != ".json":
        raise UsageError(f"{path}: a graph's file ends in .json, with .safetensors beside it.")
    return path


def _read_document(path: Path) -> GraphDocument:
    size = _size(path)
    if size > _MAX_JSON:
        raise UsageError(f"{path}: {size} bytes; a graph's JSON has at most {_MAX_JSON}.")
    about = read_model(path, GraphDocument, SCHEMA)
    wrong = contradiction(about) or too_large(about.counts)
    if wrong:
        raise UsageError(f"{path}: {wrong}.")
    return about


def _size(path: Path) -> int:
    """Of a plain file; anything else could be endless."""
    if not path.is_file():
        what = "this is not a regular" if path.exists() else "there is no such"
        raise UsageError(f"{path}: no graph is here, {what} file.")
    return path.stat().st_size


def _check_hash(path: Path, sha256: str, document_path: Path) -> None:
    _size(path)
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from error
    if found != sha256:
        raise UsageError(f"{path}: not the tensors that {document_path.name} was written with.")


def _read_tensors(path: Path, about: GraphDocument) -> Tensors:
    """All tensors, once their header has been compared with the document."""
    try:
        with safe_open(path, "numpy") as file:
            forms: dict[str, TensorForm] = {}
            for name in file.keys():  # noqa: SIM118 - not a mapping
                there = file.get_slice(name)
                forms[name] = TensorForm(there.get_dtype(), tuple(there.get_shape()))
            wrong = misform(forms, about)
            if wrong:
                raise UsageError(f"{path}: {wrong}.")
            return {name: file.get_tensor(name) for name in forms}
    except (SafetensorError, OSError) as error:
        raise UsageError(
            f"{path}: cut short, or no safetensors file ({one_line(error)})."
        ) from error


def _whole(path: Path, about: GraphDocument, found: Tensors) -> _Whole:
    nodes = Nodes(
        found["features"].astype(np.int64),
        found["activations"],
        found["errors"].astype(np.int64),
        found["tokens"].astype(np.int64),
        logits_of(about),
        **{
            name: found[name].astype(np.int64)
            for name in ("attention", "attention_errors")
            if name in found
        },
        heads=head_nodes_of(about),
    )
    wrong = misfit(found, nodes, about)
    if wrong:
        raise UsageError(f"{path}: {wrong}.")
    return _Whole(path, about, nodes, found)


def _assemble(found: _Whole) -> AttributionGraph:
    return AttributionGraph(
        subject_of(found.about),
        found.nodes,
        _matrix(found.path, found.tensors, found.nodes),
        found.tensors["constants"],
        found.tensors["values"],
        pruning_of(found.about),
        heads_of(found.about, found.tensors),
        tracings_of(found.about),
        agreement_of(found.about, found.tensors),
    )


def _matrix(path: Path, found: Tensors, nodes: Nodes) -> np.ndarray:
    try:
        edges = np.zeros((nodes.n_targets, nodes.n_sources), dtype=np.float32)
    except MemoryError as error:
        raise UsageError(
            f"{path}: {nodes.n_targets} × {nodes.n_sources} cells do not fit into memory."
        ) from error
    edges[found["edges.target"], found["edges.source"]] = found["edges.weight"]
    return edges
