"""What the model says where a basis stands in its MLPs' places: of one layer, or of all at once.

At every token t of a text that is followed by another one, with p the model's next-token
distribution and q that of the model whose MLPs are replaced (`reconstruction`),

    KL = Σ_v p(v) · log p(v)/q(v),    ΔCE = log p(t+1) − log q(t+1),    kept = [argmax q = argmax p]

in nats. Special tokens that a text begins with count no more here than their MLPs are replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.evaluation.reconstruction import reconstructing
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site
from tracer.engine.transfer import on_cpu

_TOKENS = 64
"""Tokens whose logits are held at once, for the model itself and for one variant of it."""


@dataclass(frozen=True)
class NextTokenSums:
    """Sums over the tokens of some texts that are followed by another; float64, on the CPU."""

    n: int
    ce: float
    """Of the model itself."""
    kl: Float[Tensor, " variant"]
    ce_change: Float[Tensor, " variant"]
    kept: Float[Tensor, " variant"]

    def __add__(self, other: NextTokenSums) -> NextTokenSums:
        return NextTokenSums(
            self.n + other.n,
            self.ce + other.ce,
            self.kl + other.kl,
            self.ce_change + other.ce_change,
            self.kept + other.kept,
        )


def next_tokens(
    model: Model,
    basis: FeatureBasis,
    ids: Int[Tensor, "prompt pos"],
    first: int,
    variants: Sequence[Sequence[int]],
) -> NextTokenSums:
    """The sums over one batch of texts, from position `first` on.

    A variant names the layers whose MLPs are replaced.
    """
    following = ids[:, first + 1 :].flatten().to(model.device)

    def put(layer: int, output: Tensor, made: Tensor) -> Tensor:
        return made

    def ends(hooks: Sequence[tuple[Site, Hook]]) -> Float[Tensor, "n d_model"]:
        return model.ends(ids, hooks)[:, first:-1].flatten(0, 1)

    clean = ends([])
    changed = [ends(reconstructing(basis, layers, first, put)) for layers in variants]
    parts: list[NextTokenSums] = []
    for start in range(0, len(following), _TOKENS):
        some = slice(start, start + _TOKENS)
        here = [each[some] for each in changed]
        parts.append(_compared(model, clean[some], here, following[some]))
    return sum(parts[1:], parts[0])


def _compared(
    model: Model,
    clean: Float[Tensor, "n d_model"],
    changed: Sequence[Float[Tensor, "n d_model"]],
    following: Int[Tensor, " n"],
) -> NextTokenSums:
    before = model.unembed(clean)
    total, best = before.logsumexp(-1), before.argmax(-1)
    said = _at(before, following) - total.double()
    p = (before - total[:, None]).exp()
    found: list[Tensor] = []
    for ends in changed:
        after = model.unembed(ends)
        total_after = after.logsumexp(-1)
        change = said - _at(after, following) + total_after.double()
        kept = (after.argmax(-1) == best).double()
        # Σ p · log p/q = Σ p · (logit of p − logit of q) + log Σ exp(q's logits) − log Σ exp(p's)
        moved = torch.linalg.vecdot(p, before - after) + total_after - total
        # It is no less than 0; what rounding leaves below that is none.
        found.append(torch.stack([x.sum() for x in (moved.double().clamp_min(0), change, kept)]))
    ce, sums = on_cpu([-said.sum(), torch.stack(found)])
    return NextTokenSums(len(following), float(ce), *sums.unbind(1))


def _at(logits: Float[Tensor, "n vocab"], token: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    return logits.gather(-1, token[:, None])[:, 0].double()
