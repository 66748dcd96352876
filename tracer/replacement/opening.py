"""The opening positions of a prompt: special tokens that no later token can change.

Their embeddings are nodes, but nothing is carried back through them. The embedding of each is
carried *forwards* through the frozen layers once; what else stands there (the MLPs' outputs,
biases) is a constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.features.basis import FeatureBasis
from tracer.replacement.state import Frozen


@dataclass(frozen=True)
class Opening:
    """What stands in the residual stream before each layer, at the opening positions."""

    of_token: tuple[Float[Tensor, "fixed pos d_model"], ...]
    """The part that came from each opening token's embedding."""
    rest: tuple[Float[Tensor, "pos d_model"], ...]
    """Everything else."""


def open_prompt(basis: FeatureBasis, frozen: Frozen) -> Opening:
    """Carry each opening embedding up through the frozen layers."""
    n = frozen.n_fixed
    x = torch.diag_embed(torch.ones(n, dtype=frozen.dtype, device=frozen.device))
    x = x[:, :, None] * frozen.resid_pre[0][:n]
    of_token: list[Tensor] = []
    rest: list[Tensor] = []
    for layer, block in enumerate(frozen.blocks):
        of_token.append(x)
        rest.append(frozen.resid_pre[layer][:n] - x.sum(0))
        middle = x + block.attend_from(x, slice(0, n))
        W_skip = basis.W_skip(layer)
        if W_skip is not None:
            read = block.read.linear(x if block.is_parallel else middle, slice(n))
            middle = middle + block.write.linear(read @ W_skip.to(x.dtype).T, slice(n))
        x = middle
    return Opening(tuple(of_token), tuple(rest))
