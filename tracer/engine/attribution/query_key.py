"""Why a head looks where it looks: its score as a sum over pairs of nodes.

With frozen norms the score of a query and a key (see `head_scores`) is bilinear in the residual
stream x before the head's layer. x is the sum of what the nodes have put into it through the frozen
layers below, V_s, and constants; so S is the sum over pairs of nodes s (query side) and t (key
side) of

    (R_q W_Q n₁ V_s(q)) · (R_k W_K n₁ V_t(k)) / √d_head

The sums of a node's pairs with everything on the other side are linear in the node: the whole key,
read off by the query's map, is one vector that is carried backward like a target of the graph, and
so for the other side. Pairs of nodes, or of groups of nodes, are products of what is carried
forward, one row for each of them. The softmax does not see what all keys share: beside the plain
score there is its difference against another key, or against the mean over the keys as the head
weights them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.carried_rows import (
    CarriedRows,
    nowhere,
    sources_of,
    streams_of,
    writes_of,
)
from tracer.engine.attribution.edge_matrix import EdgeAccumulator, prefix_streams
from tracer.engine.attribution.frozen_graph import FrozenGraph
from tracer.engine.attribution.head_scores import (
    Readings,
    frozen_scores,
    require_places,
    require_seen,
)
from tracer.engine.attribution.node_streams import NodeBatch, NodeOrder
from tracer.engine.attribution.passes import BackwardPass
from tracer.engine.model.model import Model
from tracer.hypothesis.expectations.because import MEAN
from tracer.hypothesis.heads import HeadName
from tracer.record.graph.head_reason import Against

_ROWS = 256
"""Nodes that are carried together, each in a row of its own."""


class _Side(NamedTuple):
    """The query, or the key: Σ_pos weight · reading(pos)."""

    readings: Readings
    weights: Float[Tensor, " pos"]
    """At positions; the differences of keys have negative ones."""
    x: Float[Tensor, "pos d_model"]
    """The residual stream before the layer."""

    @property
    def n_pos(self) -> int:
        """Positions up to the last that is read."""
        return int(self.weights.nonzero().max()) + 1

    @property
    def constant(self) -> Float[Tensor, " d_head"]:
        """What is read whatever the stream."""
        return self.weights @ self.readings.constants

    def linear(self, stream: Float[Tensor, "row pos d_model"], first: int) -> Tensor:
        """What is read of parts of the stream from a position on, [row, d_head]."""
        here = slice(first, first + stream.shape[1])
        weighted = self.readings.vectors[here] * self.weights[here, None, None]
        return torch.einsum("rpd,ped->re", stream, weighted)

    def total(self) -> Float[Tensor, " d_head"]:
        """All of it."""
        return self.linear(self.x[None], 0)[0] + self.constant

    def gradient(self, other: Float[Tensor, " d_head"]) -> Float[Tensor, "pos d_model"]:
        """Of the product with the other side, by the stream."""
        return torch.einsum("ped,e,p->pd", self.readings.vectors, other, self.weights)


@dataclass(frozen=True)
class QkAttribution:
    """A head's score of a query and a key, as products of what nodes put into the two.

    Nodes are the sources of the graph in its order; the last row is all that is constant. The key
    side is less that of the other key, or of the mean, where the score is a difference.
    """

    head: HeadName
    query_pos: int
    key_pos: int
    against: Against
    pattern: Float[Tensor, " pos"]
    """What the head pays to every position from the query's, after the softmax."""
    soft_cap: float | None
    score: float
    """The plain score of query and key as the model has it, before any soft cap."""
    total: Float[Tensor, ""]
    """The sum of all pairs: the score, or the difference."""
    query_marginals: Float[Tensor, " node"]
    """By node on the query side, its pairs with everything on the key side."""
    key_marginals: Float[Tensor, " node"]
    """By node on the key side: by so much the total falls where it is switched off there."""
    graph: FrozenGraph
    sides: tuple[_Side, _Side]
    """Query and key."""

    @property
    def slope(self) -> float:
        """By how much the capped score moves with the score, 0 to 1; 1 without a soft cap."""
        if self.soft_cap is None:
            return 1.0
        return 1 - torch.tanh(torch.tensor(self.score / self.soft_cap)).item() ** 2

    def pairs(
        self, queries: Int[Tensor, " query_node"], keys: Int[Tensor, " key_node"]
    ) -> Float[Tensor, "query_node key_node"]:
        """Pairs of some nodes, each named once on a side, by their rows."""
        query, key = self.sides
        return self._parts(query, self._alone(queries)) @ self._parts(key, self._alone(keys)).T

    def sums(
        self, side: Literal["query", "key"], sets: Sequence[Int[Tensor, " _"]] | None
    ) -> Float[Tensor, "set d_head"]:
        """What sets of nodes, which may share some, put into a side; all of it as one set for None.

        Products of the two sides' rows are the pairs between two sets.
        """
        mine = self.sides[0] if side == "query" else self.sides[1]
        if sets is None:
            return mine.total()[None]
        union, place = torch.cat([*sets]).unique(return_inverse=True)
        parts = [self._parts(mine, self._alone(some)) for some in union.split(_ROWS)]
        found = torch.cat(parts)[place].split([len(each) for each in sets])
        return torch.stack([each.sum(0) for each in found])

    def _alone(self, nodes: Int[Tensor, " n"]) -> Int[Tensor, " node"]:
        group = torch.full_like(self.query_marginals, -1, dtype=torch.long)
        group[nodes] = torch.arange(len(nodes), device=group.device)
        return group

    def _parts(self, side: _Side, group: Int[Tensor, " node"]) -> Float[Tensor, "group d_head"]:
        """What groups put into a side, each carried forward to the layer as one row."""
        graph, constant = self.graph, int(group[-1])
        rows, number = _rows(graph, group, side.n_pos)
        found = side.x.new_zeros(int(group.max()) + 1, side.constant.shape[0])
        found[number] = _read(graph, self.head.layer, rows, side)
        if constant >= 0:
            # Constant is what all sources together leave of the side.
            every = torch.zeros_like(group)
            every[-1] = -1
            rows, _ = _rows(graph, every, side.n_pos)
            found[constant] += side.total() - _read(graph, self.head.layer, rows, side)[0]
        return found


def qk_attribution(
    model: Model,
    graph: FrozenGraph,
    head: HeadName,
    query_pos: int,
    key_pos: int,
    against: Against = None,
) -> QkAttribution:
    """Why a head looks from one position at another.

    Args:
        model: What the graph's prompt was frozen on.
        graph: The frozen prompt and its nodes.
        head: Which head.
        query_pos: From here, counted from 0.
        key_pos: At this position, which the head can see from there.
        against: Another key to subtract, or `mean`.

    Raises:
        UsageError: A head that the model has not, or positions that the head does not connect.
        ModelUnavailable: The score is made of more than the module knows of.
    """
    require_places(model, graph.frozen.n_pos, head, query_pos, key_pos, against)
    others = [against] if isinstance(against, int) else []
    require_seen(graph, head, query_pos, [key_pos, *others])
    scores = frozen_scores(model, graph, head)
    pattern = graph.frozen.blocks[head.layer].pattern[head.head, query_pos]
    for pos in (key_pos, *others):
        scores.check(model, query_pos, pos)
    weights = torch.zeros_like(pattern)
    if against == MEAN:
        weights -= pattern
    for pos in others:
        weights[pos] -= 1
    weights[key_pos] += 1
    at_query = torch.zeros_like(pattern)
    at_query[query_pos] = 1
    query = _Side(scores.queries, at_query, scores.x)
    key = _Side(scores.keys, weights, scores.x)
    whole_query, whole_key = query.total(), key.total()
    gradients = torch.stack([query.gradient(whole_key), key.gradient(whole_query)])
    found = _backward(graph, head.layer, gradients[:, : query_pos + 1])
    found[graph.constant, 0] += query.constant @ whole_key
    found[graph.constant, 1] += key.constant @ whole_query
    return QkAttribution(
        head=head,
        query_pos=query_pos,
        key_pos=key_pos,
        against=against,
        pattern=pattern,
        soft_cap=scores.weights.soft_cap,
        score=float(scores.score(query_pos, key_pos)),
        total=whole_query @ whole_key,
        query_marginals=found[:, 0],
        key_marginals=found[:, 1],
        graph=graph,
        sides=(query, key),
    )


def _backward(
    graph: FrozenGraph, layer: int, gradients: Float[Tensor, "row pos d_model"]
) -> Float[Tensor, "node row"]:
    """Σ_pos gradient · V_s of every source, and of all that is constant, below a layer."""
    frozen, n_prefix, n_rows = graph.frozen, graph.frozen.n_prefix, len(gradients)
    rows, every = torch.arange(n_rows, device=frozen.device), slice(0, n_rows)
    accumulator = EdgeAccumulator(graph, torch.arange(n_rows))
    here = torch.arange(n_rows)
    depth = torch.full_like(here, 2 * layer)
    places = NodeOrder(rows, here, depth, rows, here, ())
    prefix = prefix_streams(graph.basis, frozen)
    backward = BackwardPass(accumulator, places, prefix)
    accumulator.add_prefix_edges(every, gradients[:, :n_prefix], prefix[layer])
    carried = gradients[:, n_prefix:].contiguous()
    if carried.shape[1]:
        here = slice(n_prefix, n_prefix + carried.shape[1])
        batch = NodeBatch(every, depth.tolist(), here, carried, n_dense=n_rows)
        for below in reversed(range(layer)):
            backward.pass_layer(below, [batch])
        backward.add_token_edges([batch])
    return accumulator.edges


def _rows(
    graph: FrozenGraph, group: Int[Tensor, " node"], n_pos: int
) -> tuple[CarriedRows, Int[Tensor, " row"]]:
    """Groups as rows carried up to a position, and each row's number of its group."""
    nodes = sources_of(graph)
    members = nodes.where((group[nodes.row] >= 0) & (nodes.pos < n_pos))
    number, row = group[members.row].unique(return_inverse=True)
    first = torch.full_like(number, 2 * graph.frozen.n_layers)
    first.scatter_reduce_(0, row, members.depth, "amin")
    order = torch.argsort(first, stable=True)
    row_of = nowhere(graph)
    row_of[members.row] = torch.argsort(order)[row]
    start = int(members.pos.min()) if len(members.pos) else n_pos
    return CarriedRows(row_of, first[order], slice(start, n_pos)), number[order]


def _read(
    graph: FrozenGraph, layer: int, rows: CarriedRows, side: _Side
) -> Float[Tensor, "row d_head"]:
    """What a side reads of rows before a layer."""
    writes = writes_of(graph, (rows.row_of >= 0).nonzero()[:, 0])
    stream, _ = next(islice(streams_of(graph, rows, writes), layer, None))
    found = stream.new_zeros(len(rows.depth), side.constant.shape[0])
    found[: len(stream)] = side.linear(stream, rows.positions.start)
    return found
