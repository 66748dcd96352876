"""The special tokens at the front of a prompt, which no later token can change.

Their embeddings are nodes, but no gradient is carried back through them. The embedding of each is
carried forward through the frozen layers once; what else stands there (the MLPs' outputs, biases)
counts as constant.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.frozen import Frozen
from tracer.engine.features.basis import FeatureBasis


class PrefixStream(NamedTuple):
    """The residual stream before one layer at the special-token prefix, as a sum."""

    of_token: Float[Tensor, "token prefix d_model"]
    """The part that comes from each of its tokens' embeddings."""
    rest: Float[Tensor, "prefix d_model"]
    """Everything else."""


def prefix_streams(basis: FeatureBasis, frozen: Frozen) -> list[PrefixStream]:
    """Carry the embeddings of the prefix forward; one `PrefixStream` a layer."""
    n = frozen.n_prefix
    x = torch.diag_embed(torch.ones(n, dtype=frozen.dtype, device=frozen.device))
    x = x[:, :, None] * frozen.resid_pre[0][:n]
    found: list[PrefixStream] = []
    for layer, block in enumerate(frozen.blocks):
        found.append(PrefixStream(x, frozen.resid_pre[layer][:n] - x.sum(0)))
        # x' = (1 + J_attention) x, then + write W_skip read x' (of x where they are parallel)
        middle = x + block.attend_from_prefix(x, slice(0, n))
        if (W_skip := basis.W_skip(layer)) is not None:
            read = block.read.linear(x if block.is_parallel else middle, slice(n))
            middle = middle + block.write.linear(read @ W_skip.to(x.dtype).T, slice(n))
        x = middle
    return found
