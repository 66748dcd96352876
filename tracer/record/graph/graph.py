"""The attribution graph of one prompt: signed direct effects between features, and on the output.

Convention, here and nowhere else: `edges[target, source]`. An edge is what the source adds to the
target's pre-activation (for a logit: to the logit minus its mean over the vocabulary, before any
soft cap) in the local replacement model, where attention patterns, norm scales and errors are held
as on the prompt (Ameisen et al. 2025, Circuit Tracing). So doubling a source raises the target by
that edge while everything else is held, and a target's incoming edges plus its constant are its
value:

    edges.sum(1) + constants = values

A pruned graph has fewer nodes and edges, and its constants no longer close that sum.

Targets are rows: features, then logits. Sources are columns: features, then errors, then tokens.
Features are sorted by (layer, position, index), errors by (layer, position), tokens by position.

A graph may also have heads of attention as nodes (see `tracer.record.graph.heads`), and one made
elsewhere may explain attention by a dictionary. These stand among the features (and errors), in
front of those of their layer's MLP, which reads what attention has written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from tracer.hypothesis.neuronpedia_ids import (
    attention_error_id,
    attention_feature_id,
    embedding_id,
    error_id,
    feature_id,
    head_node_id,
)
from tracer.record.graph import places
from tracer.record.graph.agreement import Agreement, Pruning
from tracer.record.graph.heads import HeadLoadings, HeadNodes, HeadShare
from tracer.record.graph.qk_tracing import QkTracings


@dataclass(frozen=True)
class Logit:
    """One thing the graph explains: a token's logit, or a direction in the residual stream."""

    label: str
    """The token as it is decoded, or the direction's name."""
    token: int | None
    """Vocabulary id; None for a direction that is not one token."""
    weight: float
    """Where influence starts: the token's probability; 1 for a direction."""


@dataclass(frozen=True)
class Nodes:
    """Everything that sends or receives an edge."""

    features: Int[np.ndarray, "feature 3"]
    """(layer, position, index), sorted; those of a layer's attention before those of its MLP."""
    activations: Float[np.ndarray, " feature"]
    """Of a head, its value."""
    errors: Int[np.ndarray, "error 2"]
    """(layer, position), sorted; those of a layer's attention before those of its MLP."""
    tokens: Int[np.ndarray, " token"]
    """Positions, ascending."""
    logits: tuple[Logit, ...]
    attention: Int[np.ndarray, " some"] = field(default_factory=places.none)
    """Rows of the features that are of attention dictionaries, or are heads, ascending."""
    attention_errors: Int[np.ndarray, " others"] = field(default_factory=places.none)
    """Numbers of the errors that are of attention dictionaries, ascending."""
    heads: HeadNodes | None = None
    """Where those rows are not features of dictionaries but heads."""

    @property
    def n_features(self) -> int:
        """How many features, heads among them."""
        return len(self.features)

    @property
    def n_heads(self) -> int:
        """How many of the features are heads."""
        return 0 if self.heads is None else len(self.attention)

    @property
    def n_targets(self) -> int:
        """Rows of the edge matrix."""
        return len(self.features) + len(self.logits)

    @property
    def n_sources(self) -> int:
        """Columns of the edge matrix."""
        return len(self.features) + len(self.errors) + len(self.tokens)

    @property
    def logit_rows(self) -> slice:
        """Rows of the logits; the features' rows are before them."""
        return slice(len(self.features), self.n_targets)

    @property
    def error_columns(self) -> slice:
        """Columns of the errors; the features' columns are before them."""
        return slice(len(self.features), len(self.features) + len(self.errors))

    @property
    def token_columns(self) -> slice:
        """Columns of the tokens."""
        return slice(self.error_columns.stop, self.n_sources)

    @property
    def homes(self) -> Int[np.ndarray, "feature 2"]:
        """(depth, position) of features: 2 · layer at the layer's attention, plus 1 at its MLP."""
        return places.homes(self.features, self.attention)

    @property
    def keys(self) -> Int[np.ndarray, "feature 3"]:
        """(depth, position, index) of features, by which they are sorted."""
        return places.keys(self.features, self.attention)

    @property
    def error_homes(self) -> Int[np.ndarray, "error 2"]:
        """The same of errors."""
        return places.homes(self.errors, self.attention_errors)

    @property
    def target_places(self) -> Int[np.ndarray, "target 2"]:
        """(depth, position) by row; logits come after everything."""
        last = np.full((len(self.logits), 2), np.iinfo(np.int64).max)
        return np.concatenate([self.homes, last])

    @property
    def source_places(self) -> Int[np.ndarray, "source 2"]:
        """(depth, position) by column; tokens stand at −1."""
        tokens = np.stack([np.full_like(self.tokens, -1), self.tokens], axis=1)
        return np.concatenate([self.homes, self.error_homes, tokens])

    def stages(self) -> list[slice]:
        """Features of each depth, ascending: a slice of rows, and the same slice of columns.

        None of them reads another of its stage.
        """
        depths = self.homes[:, 0]
        bounds = [*np.flatnonzero(np.diff(depths, prepend=-1)).tolist(), len(depths)]
        return [slice(first, last) for first, last in pairwise(bounds)]

    def feature_ids(self) -> list[str]:
        """The id of each feature, in order."""
        attention, of_attention = set(self.attention.tolist()), self._attention_id
        return [
            (of_attention if row in attention else feature_id)(layer, index, pos)
            for row, (layer, pos, index) in enumerate(self.features.tolist())
        ]

    @property
    def _attention_id(self) -> Callable[[int, int, int], str]:
        return attention_feature_id if self.heads is None else head_node_id

    def id_of_row(self, row: int) -> str:
        """The id of the feature in a row of the edge matrix."""
        layer, pos, index = self.features[row].tolist()
        return (self._attention_id if row in self.attention else feature_id)(layer, index, pos)

    def error_ids(self) -> list[str]:
        """The id of each error, in order."""
        attention = set(self.attention_errors.tolist())
        return [
            attention_error_id(layer, pos) if number in attention else error_id(layer, pos)
            for number, (layer, pos) in enumerate(self.errors.tolist())
        ]

    def rows_of(self, some: Nodes) -> Int[np.ndarray, " target"]:
        """Row here of each target of nodes that are all among these."""
        logits = np.arange(len(some.logits)) + self.n_features
        return np.concatenate([places.find(self.keys, some.keys), logits])

    def columns_of(self, some: Nodes) -> Int[np.ndarray, " source"]:
        """Column here of each source of nodes that are all among these."""
        errors = places.find(self.error_homes, some.error_homes) + self.n_features
        tokens = np.searchsorted(self.tokens, some.tokens) + self.token_columns.start
        return np.concatenate([places.find(self.keys, some.keys), errors, tokens])

    def find(self, features: Int[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
        """Row (and column) of each feature of an MLP; −1 where the graph does not have it."""
        return places.find(self.keys, places.keys(features, places.none()))

    def keep(
        self,
        features: Bool[np.ndarray, " feature"],
        errors: Bool[np.ndarray, " error"],
    ) -> Nodes:
        """The nodes that a pruning leaves; tokens and logits always stay."""
        return Nodes(
            self.features[features],
            self.activations[features],
            self.errors[errors],
            self.tokens,
            self.logits,
            places.kept(self.attention, features),
            places.kept(self.attention_errors, errors),
            self.heads,
        )


class Scores(NamedTuple):
    """Both between 0 and 1; None where nothing flows that could be shared out."""

    replacement: float | None
    """Share of the influence arriving at tokens and errors that arrives at tokens."""
    completeness: float | None
    """Share of all nodes' input that comes from no error, by influence; a node without inputs,
    an error too, counts as complete."""


@dataclass(frozen=True)
class Subject:
    """What a graph is of: the prompt, the model and the basis."""

    prompt: str
    """The text."""
    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    model: str
    fingerprint: str
    """Of the model's weights."""
    basis: str
    """`neurons`, or the name of a set of transcoders."""
    n_layers: int
    n_active: int
    """Active features on the prompt, kept or not."""
    relevance_share: float
    """Share of all features' relevance to the logits that the kept ones carry, 0 to 1."""
    without_dropped: Scores | None = None
    """Of the whole graph, with what dropped features write left out, as circuit-tracer counts."""


@dataclass(frozen=True)
class AttributionGraph:
    """Nodes and the signed direct effects between them."""

    subject: Subject
    nodes: Nodes
    edges: Float[np.ndarray, "target source"]
    """float32; 0 where there is no edge."""
    constants: Float[np.ndarray, " target"]
    """What biases, and the MLPs at the special-token prefix, add to a target."""
    values: Float[np.ndarray, " target"]
    """The target's pre-activation; for a logit, the logit minus the vocabulary's mean."""
    pruning: Pruning | None = None
    """None as long as nothing has been cut."""
    heads: HeadLoadings | None = None
    """None where they were not asked for."""
    tracings: QkTracings | None = None
    """Of a graph made elsewhere, where it tells why its attention features look where they do."""
    agreement: Agreement | None = None
    """Of a consensus graph (`tracer.record.graph.consensus`): its positions are places."""


@dataclass(frozen=True)
class ListedGraph:
    """Nodes, and every edge that is not 0: what a page of a large graph is made from.

    The matrix of 20,000 nodes is 1.6 GB, and a page shows 5,000 edges of it.
    """

    subject: Subject
    nodes: Nodes
    targets: Int[np.ndarray, " edge"]
    """Rows, ascending."""
    sources: Int[np.ndarray, " edge"]
    """Columns, ascending within a target."""
    weights: Float[np.ndarray, " edge"]
    heads: HeadLoadings | None = None
    tracings: QkTracings | None = None
    agreement: Agreement | None = None


def listed(graph: AttributionGraph) -> ListedGraph:
    """The same graph, its edges as a list."""
    targets, sources = np.nonzero(graph.edges)
    weights = graph.edges[targets, sources]
    more = graph.heads, graph.tracings, graph.agreement
    return ListedGraph(graph.subject, graph.nodes, targets, sources, weights, *more)


def heads_of_edge(graph: AttributionGraph, row: int, column: int) -> tuple[HeadShare, ...]:
    """What heads carry of the edge at a place of the matrix; nothing where the graph tells none."""
    if graph.heads is None or graph.edges[row, column] == 0:
        return ()
    edge = np.count_nonzero(graph.edges[:row]) + np.count_nonzero(graph.edges[row, :column])
    return graph.heads.strongest(int(edge))


def source_ids(nodes: Nodes, subject: Subject) -> list[str]:
    """Ids of features, errors and tokens, in the order of the edges' columns."""
    return [
        *nodes.feature_ids(),
        *nodes.error_ids(),
        *(embedding_id(subject.token_ids[pos], pos) for pos in nodes.tokens.tolist()),
    ]
