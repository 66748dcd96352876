"""The weights that a frozen block is made of: value and output maps of attention, and the norms.

Norms are told by what they do, not by their class: an affine map after the division by a scale.
Weight and bias are read off by probing, so that every convention (Gemma's 1 + w, say) comes out
right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.model.placement import alone

PART = 1 << 15
"""Tokens whose unembedding is copied into another type at once: 302 MB for a width of 2,304."""
PROBE = 1e4
"""Size of the probe: large, so that a norm's epsilon is lost in it."""


class Norm(NamedTuple):
    """y = w · (x − mean if it centres) / scale + b, in float32 at least."""

    w: Float[Tensor, " d_model"]
    b: Float[Tensor, " d_model"]
    centres: bool

    def linear(self, x: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_model"]:
        """The linear part without the division: w · (x − mean)."""
        return self._centred(x) * self.w.to(x.dtype)

    def back(self, gradient: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_model"]:
        """The transpose of `linear`."""
        return self._centred(gradient * self.w.to(gradient.dtype))

    def plain(self) -> Norm:
        """The norm before its learned weight and bias."""
        return Norm(torch.ones_like(self.w), torch.zeros_like(self.b), self.centres)

    def _centred(self, x: Tensor) -> Tensor:
        return x - x.mean(-1, keepdim=True) if self.centres else x


class Block(NamedTuple):
    """One layer without its MLP and its query-key circuit; None where a part is missing."""

    ln1: Norm | None
    W_V: Float[Tensor, "group d_model d_head"]
    b_V: Float[Tensor, "group d_head"] | None
    W_O: Float[Tensor, "head d_head d_model"]
    b_O: Float[Tensor, " d_model"] | None
    ln1_post: Norm | None
    ln2: Norm | None
    ln2_post: Norm | None
    is_parallel: bool
    """Whether the MLP reads what the attention reads, and not its result."""


class QueryKey(NamedTuple):
    """The query-key circuit of one layer, without the norm before it; None where a part is missing.

    A score is scaling · R_q q_norm(W_Q x + b_Q) · R_k k_norm(W_K x + b_K), R the rotation by a
    position, then soft cap · tanh(score / soft cap) where there is one.
    """

    W_Q: Float[Tensor, "head d_model d_head"]
    b_Q: Float[Tensor, "head d_head"] | None
    q_norm: Norm | None
    W_K: Float[Tensor, "group d_model d_head"]
    b_K: Float[Tensor, "group d_head"] | None
    k_norm: Norm | None
    scaling: float
    soft_cap: float | None


class Unembedding(NamedTuple):
    """What stands between the last residual stream and the logits."""

    ln_final: Norm
    W_U: Float[Tensor, "d_model vocab"]
    b_U: Float[Tensor, " vocab"] | None

    def reads(self, weights: Float[Tensor, "n vocab"]) -> Float[Tensor, "n d_model"]:
        """What sums of logits read: weights · W_Uᵀ, in the weights' type."""
        parts = self._parts(weights.dtype)
        return sum((weights[:, part] @ W_U.T for part, W_U in parts), weights.new_zeros(()))

    def scores(self, directions: Float[Tensor, "n d_model"]) -> Float[Tensor, "n vocab"]:
        """What directions add to every logit: directions · W_U, in their type."""
        parts = [directions @ W_U for _, W_U in self._parts(directions.dtype)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def _parts(self, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
        """W_U in a type: a part of the vocabulary at a time where that takes a copy."""
        n = self.W_U.shape[1]
        size = n if self.W_U.dtype == dtype else PART
        for start in range(0, n, size):
            part = slice(start, start + size)
            yield part, self.W_U[:, part].to(dtype)


def read_block(bridge: Any) -> Block:
    """Read one block of a TransformerLens bridge."""
    attn = bridge.attn
    W_V, W_O = read_values(attn)
    like = W_O[0, 0]
    norms = {name: _norm(bridge, name, like) for name in ("ln1", "ln1_post", "ln2", "ln2_post")}
    return Block(
        W_V=W_V,
        b_V=_detached(attn.b_V),
        W_O=W_O,
        b_O=_detached(attn.b_O),
        is_parallel="Parallel" in type(bridge).__name__,
        **norms,
    )


class Values(NamedTuple):
    """What attention carries, without its pattern."""

    W_V: Float[Tensor, "group d_model d_head"]
    W_O: Float[Tensor, "head d_head d_model"]


def read_values(attn: Any) -> Values:
    """Value and output maps; of quantised ones, the matrices that they multiply with.

    TransformerLens reads no quantised storage. A projection that is quantised is still a linear
    map, x ↦ x W + b, and the rows of W are what it makes of the unit vectors.

    Raises:
        NotImplementedError: The weights are not in memory, or attention has no such projections.
    """
    try:
        return Values(attn.W_V.detach(), attn.W_O.detach())
    except NotImplementedError:
        v, o = (getattr(attn, name, None) for name in ("v", "o"))
        if not _is_quantised(v) or not _is_quantised(o):
            raise
        W_O, d_head = _dense(o), int(attn.config.d_head)
        W_V = _dense(v)
        by_group = W_V.view(len(W_V), -1, d_head).transpose(0, 1)
        return Values(by_group, W_O.view(-1, d_head, W_O.shape[1]))


def _is_quantised(linear: Any) -> bool:
    """Whether a projection is there, and its weight in memory as packed integers."""
    weight = getattr(getattr(linear, "original_component", None), "weight", None)
    return isinstance(weight, Tensor) and weight.device.type != "meta"


def _dense(linear: Any) -> Float[Tensor, "d_in d_out"]:
    """The matrix of a linear map, from its outputs."""
    module = linear.original_component
    unit = torch.eye(module.in_features, dtype=_float_of(module), device=module.weight.device)
    with torch.no_grad():
        rows = module(unit)
    return rows if module.bias is None else rows - module.bias.to(rows.dtype)


def _float_of(module: torch.nn.Module) -> torch.dtype:
    """What a quantised projection computes in."""
    return getattr(module, "compute_dtype", None) or torch.float32


def read_query_key(bridge: Any) -> QueryKey:
    """Read the query-key circuit of one block of a TransformerLens bridge."""
    attn, module = bridge.attn, bridge.attn.original_component
    W_Q = attn.W_Q.detach()
    return QueryKey(
        W_Q=W_Q,
        b_Q=_detached(attn.b_Q),
        q_norm=_norm(attn, "q_norm", W_Q[0, 0]),
        W_K=attn.W_K.detach(),
        b_K=_detached(attn.b_K),
        k_norm=_norm(attn, "k_norm", W_Q[0, 0]),
        scaling=float(getattr(module, "scaling", W_Q.shape[-1] ** -0.5)),
        soft_cap=getattr(module, "attn_logit_softcapping", None),
    )


def read_unembedding(bridge: Any) -> Unembedding:
    """Read the end of a TransformerLens bridge."""
    ln_final = _norm(bridge, "ln_final", bridge.W_U[:, 0])
    assert ln_final is not None
    bias = getattr(bridge, "b_U", None)
    return Unembedding(ln_final, bridge.W_U.detach(), _detached(bias))


def _detached(weight: Tensor | None) -> Tensor | None:
    return None if weight is None else weight.detach()


def _norm(parent: Any, name: str, like: Float[Tensor, " d_model"]) -> Norm | None:
    """The norm of this name, by what it makes of three probes.

    One without weights (OLMo's) is probed like any other, in the type of `like`.
    """
    bridge = getattr(parent, name, None)
    if bridge is None or isinstance(bridge.original_component, torch.nn.Identity):
        return None
    some = next(bridge.original_component.parameters(), like)
    dtype = torch.promote_types(some.dtype, torch.float32)
    module = alone(bridge.original_component).to(dtype)
    sign = torch.ones(like.shape[-1], device=like.device, dtype=dtype)
    sign[::2] = -1
    with torch.no_grad():
        plus, minus = module(PROBE * sign), module(-PROBE * sign)
        level = module(PROBE * torch.ones_like(sign))
    bias = (plus + minus) / 2
    centres = bool((level - bias).norm() < 1e-3 * (plus - minus).norm() / 2)
    return Norm((plus - minus) / 2 * sign, bias, centres)
