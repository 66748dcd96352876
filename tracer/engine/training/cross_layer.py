"""A cross-layer transcoder: a feature reads at its layer and writes to that and every later one.

With x_l and y_l the input and output of layer l's MLP (Ameisen et al. 2025, *Circuit Tracing*):

    a_l = act(W_enc_l x_l + b_enc_l)
    ŷ_m = Σ_{l ≤ m} W_dec_{l→m} a_l + b_dec_m (+ W_skip_m x_m)

The loss is Σ_m FVU_m. TopK keeps, in each layer by itself, the k largest of what ReLU leaves.
JumpReLU has a threshold θ for each feature; k is then how many features of a layer are to be on at
a token on average, by (L0 / k - 1)² for each layer, and θ gets its gradients by a rectangle of
width ε around it (Rajamanoharan et al. 2024, arXiv 2407.14435, equations 11 and 12). θ begins where
k features of a layer are on.

Activations are kept as lists of the features that are on: what they write is a weighted sum of rows
of the decoder, whose cost does not grow with the width.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, linear

from tracer.engine.training.trainee import (
    AUXK_WEIGHT,
    Activations,
    StepReading,
    Trainee,
    WrittenFile,
    auxk_loss,
    scales,
)
from tracer.record.training import TrainingSettings

BANDWIDTH = 0.05
"""ε: pre-activations have a deviation of about 0.6 at the beginning."""
SPARSITY_WEIGHT = 1.0
_LEAST_THRESHOLD = 1e-3
_AT_ONCE = 1 << 26
"""Numbers of the largest intermediate, token × layer × feature, that are held at once."""


class Active(NamedTuple):
    """The features of a layer that are on, token after token."""

    features: Int[Tensor, " n"]
    starts: Int[Tensor, " token"]
    """Where each token's features begin."""
    values: Float[Tensor, " n"]


@final
class CrossLayerTranscoder(Trainee):
    """All layers of a model, trained together."""

    def __init__(self, settings: TrainingSettings, d_model: int) -> None:
        super().__init__()
        self.layers = settings.layers
        self._settings = settings
        n, width = len(settings.layers), settings.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            bound = d_model**-0.5
            self.W_enc = _parameters(
                torch.empty(width, d_model).uniform_(-bound, bound) for _ in range(n)
            )
        self.b_enc = _parameters(torch.zeros(width) for _ in range(n))
        self.W_dec = nn.ParameterDict(
            {
                f"{layer}_{to}": nn.Parameter(torch.zeros(width, d_model))
                for layer in range(n)
                for to in range(layer, n)
            }
        )
        self.b_dec = _parameters(torch.zeros(d_model) for _ in range(n))
        skips = n if settings.skip else 0
        self.W_skip = _parameters(torch.zeros(d_model, d_model) for _ in range(skips))
        jumps = n if settings.activation == "jumprelu" else 0
        self.log_threshold = _parameters(torch.zeros(width) for _ in range(jumps))
        self.register_buffer("x_scale", torch.ones(n))
        self.register_buffer("y_scale", torch.ones(n))
        self._chunk = max(1, _AT_ONCE // (n * width))

    @torch.no_grad()
    def begin(self, first: Activations) -> None:
        """Centre pre-activations and outputs on the first step; set thresholds by it."""
        self.x_scale.copy_(scales(first.x))
        self.y_scale.copy_(scales(first.y))
        for n in range(len(self.layers)):
            x, y = first.x[n] * self.x_scale[n], first.y[n] * self.y_scale[n]
            self.b_enc[n].copy_(-self.W_enc[n] @ x.mean(0))
            self.b_dec[n].copy_(y.mean(0))
            if self._jumps:
                pre = linear(x, self.W_enc[n], self.b_enc[n]).flatten()
                on = min(len(pre), max(1, self._settings.k * len(x)))
                at = pre.kthvalue(len(pre) - on + 1).values.clamp_min(_LEAST_THRESHOLD)
                self.log_threshold[n].fill_(math.log(at.item()))

    def backward(self, batch: Activations, dead: Bool[Tensor, "layer feature"]) -> StepReading:
        """See `Trainee.backward`."""
        x = batch.x * self.x_scale[:, None, None]
        y = batch.y * self.y_scale[:, None, None]
        variance = (y - y.mean(1, keepdim=True)).square().sum((1, 2))
        variance = variance.clamp_min(torch.finfo(y.dtype).tiny)
        off = [each.nonzero()[:, 0] for each in dead]
        fired = torch.zeros_like(dead)
        loss, fvu = x.new_zeros(()), x.new_zeros(len(x))
        for part, target in zip(x.split(self._chunk, 1), y.split(self._chunk, 1), strict=True):
            each = self._loss(part, target, variance, off, fired, part.shape[1] / x.shape[1])
            each.loss.backward()
            loss, fvu = loss + each.loss.detach(), fvu + each.fvu.detach()
        return StepReading(loss, fvu, fired)

    def _loss(
        self,
        x: Float[Tensor, "layer token d_model"],
        y: Float[Tensor, "layer token d_model"],
        variance: Float[Tensor, " layer"],
        dead: list[Tensor],
        fired: Bool[Tensor, "layer feature"],
        share: float,
    ) -> StepReading:
        """Of some of a step's tokens, this share of them; `fired` is marked."""
        active: list[Active] = []
        loss = x.new_zeros(())
        fvus: list[Tensor] = []
        for m in range(len(self.layers)):
            pre = linear(x[m], self.W_enc[m], self.b_enc[m])
            here = self._jump(m, pre) if self._jumps else _top(pre.relu(), self._settings.k)
            fired[m, here.features[here.values > 0]] = True
            active.append(here)
            if self._jumps:
                loss = loss + share * SPARSITY_WEIGHT * self._excess(m, pre)
            out = self.b_dec[m] + sum(
                self._written(each, layer, m) for layer, each in enumerate(active)
            )
            if self._settings.skip:
                out = out + linear(x[m], self.W_skip[m])
            error = y[m] - out
            own = self.W_dec[f"{m}_{m}"]
            auxiliary = auxk_loss(x[m], error, dead[m], self.W_enc[m], self.b_enc[m], own)
            fvus.append(error.square().sum() / variance[m])
            loss = loss + fvus[-1] + AUXK_WEIGHT * auxiliary / variance[m]
        return StepReading(loss, torch.stack(fvus), fired)

    @property
    def _jumps(self) -> bool:
        return len(self.log_threshold) > 0

    def _jump(self, n: int, pre: Float[Tensor, "token feature"]) -> Active:
        """Features that are on or so near it that their threshold has a gradient."""
        threshold = self.log_threshold[n].exp()
        near = pre.detach() > threshold.detach() - BANDWIDTH / 2
        token, index = near.nonzero(as_tuple=True)
        values = _jump_relu(pre[token, index], threshold[index])
        counts = near.sum(1)
        return Active(index, counts.cumsum(0) - counts, values)

    def _excess(self, n: int, pre: Float[Tensor, "token feature"]) -> Float[Tensor, ""]:
        """(L0 / k - 1)² of a layer; only thresholds have its gradient."""
        on = _is_above(pre.detach(), self.log_threshold[n].exp())
        return (on.sum() / len(pre) / self._settings.k - 1).square()

    def _written(self, active: Active, layer: int, to: int) -> Float[Tensor, "token d_model"]:
        return embedding_bag(
            active.features,
            self.W_dec[f"{layer}_{to}"],
            active.starts,
            mode="sum",
            per_sample_weights=active.values,
        )

    def files(self) -> Iterator[WrittenFile]:
        """circuit-tracer's cross-layer format; it stores the skip matrix for `x @ W`."""
        n_layers = len(self.layers)
        for n in range(n_layers):
            into, out_of = self.x_scale[n], 1 / self.y_scale
            encoder = {
                f"W_enc_{n}": self.W_enc[n] * into,
                f"b_enc_{n}": self.b_enc[n],
                f"b_dec_{n}": self.b_dec[n] * out_of[n],
            }
            if self._jumps:
                encoder[f"threshold_{n}"] = self.log_threshold[n].exp()
            if self._settings.skip:
                encoder[f"W_skip_{n}"] = self.W_skip[n].T * into * out_of[n]
            targets = [self.W_dec[f"{n}_{to}"] * out_of[to] for to in range(n, n_layers)]
            decoder = {f"W_dec_{n}": torch.stack(targets, 1)}
            yield WrittenFile(PurePosixPath(f"W_enc_{n}.safetensors"), encoder)
            yield WrittenFile(PurePosixPath(f"W_dec_{n}.safetensors"), decoder)
        yield WrittenFile(PurePosixPath("config.yaml"), self._config())

    def _config(self) -> str:
        """JSON, which is YAML."""
        about: dict[str, Any] = {
            "model_kind": "cross_layer_transcoder",
            "feature_input_hook": "mlp.hook_in",
            "feature_output_hook": "mlp.hook_out",
            "activation": "jump_relu" if self._jumps else "topk",
        }
        if not self._jumps:
            about["k"] = self._settings.k
        return json.dumps(about, indent=1) + "\n"


def _parameters(values: Iterator[Tensor]) -> nn.ParameterList:
    return nn.ParameterList([nn.Parameter(value) for value in values])


def _top(on: Float[Tensor, "token feature"], k: int) -> Active:
    largest = on.topk(k, dim=-1, sorted=False)
    starts = torch.arange(0, len(on) * k, k, device=on.device)
    return Active(largest.indices.flatten(), starts, largest.values.flatten())


class _JumpReLU(torch.autograd.Function):
    """z where z > θ; the derivative by θ is -θ/ε where |z - θ| < ε/2."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(z, threshold)
        return torch.where(z > threshold, z, 0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        z, threshold = ctx.saved_tensors
        near = (z - threshold).abs() < BANDWIDTH / 2
        by_threshold = torch.where(near, -threshold / BANDWIDTH, 0)
        return gradients[0] * (z > threshold), gradients[0] * by_threshold


class _Above(torch.autograd.Function):
    """1 where z > θ; the derivative by θ is -1/ε where |z - θ| < ε/2, and by z there is none."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(z, threshold)
        return (z > threshold).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        z, threshold = ctx.saved_tensors
        near = (z - threshold).abs() < BANDWIDTH / 2
        return None, (gradients[0] * near).sum(0) * (-1 / BANDWIDTH)


def _jump_relu(z: Float[Tensor, " n"], threshold: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    found: Any = _JumpReLU.apply(z, threshold)
    return found


def _is_above(
    z: Float[Tensor, "token feature"], threshold: Float[Tensor, " feature"]
) -> Float[Tensor, "token feature"]:
    found: Any = _Above.apply(z, threshold)
    return found
