"""The JSON half of a stored graph: what it is of, what was cut, and what the tensors must be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tracer.graph.graph import AttributionGraph, Pruning, Subject
from tracer.graph.nodes import Logit

SCHEMA = "tracer.graph/1"

_Count = Annotated[int, Field(ge=0, lt=2**31)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Part(BaseModel):
    """Base of everything in the document: nothing is converted, nothing unknown is let through."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SubjectPart(Part):
    """See `tracer.graph.graph.Subject`."""

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


class LogitPart(Part):
    """See `tracer.graph.nodes.Logit`."""

    label: str
    token: _Count | None
    weight: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class PruningPart(Part):
    """See `tracer.graph.graph.Pruning`."""

    nodes: _Share
    edges: _Share


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
    n_nodes: _Count
    counts: Counts
    tensors_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def describe(graph: AttributionGraph, n_edges: int, sha256: str) -> GraphDocument:
    """The document of a graph whose tensors are written already."""
    nodes = graph.nodes
    counts = Counts(
        features=nodes.n_features,
        errors=len(nodes.errors),
        tokens=len(nodes.tokens),
        logits=len(nodes.logits),
        edges=n_edges,
    )
    pruning = graph.pruning
    return GraphDocument(
        schema=SCHEMA,
        subject=SubjectPart(**vars(graph.subject)),
        logits=tuple(LogitPart(**vars(logit)) for logit in nodes.logits),
        pruning=None if pruning is None else PruningPart(**vars(pruning)),
        n_nodes=nodes.n_sources + len(nodes.logits),
        counts=counts,
        tensors_sha256=sha256,
    )


def subject_of(document: GraphDocument) -> Subject:
    """What the graph is of."""
    return Subject(**dict(document.subject))


def logits_of(document: GraphDocument) -> tuple[Logit, ...]:
    """What the graph explains."""
    return tuple(Logit(**dict(logit)) for logit in document.logits)


def pruning_of(document: GraphDocument) -> Pruning | None:
    """What was cut."""
    return None if document.pruning is None else Pruning(**dict(document.pruning))


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
