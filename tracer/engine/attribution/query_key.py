"""Why a head looks where it looks: its score as a sum over pairs of nodes.

With frozen norms the score of head h of a layer, before the softmax and before any soft cap, is

    S(q, k) = (R_q W_Q n₁ x(q)) · (R_k W_K n₁ x(k)) / √d_head

bilinear in the residual stream x before the layer: R is the rotation by the position, n₁ the frozen
norm before attention, and the norms that some models have on queries and keys are held at their
scales too. x is the sum of what the nodes have put into it through the frozen layers below, V_s,
and constants; so S is the sum over pairs of nodes s (query side) and t (key side) of

    (R_q W_Q n₁ V_s(q)) · (R_k W_K n₁ V_t(k)) / √d_head

Each dimension of the query, and of the key, is carried backward like a target of the graph. The
softmax does not see what all keys share: beside the plain score there is its difference against
another key, or against the mean over the keys as the head weights them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.edge_matrix import EdgeAccumulator, prefix_streams
from tracer.engine.attribution.frozen import LOW_PRECISION, TOLERANCE
from tracer.engine.attribution.frozen_block import FrozenBlock
from tracer.engine.attribution.frozen_graph import FrozenGraph
from tracer.engine.attribution.node_streams import NodeBatch, NodeOrder
from tracer.engine.attribution.passes import BackwardPass
from tracer.engine.model.blocks import Norm, QueryKey
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site, SiteKind
from tracer.errors import ModelUnavailable, UsageError

Against = int | Literal["mean"] | None
"""Position of another key, the mean over the keys by the head's pattern, or nothing."""


class HeadPlace(NamedTuple):
    """An attention head; written `9.1`."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"{self.layer}.{self.head}"


@dataclass(frozen=True)
class QkAttribution:
    """A head's score of a query and a key, as products of what nodes put into the two.

    Nodes are the sources of the graph in its order; the last row is all that is constant. `key` is
    less that of the other key, or of the mean, where the score is a difference.
    """

    head: HeadPlace
    query_pos: int
    key_pos: int
    against: Against
    query: Float[Tensor, "node d_head"]
    """Part of the query, over √d_head."""
    key: Float[Tensor, "node d_head"]
    pattern: Float[Tensor, " pos"]
    """What the head pays to every position from the query's, after the softmax."""
    soft_cap: float | None
    score: float
    """The plain score of query and key as the model has it, before any soft cap."""

    @property
    def slope(self) -> float:
        """By how much the capped score moves with the score, 0 to 1; 1 without a soft cap."""
        if self.soft_cap is None:
            return 1.0
        return 1 - torch.tanh(torch.tensor(self.score / self.soft_cap)).item() ** 2

    @property
    def total(self) -> Float[Tensor, ""]:
        """The sum of all pairs: the score, or the difference."""
        return self.query.sum(0) @ self.key.sum(0)

    @property
    def query_marginals(self) -> Float[Tensor, " node"]:
        """By node on the query side, its pairs with everything on the key side."""
        return self.query @ self.key.sum(0)

    @property
    def key_marginals(self) -> Float[Tensor, " node"]:
        """By node on the key side: by so much the total falls where it is switched off there."""
        return self.key @ self.query.sum(0)

    def pairs(self) -> Float[Tensor, "query_node key_node"]:
        """Every pair of nodes."""
        return self.query @ self.key.T

    def grouped(
        self, queries: Int[Tensor, " node"], keys: Int[Tensor, " node"]
    ) -> Float[Tensor, "query_group key_group"]:
        """Pairs of groups: by node, the number of the group that it is in on each side."""

        def sums(parts: Tensor, group: Tensor) -> Tensor:
            empty = parts.new_zeros(int(group.max()) + 1, parts.shape[1])
            return empty.index_add_(0, group, parts)

        return sums(self.query, queries) @ sums(self.key, keys).T


def qk_attribution(
    model: Model,
    graph: FrozenGraph,
    head: HeadPlace,
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
    others = [against] if isinstance(against, int) else []
    require_places(graph, head, query_pos, [key_pos, *others])
    scores = _frozen_scores(model, graph, head)
    pattern = graph.frozen.blocks[head.layer].pattern[head.head, query_pos]
    for pos in (key_pos, *others):
        scores.check(model, query_pos, pos)
    weights = torch.zeros_like(pattern)
    if against == "mean":
        weights -= pattern
    for pos in others:
        weights[pos] -= 1
    weights[key_pos] += 1
    at_query = torch.zeros_like(pattern)
    at_query[query_pos] = 1
    return QkAttribution(
        head=head,
        query_pos=query_pos,
        key_pos=key_pos,
        against=against,
        query=_parts(graph, head.layer, scores.queries, at_query),
        key=_parts(graph, head.layer, scores.keys, weights),
        pattern=pattern,
        soft_cap=scores.weights.soft_cap,
        score=float(scores.score(query_pos, key_pos)),
    )


def require_places(graph: FrozenGraph, head: HeadPlace, query_pos: int, keys: list[int]) -> None:
    """Refuse a head, or positions, for which there is no score.

    Raises:
        UsageError: See `qk_attribution`.
    """
    frozen = graph.frozen
    n_heads, n_pos = len(frozen.blocks[0].weights.W_O), frozen.n_pos
    if not (0 <= head.layer < frozen.n_layers and 0 <= head.head < n_heads):
        raise UsageError(
            f"head {head}: the model has layers 0 to {frozen.n_layers - 1}, each with heads 0 to "
            f"{n_heads - 1}."
        )
    for pos in (query_pos, *keys):
        if not 0 <= pos < n_pos:
            raise UsageError(f"position {pos}: the prompt has positions 0 to {n_pos - 1}.")
    pattern = frozen.blocks[head.layer].pattern[head.head, query_pos]
    for pos in keys:
        if pos > query_pos:
            raise UsageError(
                f"head {head} cannot look from position {query_pos} at {pos}: that comes later."
            )
        seen = pattern[: query_pos + 1].nonzero()[:, 0].tolist()
        if pattern[pos] == 0:
            raise UsageError(
                f"head {head} does not see position {pos} from {query_pos}: it looks at positions "
                f"{seen[0]} to {seen[-1]} there."
            )


class _Readings(NamedTuple):
    """One side of the scores, affine in the residual stream: reading = M x + c, by position."""

    vectors: Float[Tensor, "pos d_head d_model"]
    constants: Float[Tensor, "pos d_head"]


@dataclass(frozen=True)
class _FrozenScores:
    """The scores of one head on one prompt."""

    head: HeadPlace
    weights: QueryKey
    queries: _Readings
    keys: _Readings
    x: Float[Tensor, "pos d_model"]
    """Before the layer."""
    seen: Float[Tensor, "pos pos"]
    """What the model computes, capped."""

    def score(self, query_pos: int, key_pos: int) -> Float[Tensor, ""]:
        """Before the cap."""
        return _of(self.queries, self.x, query_pos) @ _of(self.keys, self.x, key_pos)

    def check(self, model: Model, query_pos: int, key_pos: int) -> None:
        """Compare a score with the model's own.

        Raises:
            ModelUnavailable: They differ.
        """
        found, cap = self.score(query_pos, key_pos), self.weights.soft_cap
        capped = found if cap is None else cap * torch.tanh(found / cap)
        scale = max(1.0, float(self.seen[query_pos, : query_pos + 1].abs().max()))
        error = abs(float(capped - self.seen[query_pos, key_pos])) / scale
        if error > TOLERANCE.get(model.dtype, LOW_PRECISION):
            raise ModelUnavailable(
                f"{model.record.name}: why head {self.head} looks there cannot be told, because "
                f"its scores are made of more than queries, keys, norms on them and rotations "
                f"(they differ by {error:.1g}; the model is {model.record.architecture})."
            )


def _of(side: _Readings, x: Float[Tensor, "pos d_model"], pos: int) -> Float[Tensor, " d_head"]:
    return side.vectors[pos] @ x[pos] + side.constants[pos]


def _frozen_scores(model: Model, graph: FrozenGraph, head: HeadPlace) -> _FrozenScores:
    """Run the prompt once more, and record what the layer's scores are made of."""
    layer, frozen = head.layer, graph.frozen
    model.require(("attn_scores",), "the score of a head")
    weights, seen = model.query_key(layer), dict[SiteKind, Tensor]()

    def keep(kind: SiteKind) -> Hook:
        return lambda x: seen.__setitem__(kind, x[0].detach().to(frozen.dtype))

    kinds: tuple[SiteKind, ...] = ("attn_scores", "q_scale", "k_scale", "rotary_cos", "rotary_sin")
    sites = [site for site in (Site(kind, layer) for kind in kinds) if model.has_at(site)]
    model.clean(torch.tensor(frozen.ids), [(site, keep(site.kind)) for site in sites])
    group = head.head // (len(weights.W_Q) // len(weights.W_K))
    rotary = (seen["rotary_cos"], seen["rotary_sin"]) if "rotary_cos" in seen else None

    def side(
        W: Tensor, b: Tensor | None, norm: Norm | None, scale: SiteKind, number: int, factor: float
    ) -> _Readings:
        held = seen[scale][number] if norm is not None else None
        bias = None if b is None else b[number]
        return _readings(frozen.blocks[layer], W[number], bias, norm, held, rotary, factor)

    q, k = weights, weights
    return _FrozenScores(
        head=head,
        weights=weights,
        queries=side(q.W_Q, q.b_Q, q.q_norm, "q_scale", head.head, q.scaling),
        keys=side(k.W_K, k.b_K, k.k_norm, "k_scale", group, 1.0),
        x=frozen.resid_pre[layer],
        seen=seen["attn_scores"][head.head],
    )


def _readings(
    block: FrozenBlock,
    W: Float[Tensor, "d_model d_head"],
    b: Float[Tensor, " d_head"] | None,
    norm: Norm | None,
    scale: Float[Tensor, "pos 1"] | None,
    rotary: tuple[Float[Tensor, "pos d_rotary"], Float[Tensor, "pos d_rotary"]] | None,
    factor: float,
) -> _Readings:
    """Of every position: factor · R (w / scale) (W n₁(x) + b), and what n₁ and norms add."""
    n_pos, dtype = block.pattern.shape[-1], block.pattern.dtype
    projection, d_head = W.to(dtype), W.shape[1]
    # after[pos, i, j]: what one unit of projection i makes of dimension j
    after = factor * torch.eye(d_head, dtype=dtype, device=W.device).expand(n_pos, -1, -1)
    before = block.before.bias.expand(len(W)) @ projection
    constant = (before if b is None else before + b.to(dtype)).expand(n_pos, 1, -1)
    added = torch.zeros_like(constant)
    if norm is not None and scale is not None:
        after = norm.linear(after) / scale[:, None]
        added = factor * norm.b.to(dtype).expand(n_pos, 1, -1)
    if rotary is not None:
        after, added = _rotated(after, *rotary), _rotated(added, *rotary)
    # M[pos, j] = n₁ᵀ W after[pos, :, j]
    vectors = block.before.back(after.mT @ projection.T, block.before.scale[:, None])
    return _Readings(vectors, (constant @ after + added)[:, 0])


def _rotated(
    x: Float[Tensor, "pos n d_head"],
    cos: Float[Tensor, "pos d_rotary"],
    sin: Float[Tensor, "pos d_rotary"],
) -> Float[Tensor, "pos n d_head"]:
    """Of the first `d_rotary` dimensions x · cos + (−second half, first half) · sin."""
    n = cos.shape[-1]
    turned, rest = x[..., :n], x[..., n:]
    half = torch.cat([-turned[..., n // 2 :], turned[..., : n // 2]], -1)
    return torch.cat([turned * cos[:, None] + half * sin[:, None], rest], -1)


def _parts(
    graph: FrozenGraph, layer: int, side: _Readings, weights: Float[Tensor, " pos"]
) -> Float[Tensor, "node d_head"]:
    """What every source, and all that is constant, puts into Σ_pos weight · reading(pos)."""
    frozen, n_prefix = graph.frozen, graph.frozen.n_prefix
    n_rows, n_pos = side.vectors.shape[1], int(weights.nonzero().max()) + 1
    gradient = (side.vectors * weights[:, None, None]).transpose(0, 1)[:, :n_pos]
    rows = torch.arange(n_rows, device=frozen.device)
    accumulator = EdgeAccumulator(graph, rows)
    places = NodeOrder(rows, torch.full_like(rows, layer), rows, rows, ())
    backward = BackwardPass(accumulator, places, prefix_streams(graph.basis, frozen))
    every = slice(0, n_rows)
    backward.add_prefix_edges(layer, every, gradient[:, :n_prefix])
    if n_pos > n_prefix:
        batch = NodeBatch(every, [layer] * n_rows, slice(n_prefix, n_pos), gradient[:, n_prefix:])
        _enter(batch, weights)
        for below in reversed(range(layer)):
            backward.pass_layer(below, [batch])
        backward.add_token_edges([batch])
    accumulator.edges[graph.constant] += weights @ side.constants
    return accumulator.edges


def _enter(batch: NodeBatch, weights: Float[Tensor, " pos"]) -> None:
    """Let all rows enter: sparse where they read one position, with all of them elsewhere."""
    at = weights[batch.positions].nonzero()[:, 0]
    batch.storage = batch.storage.contiguous()
    if len(at) == 1:
        vectors = batch.storage[:, int(at[0])].clone()
        batch.enter(at.expand(len(vectors)) + batch.positions.start, vectors)
    else:
        batch.n_dense = len(batch.storage)
