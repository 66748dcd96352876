"""Llamascopium's transcoders: for each layer a folder, `config.json` and `sae_weights.safetensors`.

OpenMOSS publishes Llama Scope 2 so. W_E is `[d_model, d_sae]`, W_D `[d_sae, d_model]`. With
`sparsity_include_decoder_norm`, the default, the activation function decides on pre-activations
times ‖W_D‖, and its results are divided by it; TopK takes the k largest after a ReLU.

Weights as trained (`norm_activation: dataset-wise`) are for inputs scaled by √d_model / n_in and
give outputs scaled by √d_model / n_out, with mean norms n of a dataset that the file holds. They
are read as the authors fold them into weights for activations as they are (`inference`):
a = act(x W_E + b_E n_in/√d_model), output = a W_D n_out/n_in + b_D n_out/√d_model. TopK is the same
for a common factor of ‖W_D‖; thresholds would move with it, so JumpReLU is read folded only.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from tracer.engine.features.dictionary import Dictionary
from tracer.engine.features.formats.format import (
    Fetch,
    Format,
    LayerSites,
    Settings,
    StatedActivation,
    choose_activation,
    in_order_of_sites,
    layer_sites,
    parse_settings,
    read_json,
)
from tracer.engine.features.layer_weights import LayerWeights, Scales
from tracer.engine.features.tensor_files import TensorFile, open_tensors, take
from tracer.errors import UsageError

CONFIG, WEIGHTS = "config.json", "sae_weights.safetensors"
_NORM = "dataset_average_activation_norm."
_THRESHOLD = "activation_function.log_jumprelu_threshold"


class LlamascopiumConfig(Settings):
    """The keys of `config.json` that decide how the weights are used."""

    sae_type: Literal["sae"]
    hook_point_in: str
    hook_point_out: str
    d_model: int = Field(ge=1)
    act_fn: Literal["relu", "topk", "jumprelu"] = "relu"
    norm_activation: Literal["inference", "dataset-wise"] = "dataset-wise"
    sparsity_include_decoder_norm: bool = True
    top_k: int = Field(default=50, ge=1)
    use_decoder_bias: bool = True
    use_glu_encoder: Literal[False] = False


def _layer_folders(folder: Path) -> list[Path]:
    weights = sorted(folder.glob(f"*/{WEIGHTS}"))
    return [path.parent for path in weights if (path.parent / CONFIG).is_file()]


def _read(folder: Path, name: str, _fetch: Fetch) -> Dictionary:
    configs = {part: _config(part / CONFIG) for part in _layer_folders(folder)}
    sites = ((_sites(part / CONFIG, config), part) for part, config in configs.items())
    parts, reads, writes = in_order_of_sites(folder, sites)
    layers = tuple(_weights(part / WEIGHTS, configs[part]) for part in parts)
    files = tuple(part / file for part in parts for file in (CONFIG, WEIGHTS))
    return Dictionary(name, "transcoders", reads, writes, layers, files)


def _config(path: Path) -> LlamascopiumConfig:
    return parse_settings(path, LlamascopiumConfig, read_json(path))


def _sites(path: Path, config: LlamascopiumConfig) -> LayerSites:
    read, written = config.hook_point_in, config.hook_point_out
    return layer_sites(path, ("hook_point_in", read), ("hook_point_out", written))


def _weights(path: Path, config: LlamascopiumConfig) -> LayerWeights:
    file = open_tensors(path)
    W_E = take(file, "W_E", (config.d_model, None))
    n_features = W_E.shape[1]
    n_in, n_out = _norms(file, config)
    b_D = take(file, "b_D", (config.d_model,)) if config.use_decoder_bias else None
    return LayerWeights(
        W_E.T,
        take(file, "b_E", (n_features,)) * n_in,
        take(file, "W_D", (n_features, config.d_model))[:, None],
        torch.zeros(config.d_model) if b_D is None else b_D * n_out,
        choose_activation(file, *_activation(file, config, n_features), n_features),
        gated_by_norm=config.sparsity_include_decoder_norm and config.act_fn != "relu",
        scales=Scales(W_dec=None if n_in == n_out else _factors(n_features, n_out / n_in)),
    )


def _activation(
    file: TensorFile, config: LlamascopiumConfig, n_features: int
) -> tuple[StatedActivation, Tensor | None]:
    if config.act_fn != "jumprelu":
        return StatedActivation(config.act_fn, config.top_k, clipped=True), None
    if config.norm_activation != "inference":
        raise UsageError(
            f"{file.path}: its thresholds are for scaled activations (norm_activation: "
            "dataset-wise); save it with fold_activation_scale."
        )
    return StatedActivation("jump_relu"), take(file, _THRESHOLD, (n_features,)).exp()


def _norms(file: TensorFile, config: LlamascopiumConfig) -> tuple[float, float]:
    """N / √d_model of what is read and written; 1 of weights for activations as they are."""
    if config.norm_activation == "inference":
        return 1.0, 1.0
    hooks = (config.hook_point_in, config.hook_point_out)
    norms = [float(take(file, f"{_NORM}{hook}", ())) for hook in hooks]
    if not all(math.isfinite(norm) and norm > 0 for norm in norms):
        raise UsageError(f"{file.path}: {_NORM}… are {norms}; they must be above 0.")
    n_in, n_out = (norm / math.sqrt(config.d_model) for norm in norms)
    return n_in, n_out


def _factors(n_features: int, factor: float) -> Tensor:
    return torch.full((n_features, 1), factor)


FORMAT = Format(
    name="Llamascopium",
    marker=f"subfolders with {WEIGHTS} and {CONFIG}",
    is_here=lambda folder: bool(_layer_folders(folder)),
    read=_read,
    nested_patterns=tuple(f"layer*_transcoder_*/{file}" for file in (CONFIG, WEIGHTS)),
)
