"""The format of a stored graph: a JSON document, and tensors that hold the edges as a list.

`soundness` checks what is read before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field

from tracer.record.graph.agreement import Agreement, Counted, Pruning
from tracer.record.graph.alignment import TokenPlace
from tracer.record.graph.graph import AttributionGraph, Logit, Scores, Subject
from tracer.record.graph.heads import HeadLoadings, HeadNodes
from tracer.record.graph.influence import rows_of
from tracer.record.graph.qk_tracing import QkTracings
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


class AttentionPart(Part):
    """Features and errors of attention dictionaries among the others, or heads."""

    features: _Count
    errors: _Count
    tracings: QkTracings | None = None


class HeadNodesPart(Part):
    """See `tracer.record.graph.heads.HeadNodes`; the features of attention are heads."""

    n_all: _Count
    relevance_share: _Share


class AgreementPart(Part):
    """See `tracer.record.graph.agreement.Agreement`."""

    prompts: Annotated[tuple[str, ...], Field(min_length=1, max_length=100_000)]
    held_out: tuple[str, ...]
    prunings: Annotated[tuple[PruningPart, ...], Field(min_length=1, max_length=64)]
    core: _Share
    places: tuple[tuple[str, _Count, str | None], ...]
    having: tuple[_Count, ...]
    node_spread: tuple[_Count, ...]
    edge_spread: tuple[Annotated[int, Field(ge=0, lt=2**40)], ...]


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
    attention: AttentionPart | None = None
    """A graph without attention dictionaries, or heads as nodes, has no such key."""
    head_nodes: HeadNodesPart | None = None
    """A graph without heads as nodes has no such key."""
    agreement: AgreementPart | None = None
    """Only a consensus graph has such a key."""
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
    pruning, heads, ids = graph.pruning, graph.heads, nodes.feature_ids()
    carry = None if heads is None else HeadsPart(n_heads=heads.n_heads, most=heads.heads.shape[1])
    return GraphDocument(
        schema=SCHEMA,
        subject=SubjectPart(**vars(graph.subject)),
        logits=tuple(LogitPart(**vars(logit)) for logit in nodes.logits),
        pruning=None if pruning is None else PruningPart(**vars(pruning)),
        heads=carry,
        attention=_attention(graph, ids),
        head_nodes=None if nodes.heads is None else HeadNodesPart(**vars(nodes.heads)),
        agreement=None if graph.agreement is None else _agreement(graph.agreement),
        n_nodes=nodes.n_sources + len(nodes.logits),
        counts=counts,
        tensors_sha256=sha256,
        features={name: told[name] for name in ids if name in told},
    )


def _attention(graph: AttributionGraph, ids: Sequence[str]) -> AttentionPart | None:
    n_features, n_errors = len(graph.nodes.attention), len(graph.nodes.attention_errors)
    if not n_features and not n_errors:
        return None
    tracings = graph.tracings and graph.tracings.of(frozenset(ids))
    return AttentionPart(features=n_features, errors=n_errors, tracings=tracings)


def _agreement(found: Agreement) -> AgreementPart:
    return AgreementPart(
        prompts=found.prompts,
        held_out=found.held_out,
        prunings=tuple(PruningPart(**vars(each)) for each in found.prunings),
        core=found.core,
        places=tuple((each.span, each.back, each.text) for each in found.places),
        having=found.having,
        node_spread=found.nodes.spread,
        edge_spread=found.edges.spread,
    )


def agreement_of(document: GraphDocument, tensors: Tensors) -> Agreement | None:
    """On how many prompts nodes and edges are, of a consensus graph."""
    part = document.agreement
    if part is None:
        return None

    def counted(name: str, spread: tuple[int, ...]) -> Counted:
        found = [tensors[f"{name}.{each}"].astype(np.int64) for each in _COUNTED]
        return Counted(*found, spread=spread)

    return Agreement(
        part.prompts,
        part.held_out,
        tuple(Pruning(**dict(each)) for each in part.prunings),
        part.core,
        tuple(TokenPlace(*each) for each in part.places),
        part.having,
        counted("nodes", part.node_spread),
        counted("edges", part.edge_spread),
    )


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


def head_nodes_of(document: GraphDocument) -> HeadNodes | None:
    """What is told of heads as nodes, where the graph has some."""
    return None if document.head_nodes is None else HeadNodes(**dict(document.head_nodes))


def tracings_of(document: GraphDocument) -> QkTracings | None:
    """Why attention features look where they do, where the graph tells."""
    return document.attention and document.attention.tracings


Tensors = dict[str, np.ndarray]
_COUNTED = ("on", "held_out", "same_sign")
"""Of nodes and of edges, the arrays of `Counted`."""


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
    if document.attention is not None:
        found["attention"] = TensorForm("I32", (document.attention.features,))
        found["attention_errors"] = TensorForm("I32", (document.attention.errors,))
    if document.agreement is not None:
        n_prunings = len(document.agreement.prunings)
        for name, n in (("nodes", document.n_nodes), ("edges", counts.edges)):
            found[f"{name}.on"] = TensorForm("I32", (n, n_prunings))
            found[f"{name}.held_out"] = found[f"{name}.same_sign"] = TensorForm("I32", (n,))
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
    if len(nodes.attention) or len(nodes.attention_errors):
        plain |= {"attention": nodes.attention, "attention_errors": nodes.attention_errors}
    if graph.heads is not None:
        plain |= {"loadings.head": graph.heads.heads, "loadings.weight": graph.heads.weights}
    if graph.agreement is not None:
        for name in ("nodes", "edges"):
            counted = getattr(graph.agreement, name)
            plain |= {f"{name}.{each}": getattr(counted, each) for each in _COUNTED}
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
