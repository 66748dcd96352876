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
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from tracer.engine.features.dictionary import Dictionary
from tracer.engine.features.formats.format import (
    INPUTS,
    OUTPUTS,
    Fetch,
    Format,
    Settings,
    StatedActivation,
    choose_activation,
    in_layer,
    in_order,
    parse_settings,
    read_json,
    site_kind,
)
from tracer.engine.features.layer_weights import LayerWeights, Scales
from tracer.engine.features.tensor_files import TensorFile, open_tensors, take
from tracer.engine.model.sites import SiteKind
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


class _Part(NamedTuple):
    folder: Path
    config: LlamascopiumConfig
    sites: tuple[SiteKind, SiteKind]


def _layer_folders(folder: Path) -> list[Path]:
    weights = sorted(folder.glob(f"*/{WEIGHTS}"))
    return [path.parent for path in weights if (path.parent / CONFIG).is_file()]


def _read(folder: Path, name: str, _fetch: Fetch) -> Dictionary:
    parts: dict[int, _Part] = {}
    for each in _layer_folders(folder):
        layer, part = _part(each)
        if layer in parts:
            raise UsageError(f"{folder}: layer {layer} is there twice, the second in {each.name}.")
        parts[layer] = part
    ordered = in_order(folder, parts)
    places = {part.sites for part in ordered}
    if len(places) > 1:
        raise UsageError(f"{folder}: its layers do not all read and write at the same places.")
    layers = tuple(_weights(part) for part in ordered)
    files = tuple(part.folder / file for part in ordered for file in (CONFIG, WEIGHTS))
    return Dictionary(name, "transcoders", *places.pop(), layers, files)


def _part(folder: Path) -> tuple[int, _Part]:
    path = folder / CONFIG
    config = parse_settings(path, LlamascopiumConfig, read_json(path))
    read_layer, read_at = in_layer(path, "hook_point_in", config.hook_point_in)
    written_layer, written_at = in_layer(path, "hook_point_out", config.hook_point_out)
    if read_layer != written_layer:
        raise UsageError(f"{path}: it reads layer {read_layer} and writes layer {written_layer}.")
    reads = site_kind(path, "hook_point_in", read_at, INPUTS)
    writes = site_kind(path, "hook_point_out", written_at, OUTPUTS)
    return read_layer, _Part(folder, config, (reads, writes))


def _weights(part: _Part) -> LayerWeights:
    file, config = open_tensors(part.folder / WEIGHTS), part.config
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
