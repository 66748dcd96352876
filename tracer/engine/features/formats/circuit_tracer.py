"""circuit-tracer's format: `config.yaml`, and one file per layer here or somewhere it names.

`model_kind` says whether these are per-layer or cross-layer transcoders; files of Gemma Scope are
named, not copied. A layer of a cross-layer transcoder is a pair of files, whose `W_dec_{i}` holds
only the layers from i on, or Gemma Scope 2's one file, which holds all layers; those before the
feature's own are unused. Both store the skip matrix for `x @ W`.

TopK is taken within a layer, also of a cross-layer transcoder: circuit-tracer knows none of these,
and those that `tracer train` writes choose so, after a ReLU.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from tracer.engine.features.dictionary import Dictionary
from tracer.engine.features.formats.format import (
    INPUTS,
    OUTPUTS,
    Fetch,
    Format,
    Settings,
    StatedActivation,
    choose_activation,
    numbered_files,
    parse_settings,
    read_layer_file,
    read_yaml,
    site_kind,
)
from tracer.engine.features.layer_weights import LayerWeights, Scales
from tracer.engine.features.tensor_files import (
    open_tensors,
    take,
    take_if_there,
    take_weight,
    take_weight_if_there,
)
from tracer.engine.model.hf_folder import leads_out
from tracer.errors import UsageError
from tracer.hypothesis.named_dictionaries import published_k
from tracer.hypothesis.names import parse_hub_file

CONFIG = "config.yaml"
ENCODER, DECODER = "W_enc_", "W_dec_"


class CircuitTracerConfig(Settings):
    """The keys of `config.yaml` that decide how the weights are used."""

    model_kind: Literal["transcoder_set", "cross_layer_transcoder"]
    feature_input_hook: str
    feature_output_hook: str
    transcoders: list[str] | None = Field(default=None, min_length=1)
    activation: Literal["relu", "topk", "jump_relu"] | None = None
    k: int | None = Field(default=None, ge=1)
    topk_after_relu: bool | None = None
    """Whether negative pre-activations among the k largest count as 0.

    By default those of cross-layer transcoders do, and those of per-layer ones, which
    circuit-tracer reads too, do not.
    """

    @property
    def asked(self) -> StatedActivation:
        """The activation function."""
        default = self.model_kind == "cross_layer_transcoder"
        clipped = default if self.topk_after_relu is None else self.topk_after_relu
        return StatedActivation(self.activation, self.k, clipped)


def _read(folder: Path, name: str, fetch: Fetch) -> Dictionary:
    path = folder / CONFIG
    config = parse_settings(path, CircuitTracerConfig, read_yaml(path))
    if config.activation == "topk" and config.k is None:
        config = config.model_copy(update={"k": published_k(name)})
    reads = site_kind(path, "feature_input_hook", config.feature_input_hook, INPUTS)
    writes = site_kind(path, "feature_output_hook", config.feature_output_hook, OUTPUTS)
    named = None if config.transcoders is None else _locate(folder, config.transcoders, fetch)
    if config.model_kind == "transcoder_set":
        files = named or numbered_files(folder, "layer_")
        layers = tuple(read_layer_file(file, config.asked) for file in files)
        return Dictionary(name, "transcoders", reads, writes, layers, (path, *files))
    files = named or numbered_files(folder, ENCODER)
    read_layer = _read_gemma_scope_2 if named else _read_pair
    n_layers = len(files)
    layers = tuple(read_layer(file, n, n_layers, config.asked) for n, file in enumerate(files))
    decoders = () if named else map(_decoder_file, files)
    all_files = (path, *files, *decoders)
    return Dictionary(name, "cross-layer transcoders", reads, writes, layers, all_files)


def _locate(folder: Path, entries: Sequence[str], fetch: Fetch) -> list[Path]:
    """The files that `transcoders:` names: on the hub, or inside the folder."""
    remote = [entry for entry in entries if "://" in entry]
    fetched = dict(zip(remote, fetch([parse_hub_file(entry) for entry in remote]), strict=True))
    return [fetched[entry] if entry in fetched else _inside(folder, entry) for entry in entries]


def _inside(folder: Path, entry: str) -> Path:
    if leads_out(entry):
        raise UsageError(
            f"{folder / CONFIG}: transcoders: {entry[:80]!r} leads out of the folder; allowed are "
            "paths inside it and hf://organisation/name/path."
        )
    return folder / entry


def _decoder_file(encoder_file: Path) -> Path:
    return encoder_file.with_name(encoder_file.name.replace(ENCODER, DECODER))


def _read_pair(
    encoder_file: Path, layer: int, n_layers: int, activation: StatedActivation
) -> LayerWeights:
    """A layer of `n_layers`, from its encoder's file and the decoder's beside it."""
    encoder, decoder = open_tensors(encoder_file), open_tensors(_decoder_file(encoder_file))
    W_enc = take_weight(encoder, f"W_enc_{layer}", (None, None))
    n_features, d_model = W_enc.values.shape
    W_dec = take_weight(decoder, f"W_dec_{layer}", (n_features, n_layers - layer, d_model))
    threshold = take_if_there(encoder, f"threshold_{layer}", (n_features,))
    W_skip, scale = take_weight_if_there(encoder, f"W_skip_{layer}", (d_model, d_model))
    return LayerWeights(
        W_enc.values,
        take(encoder, f"b_enc_{layer}", (n_features,)),
        W_dec.values,
        take(encoder, f"b_dec_{layer}", (d_model,)),
        choose_activation(encoder, activation, threshold, n_features),
        None if W_skip is None else W_skip.T,
        scales=Scales(W_enc.scale, W_dec.scale, None if scale is None else scale[None]),
    )


def _read_gemma_scope_2(
    path: Path, layer: int, n_layers: int, activation: StatedActivation
) -> LayerWeights:
    """A layer of `n_layers`, from Gemma Scope 2's file."""
    file = open_tensors(path)
    W_enc = take(file, "w_enc", (None, None)).T
    n_features, d_model = W_enc.shape
    skip = take_if_there(file, "affine_skip_connection", (d_model, d_model))
    return LayerWeights(
        W_enc,
        take(file, "b_enc", (n_features,)),
        take(file, "w_dec", (n_features, n_layers, d_model))[:, layer:],
        take(file, "b_dec", (d_model,)),
        choose_activation(file, activation, take(file, "threshold", (n_features,)), n_features),
        None if skip is None else skip.T,
    )


FORMAT = Format(
    name="circuit-tracer",
    marker=CONFIG,
    is_here=lambda folder: (folder / CONFIG).is_file(),
    read=_read,
    hub_patterns=(
        CONFIG,
        "layer_*.safetensors",
        f"{ENCODER}*.safetensors",
        f"{DECODER}*.safetensors",
    ),
    bare_weights=("layer_*.safetensors", "W_enc_*.safetensors", "**/params.npz", "params_layer_*"),
    bare_reason=(
        "the weights are there but no config.yaml, so nothing says where they read and write; "
        "it needs model_kind, feature_input_hook and feature_output_hook."
    ),
)
