"""The scores of one attention head on a frozen prompt, as products of two affine readings.

With frozen norms the score of head h of a layer, before the softmax and before any soft cap, is

    S(q, k) = (R_q W_Q n₁ x(q)) · (R_k W_K n₁ x(k)) / √d_head

R is the rotation by the position, n₁ the frozen norm before attention, and the norms that some
models have on queries and keys are held at their scales too. 1/√d_head is part of the query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.frozen import LOW_PRECISION, TOLERANCE
from tracer.engine.attribution.frozen_block import FrozenBlock
from tracer.engine.attribution.frozen_graph import FrozenGraph
from tracer.engine.model.blocks import Norm, QueryKey
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site, SiteKind
from tracer.errors import ModelUnavailable, UsageError
from tracer.hypothesis.heads import HeadName
from tracer.record.graph.head_reason import Against


def require_places(
    model: Model, n_pos: int, head: HeadName, query_pos: int, key_pos: int, against: Against
) -> None:
    """Refuse a head that the model has not, and positions between which no head has a score.

    Raises:
        UsageError: With the reason.
    """
    n_heads = len(model.W_O(0))
    if not (0 <= head.layer < model.n_layers and 0 <= head.head < n_heads):
        raise UsageError(
            f"head {head}: the model has layers 0 to {model.n_layers - 1}, each with heads 0 to "
            f"{n_heads - 1}."
        )
    keys = [key_pos, *([against] if isinstance(against, int) else [])]
    for pos in (query_pos, *keys):
        if not 0 <= pos < n_pos:
            raise UsageError(f"position {pos}: the prompt has positions 0 to {n_pos - 1}.")
    for pos in keys:
        if pos > query_pos:
            raise UsageError(
                f"head {head} cannot look from position {query_pos} at {pos}: that comes later."
            )
    if against == key_pos:
        raise UsageError(f"position {key_pos} against itself is no difference.")


def require_seen(graph: FrozenGraph, head: HeadName, query_pos: int, keys: Sequence[int]) -> None:
    """Refuse keys outside of the window that a head sees.

    Raises:
        UsageError: With the window.
    """
    pattern = graph.frozen.blocks[head.layer].pattern[head.head, query_pos]
    seen = pattern[: query_pos + 1].nonzero()[:, 0].tolist()
    for pos in keys:
        if pattern[pos] == 0:
            raise UsageError(
                f"head {head} does not see position {pos} from {query_pos}: it looks at positions "
                f"{seen[0]} to {seen[-1]} there."
            )


class Readings(NamedTuple):
    """One side of the scores, affine in the residual stream: reading = M x + c, by position."""

    vectors: Float[Tensor, "pos d_head d_model"]
    constants: Float[Tensor, "pos d_head"]

    def at(self, x: Float[Tensor, "pos d_model"], pos: int) -> Float[Tensor, " d_head"]:
        """What is read of a residual stream at a position."""
        return self.vectors[pos] @ x[pos] + self.constants[pos]


@dataclass(frozen=True)
class FrozenScores:
    """The scores of one head on one prompt."""

    head: HeadName
    weights: QueryKey
    queries: Readings
    keys: Readings
    x: Float[Tensor, "pos d_model"]
    """Before the layer."""
    seen: Float[Tensor, "pos pos"]
    """What the model computes, capped."""

    def score(self, query_pos: int, key_pos: int) -> Float[Tensor, ""]:
        """Before the cap."""
        return self.queries.at(self.x, query_pos) @ self.keys.at(self.x, key_pos)

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


def frozen_scores(model: Model, graph: FrozenGraph, head: HeadName) -> FrozenScores:
    """Run the prompt once more, and record what the layer's scores are made of."""
    layer, frozen = head.layer, graph.frozen
    model.require(("attn_scores",), "the score of a head")
    weights, seen = model.query_key(layer), dict[SiteKind, Tensor]()

    def keep(kind: SiteKind) -> Hook:
        return lambda x: seen.__setitem__(kind, x[0].detach().to(frozen.dtype))

    kinds: tuple[SiteKind, ...] = ("attn_scores", "q_scale", "k_scale", "rotary_cos", "rotary_sin")
    sites = [site for site in (Site(kind, layer) for kind in kinds) if model.has_at(site)]
    model.clean(torch.tensor([frozen.ids]), [(site, keep(site.kind)) for site in sites])
    group = head.head // (len(weights.W_Q) // len(weights.W_K))
    rotary = (seen["rotary_cos"], seen["rotary_sin"]) if "rotary_cos" in seen else None

    def side(
        W: Tensor, b: Tensor | None, norm: Norm | None, scale: SiteKind, number: int, factor: float
    ) -> Readings:
        held = seen[scale][number] if norm is not None else None
        bias = None if b is None else b[number]
        return _readings(frozen.blocks[layer], W[number], bias, norm, held, rotary, factor)

    q, k = weights, weights
    return FrozenScores(
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
) -> Readings:
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
    return Readings(vectors, (constant @ after + added)[:, 0])


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
