"""A graph file that exists: in tracer's format, or in that of Neuronpedia and circuit-tracer.

The content of a file decides which it is, not its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

from tracer.errors import UsageError
from tracer.hypothesis.neuronpedia import LabelledIds, supernodes
from tracer.hypothesis.neuronpedia_ids import error_id, parse_error
from tracer.record.graph import files, neuronpedia_format, neuronpedia_import
from tracer.record.graph.format import SCHEMA
from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.neuronpedia_export import logit_ids, source_ids

_OURS = SCHEMA.partition("/")[0] + "/"
"""How the schema of each version of ours begins; `files.read` refuses those it cannot read."""


class Existing(NamedTuple):
    """A graph with what its file keeps beside it."""

    graph: AttributionGraph
    supernodes: tuple[LabelledIds, ...]
    """Ids as written; ours keep none."""
    sha256: str
    """Of the JSON file, which for ours names the hash of its tensors."""


def read_either(path: Path) -> Existing:
    """Read a graph in either format.

    Raises:
        UsageError: There is none, it is in neither format, or it is unsound or too large.
    """
    found = neuronpedia_format.read(path)
    data = cast(dict[str, Any], found.data) if isinstance(found.data, dict) else {}
    schema = data.get("schema")
    if isinstance(schema, str) and schema.startswith(_OURS):
        return Existing(files.read(path), (), found.sha256)
    if "nodes" not in data and "links" not in data:
        raise UsageError(
            f"{path}: no attribution graph: tracer's have the schema {SCHEMA!r}, those of "
            "Neuronpedia and circuit-tracer have `nodes` and `links`."
        )
    graph = neuronpedia_import.of_data(data, path)
    return Existing(graph, _supernodes(data, path), found.sha256)


def absent(ids: Iterable[str], graph: AttributionGraph) -> frozenset[str]:
    """Those of the ids that name no node of the graph; an error may have its older name."""
    there = {*source_ids(graph), *logit_ids(graph)}
    return frozenset(name for name in ids if name not in there and _newer(name) not in there)


def _newer(name: str) -> str:
    error = parse_error(name)
    return name if error is None else error_id(error.layer, error.pos)


def _supernodes(data: dict[str, Any], path: Path) -> tuple[LabelledIds, ...]:
    try:
        return tuple(LabelledIds(label, ids) for label, ids in supernodes(data).items())
    except UsageError as problem:
        raise UsageError(f"{path}: {problem}") from None
