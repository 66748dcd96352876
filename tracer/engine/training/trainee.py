"""What is trained: the interface of a dictionary whose weights still change.

A dictionary learns to give the output y of each MLP from its input x. Both are scaled by a number
for each layer, so that the centred x and y have a mean square of 1 whatever the model: one learning
rate then suits all layers and models. The scales are folded into the weights that are written.

Loss and FVU are those of eai-sparsify: FVU = Σ |y − ŷ|² / Σ |y − ȳ|², sums over a step's tokens and
ȳ their mean, by layer. Features that were off for long are revived by AuxK (Gao et al. 2024,
arXiv 2406.04093, appendix A.2): the dead features alone predict what the others leave over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear

AUXK_WEIGHT = 1 / 32
"""Of the AuxK loss beside the FVU, as in the paper."""


class Activations(NamedTuple):
    """Inputs and outputs of the MLPs that are learned from, the special tokens left out."""

    x: Float[Tensor, "layer token d_model"]
    y: Float[Tensor, "layer token d_model"]


class StepReading(NamedTuple):
    """What one step saw, before its weights changed."""

    loss: Float[Tensor, ""]
    fvu: Float[Tensor, " layer"]
    fired: Bool[Tensor, "layer feature"]


class WrittenFile(NamedTuple):
    """A file of a dictionary's folder: tensors, or a text."""

    path: PurePosixPath
    content: Mapping[str, Tensor] | str


class Trainee(nn.Module, ABC):
    """Its parameters and buffers are all of its state."""

    layers: tuple[int, ...]
    """Of the model, in the order of every `layer` axis here."""
    x_scale: Float[Tensor, " layer"]
    y_scale: Float[Tensor, " layer"]

    @abstractmethod
    def begin(self, first: Activations) -> None:
        """Take scales and biases from the first step's activations."""

    @abstractmethod
    def backward(self, batch: Activations, dead: Bool[Tensor, "layer feature"]) -> StepReading:
        """Add the gradient of the loss by every parameter to its `grad`."""

    @abstractmethod
    def files(self) -> Iterator[WrittenFile]:
        """The dictionary as `--features` reads it, a file at a time, the scales folded in."""


def scales(values: Float[Tensor, "layer token d_model"]) -> Float[Tensor, " layer"]:
    """By layer, what the values are multiplied with: 1 over their standard deviation."""
    centred = values - values.mean(1, keepdim=True)
    spread = centred.square().mean((1, 2)).sqrt()
    return torch.where(spread > 0, 1 / spread, 1)


def auxk_loss(
    x: Float[Tensor, "token d_model"],
    error: Float[Tensor, "token d_out"],
    dead: Int[Tensor, " dead"],
    W_enc: Float[Tensor, "feature d_model"],
    b_enc: Float[Tensor, " feature"],
    W_dec: Float[Tensor, "feature d_out"],
) -> Float[Tensor, ""]:
    """Σ |error − what the strongest dead features write|²; 0 where none is dead.

    At most half as many features as the error has dimensions are taken at a token, and fewer dead
    ones count for less, both as in eai-sparsify. There the encoder has no gradient of this loss;
    here it has, without which a dead feature would stay dead.
    """
    if not len(dead):
        return error.new_zeros(())
    most = max(1, error.shape[-1] // 2)
    on = linear(x, W_enc[dead], b_enc[dead]).relu()
    if len(dead) > most:
        largest = on.topk(most, dim=-1, sorted=False)
        on = torch.zeros_like(on).scatter(-1, largest.indices, largest.values)
    squares = (error.detach() - on @ W_dec[dead]).square().sum()
    return squares * min(len(dead) / most, 1.0)
