"""The format of a stored graph: a JSON document, and tensors that hold the edges as a list.

What is read is checked before it is used; each check gives the rest of a sentence, or None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field

from tracer.hypothesis.neuronpedia_ids import feature_id
from tracer.hypothesis.studies.graph import LARGEST, MAX_CELLS
from tracer.record.graph.graph import (
    AttributionGraph,
    HeadLoadings,
    Logit,
    Nodes,
    Pruning,
    Scores,
    Subject,
)
from tracer.record.graph.influence import rows_of
from tracer.record.trials import FeatureTokens

SCHEMA = "tracer.graph/1"

_Count = Annotated[int, Field(ge=0, lt=2**31)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Part(BaseModel):
    """Base of everything in the document: no value is converted, no unknown key allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SubjectPart(Part):
    """See `tracer.record.graph.graph.Subject`."""

    prompt: str
    tokens: tuple[str, ...]
    token_ids: tuple[Annotated[int, Field(ge=-1, lt=2**31)], ...]
    """−1 where a graph made elsewhere does not tell."""
    model: str
    fingerprint: str
    basis: str
    n_layers: Annotated[int, Field(ge=1, le=100_000)]
    n_active: _Count
    relevance_share: _Share
    without_dropped: tuple[_Share | None, _Share | None] | None = None


class LogitPart(Part):
    """See `tracer.record.graph.graph.Logit`."""

    label: str
    token: _Count | None
    weight: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class PruningPart(Part):
    """See `tracer.record.graph.graph.Pruning`."""

    nodes: _Share
    edges: _Share


class HeadsPart(Part):
    """See `tracer.record.graph.graph.HeadLoadings`."""

    n_heads: Annotated[int, Field(ge=1, le=100_000)]
    most: Annotated[int, Field(ge=0, le=64)]
    """Heads told of an edge."""


class Counts(Part):
    """How long the tensors are."""

    features: _Count
    errors: _Count
    tokens: _Count
    logits: _Count
    edges: Annotated[int, Field(ge=0, lt=2**40)]


class GraphDocument(Part):
    """A stored graph without its tensors."""

    schema_: Literal["tracer.graph/1"] = Field(alias="schema")
    subject: SubjectPart
    logits: tuple[LogitPart, ...]
    pruning: PruningPart | None
    heads: HeadsPart | None = None
    n_nodes: _Count
    counts: Counts
    tensors_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    features: Mapping[str, FeatureTokens] = {}
    """What is told of features, by id; a graph that tells nothing has no such key."""


def describe(
    graph: AttributionGraph, n_edges: int, sha256: str, told: Mapping[str, FeatureTokens]
) -> GraphDocument:
    """The document of a graph whose tensors are written already, with what is `told` of features.

    Those that the graph does not have are left out.
    """
    nodes = graph.nodes
    counts = Counts(
        features=nodes.n_features,
        errors=len(nodes.errors),
        tokens=len(nodes.tokens),
        logits=len(nodes.logits),
        edges=n_edges,
    )
    pruning, heads = graph.pruning, graph.heads
    carry = None if heads is None else HeadsPart(n_heads=heads.n_heads, most=heads.heads.shape[1])
    return GraphDocument(
        schema=SCHEMA,
        subject=SubjectPart(**vars(graph.subject)),
        logits=tuple(LogitPart(**vars(logit)) for logit in nodes.logits),
        pruning=None if pruning is None else PruningPart(**vars(pruning)),
        heads=carry,
        n_nodes=nodes.n_sources + len(nodes.logits),
        counts=counts,
        tensors_sha256=sha256,
        features={name: told[name] for name in map(_id, nodes.features.tolist()) if name in told},
    )


def _id(feature: list[int]) -> str:
    layer, pos, index = feature
    return feature_id(layer, index, pos)


def subject_of(document: GraphDocument) -> Subject:
    """What the graph is of."""
    data = dict(document.subject)
    theirs = data.pop("without_dropped")
    return Subject(**data, without_dropped=None if theirs is None else Scores(*theirs))


def logits_of(document: GraphDocument) -> tuple[Logit, ...]:
    """What the graph explains."""
    return tuple(Logit(**dict(logit)) for logit in document.logits)


def pruning_of(document: GraphDocument) -> Pruning | None:
    """What was cut."""
    return None if document.pruning is None else Pruning(**dict(document.pruning))


def heads_of(document: GraphDocument, tensors: Tensors) -> HeadLoadings | None:
    """Which heads carry each edge, where the graph tells."""
    if document.heads is None:
        return None
    heads = tensors["loadings.head"].astype(np.int64)
    return HeadLoadings(document.heads.n_heads, heads, tensors["loadings.weight"])


def contradiction(document: GraphDocument) -> str | None:
    """What the document says of itself that cannot be, as the rest of a sentence."""
    counts, subject = document.counts, document.subject
    n_nodes = counts.features + counts.errors + counts.tokens + counts.logits
    if len(subject.tokens) != len(subject.token_ids):
        return f"{len(subject.tokens)} tokens, but {len(subject.token_ids)} token ids"
    if len(document.logits) != counts.logits:
        return f"{len(document.logits)} logits, but a count of {counts.logits}"
    if document.n_nodes != n_nodes:
        return f"n_nodes is {document.n_nodes}, but the counts add up to {n_nodes}"
    return None


Tensors = dict[str, np.ndarray]


class TensorForm(NamedTuple):
    """What a tensor must be."""

    dtype: str
    """As safetensors calls it."""
    shape: tuple[int, ...]


def forms(document: GraphDocument) -> dict[str, TensorForm]:
    """Every tensor of a graph with this document."""
    counts, heads = document.counts, document.heads
    n_targets = counts.features + counts.logits
    found = {
        "features": TensorForm("I32", (counts.features, 3)),
        "activations": TensorForm("F32", (counts.features,)),
        "errors": TensorForm("I32", (counts.errors, 2)),
        "tokens": TensorForm("I32", (counts.tokens,)),
        "edges.target": TensorForm("I32", (counts.edges,)),
        "edges.source": TensorForm("I32", (counts.edges,)),
        "edges.weight": TensorForm("F32", (counts.edges,)),
        "constants": TensorForm("F32", (n_targets,)),
        "values": TensorForm("F32", (n_targets,)),
    }
    if heads is not None:
        shape = counts.edges, heads.most
        found["loadings.head"] = TensorForm("I32", shape)
        found["loadings.weight"] = TensorForm("F32", shape)
    return found


def from_graph(graph: AttributionGraph) -> Tensors:
    """The tensors to write."""
    nodes = graph.nodes
    plain = {
        "features": nodes.features,
        "activations": nodes.activations,
        "errors": nodes.errors,
        "tokens": nodes.tokens,
        "constants": graph.constants,
        "values": graph.values,
    }
    if graph.heads is not None:
        plain |= {"loadings.head": graph.heads.heads, "loadings.weight": graph.heads.weights}
    found = {
        name: np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else np.int32)
        for name, array in plain.items()
    }
    return found | _edge_list(graph.edges)


def _edge_list(edges: Float[np.ndarray, "target source"]) -> Tensors:
    """Targets ascending, sources ascending within a target; filled in blocks."""
    n_edges = int(np.count_nonzero(edges))
    targets, sources = np.empty(n_edges, np.int32), np.empty(n_edges, np.int32)
    weights, done = np.empty(n_edges, np.float32), 0
    for rows in rows_of(slice(0, len(edges)), edges.shape[1]):
        block = edges[rows]
        at_rows, at_columns = np.nonzero(block)
        here = slice(done, done + len(at_rows))
        targets[here], sources[here] = at_rows + rows.start, at_columns
        weights[here], done = block[at_rows, at_columns], here.stop
    return {"edges.target": targets, "edges.source": sources, "edges.weight": weights}


def too_large(counts: Counts) -> str | None:
    """Why a graph of this size is not read, as the rest of a sentence."""
    n_targets = counts.features + counts.logits
    n_sources = counts.features + counts.errors + counts.tokens
    if n_targets * n_sources > MAX_CELLS:
        return f"{n_targets} × {n_sources} cells are more than the {MAX_CELLS} that are read"
    return None


def misform(found: Mapping[str, TensorForm], document: GraphDocument) -> str | None:
    """What the header of the tensors has that it should not, as the rest of a sentence."""
    wanted = forms(document)
    if found.keys() != wanted.keys():
        odd = sorted(found.keys() ^ wanted.keys())[0]
        return f"tensor {odd!r:.100} is {'missing' if odd in wanted else 'unknown'}"
    for name, form in wanted.items():
        if found[name] != form:
            dtype, shape = found[name]
            return f"{name!r} is {dtype} {list(shape)}, not {form.dtype} {list(form.shape)}"
    return None


def misfit(tensors: Tensors, nodes: Nodes, document: GraphDocument) -> str | None:
    """What is wrong inside tensors of the right form, as the rest of a sentence."""
    for name in ("activations", "edges.weight", "constants", "values", "loadings.weight"):
        array = tensors.get(name, tensors["values"])
        # One comparison that NaN fails too; min and max need no copy.
        if array.size and not (array.min() >= -LARGEST and array.max() <= LARGEST):
            return f"{name!r} holds something that is no number or beyond ±{LARGEST:.0e}"
    subject, top = document.subject, np.iinfo(np.int32).max
    n_layers, n_tokens = subject.n_layers, len(subject.tokens)
    return (
        _unordered("features", nodes.features, (n_layers, n_tokens, top))
        or _unordered("errors", nodes.errors, (n_layers, n_tokens))
        or _unordered("tokens", nodes.tokens[:, None], (n_tokens,))
        or _wrong_edges(tensors, nodes)
        or _wrong_heads(tensors, document)
    )


def _unordered(name: str, rows: Int[np.ndarray, "row column"], ends: tuple[int, ...]) -> str | None:
    for column, end in enumerate(ends):
        found = rows[:, column]
        if len(found) and not (found.min() >= 0 and found.max() < end):
            return f"{name!r} goes beyond 0 to {end - 1} in column {column}"
    later, decided = np.zeros(max(len(rows) - 1, 0), bool), np.zeros(max(len(rows) - 1, 0), bool)
    for column in range(rows.shape[1]):
        step = np.diff(rows[:, column])
        later |= ~decided & (step > 0)
        decided |= step != 0
    return None if later.all() else f"{name!r} is not sorted, or names one twice"


def _wrong_edges(tensors: Tensors, nodes: Nodes) -> str | None:
    targets, sources = tensors["edges.target"], tensors["edges.source"]
    ends = ("target", targets, nodes.n_targets), ("source", sources, nodes.n_sources)
    for name, found, end in ends:
        if len(found) and not (found.min() >= 0 and found.max() < end):
            return f"'edges.{name}' goes beyond 0 to {end - 1}"
    if (np.diff(targets.astype(np.int64) * nodes.n_sources + sources) <= 0).any():
        return "the edges are not sorted by target and source, or name a pair twice"
    if (nodes.source_places[sources, 0] >= nodes.target_places[targets, 0]).any():
        return "an edge does not lead from a lower layer to a higher one"
    if (tensors["edges.weight"] == 0).any():
        return "an edge has the weight 0"
    return None


def _wrong_heads(tensors: Tensors, document: GraphDocument) -> str | None:
    if document.heads is None:
        return None
    found, end = tensors["loadings.head"], document.subject.n_layers * document.heads.n_heads
    if found.size and not (found.min() >= -1 and found.max() < end):
        return f"'loadings.head' goes beyond -1 to {end - 1}"
    return None
