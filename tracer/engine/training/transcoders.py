"""Per-layer transcoders: eai-sparsify's `SparseCoder`, one for each layer.

Its module, initialisation, forward pass and folder are used as they are: TopK of what ReLU leaves,
a linear skip connection, and `layers.N.mlp/{cfg.json, sae.safetensors}`.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import PurePosixPath
from typing import Any, final

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from tracer.engine.training.trainee import (
    AUXK_WEIGHT,
    Activations,
    StepReading,
    Trainee,
    WrittenFile,
    auxk_loss,
    scales,
)
from tracer.errors import UsageError
from tracer.record.training import TrainingSettings

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
_AT_ONCE = 1 << 26
"""Numbers of the largest intermediate, token × k × d_model, that are held at once."""


def sparsify() -> Any:
    """The library, which takes seconds to import and then speaks of Triton.

    Raises:
        UsageError: It is not installed.
    """
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import sparsify as library  # an extra
    except ImportError as error:
        raise UsageError(
            "transcoders are trained with eai-sparsify, which is not installed here: "
            "pip install 'tracer-circuits[train]'."
        ) from error
    return library


@final
class Transcoders(Trainee):
    """A `SparseCoder` for each layer; they share nothing."""

    def __init__(self, settings: TrainingSettings, d_model: int) -> None:
        super().__init__()
        library = sparsify()
        config = library.SparseCoderConfig(
            num_latents=settings.width,
            k=settings.k,
            skip_connection=settings.skip,
            transcode=True,
            normalize_decoder=False,
        )
        self.layers = settings.layers
        coders: list[nn.Module] = []
        for layer in settings.layers:
            # By layer, so that layers trained apart come out as those trained together.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(settings.seed * 1000 + layer)
                coders.append(library.SparseCoder(d_model, config, dtype=torch.float32))
        self.coders = nn.ModuleList(coders)
        self.register_buffer("x_scale", torch.ones(len(coders)))
        self.register_buffer("y_scale", torch.ones(len(coders)))
        self._chunk = max(1, _AT_ONCE // (settings.k * d_model))

    @torch.no_grad()
    def begin(self, first: Activations) -> None:
        """Centre pre-activations and outputs on the first step, as eai-sparsify's trainer does."""
        self.x_scale.copy_(scales(first.x))
        self.y_scale.copy_(scales(first.y))
        for n, coder in enumerate(self._each()):
            x_mean = first.x[n].mean(0) * self.x_scale[n]
            coder.encoder.bias.copy_(-coder.encoder.weight @ x_mean)
            coder.b_dec.copy_(first.y[n].mean(0) * self.y_scale[n])

    def backward(self, batch: Activations, dead: Bool[Tensor, "layer feature"]) -> StepReading:
        """See `Trainee.backward`; one layer after another."""
        losses: list[Tensor] = []
        fvus: list[Tensor] = []
        fired = torch.zeros_like(dead)
        for n, coder in enumerate(self._each()):
            x, y = batch.x[n] * self.x_scale[n], batch.y[n] * self.y_scale[n]
            variance = (y - y.mean(0)).square().sum().clamp_min(torch.finfo(y.dtype).tiny)
            off = dead[n].nonzero()[:, 0]
            loss, fvu = x.new_zeros(()), x.new_zeros(())
            for part, target in zip(x.split(self._chunk), y.split(self._chunk), strict=True):
                out = coder(part, target, total_variance=variance)
                auxiliary = auxk_loss(
                    part,
                    target - out.sae_out,
                    off,
                    coder.encoder.weight,
                    coder.encoder.bias,
                    coder.W_dec,
                )
                each = out.fvu + AUXK_WEIGHT * auxiliary / variance
                each.backward()
                loss, fvu = loss + each.detach(), fvu + out.fvu.detach()
                fired[n, out.latent_indices[out.latent_acts > 0]] = True
            losses.append(loss)
            fvus.append(fvu)
        return StepReading(torch.stack(losses).sum(), torch.stack(fvus), fired)

    def files(self) -> Iterator[WrittenFile]:
        """A folder for each layer, as `SparseCoder.save_to_disk` writes it."""
        for n, (layer, coder) in enumerate(zip(self.layers, self._each(), strict=True)):
            folder = PurePosixPath(f"layers.{layer}.mlp")
            into, out_of = self.x_scale[n], 1 / self.y_scale[n]
            factors = {
                "encoder.weight": into,
                "W_dec": out_of,
                "b_dec": out_of,
                "W_skip": into * out_of,
            }
            weights = {
                name: (value * factors[name] if name in factors else value).contiguous()
                for name, value in coder.state_dict().items()
            }
            yield WrittenFile(folder / WEIGHTS, weights)
            about = {**coder.cfg.to_dict(), "d_in": coder.d_in}
            yield WrittenFile(folder / CONFIG, json.dumps(about, indent=1, sort_keys=True) + "\n")

    def _each(self) -> Iterator[Any]:
        yield from self.coders
