"""circuit-tracer's format: `config.yaml`, and one file per layer here or somewhere it names.

It covers transcoders per layer and cross-layer ones; files of Gemma Scope are named, not copied.

Cross-layer transcoders: a pair of files per layer, or Gemma Scope 2's one file per layer.

In the pairs, `W_dec_{i}` holds only the layers from i on; in Gemma Scope 2 all layers, of which
those before the feature's own are unused. Both store the skip matrix for `x @ W`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field

from tracer.engine.features.basis import JumpReLU, ReLU
from tracer.engine.features.dictionary import Dictionary, LayerWeights
from tracer.engine.features.formats.layers import (
    INPUTS,
    OUTPUTS,
    Settings,
    numbered_files,
    read_layer_file,
    read_yaml,
    settings,
    site_kind,
)
from tracer.engine.features.tensor_files import open_tensors, take, take_if_there
from tracer.errors import UsageError
from tracer.hypothesis.names import HubFile, parse_hub_file


def encoder_files(folder: Path) -> list[Path]:
    """The encoders' files, one per layer.

    Raises:
        UsageError: One is missing.
    """
    return numbered_files(folder, "W_enc_")


def decoder_file(encoder_file: Path) -> Path:
    """The decoder's file beside an encoder's."""
    return encoder_file.with_name(encoder_file.name.replace("W_enc_", "W_dec_"))


def read_pair(encoder_file: Path, layer: int, n_layers: int) -> LayerWeights:
    """A layer of a cross-layer transcoder of `n_layers`.

    Raises:
        UsageError: A file or tensor is missing or has a wrong shape or type.
    """
    encoder, decoder = open_tensors(encoder_file), open_tensors(decoder_file(encoder_file))
    W_enc = take(encoder, f"W_enc_{layer}", (None, None))
    n_features, d_model = W_enc.shape
    threshold = take_if_there(encoder, f"threshold_{layer}", (n_features,))
    skip = take_if_there(encoder, f"W_skip_{layer}", (d_model, d_model))
    return LayerWeights(
        W_enc,
        take(encoder, f"b_enc_{layer}", (n_features,)),
        take(decoder, f"W_dec_{layer}", (n_features, n_layers - layer, d_model)),
        take(encoder, f"b_dec_{layer}", (d_model,)),
        ReLU() if threshold is None else JumpReLU(threshold),
        None if skip is None else skip.T,
    )


def read_gemma_scope_2(paths: Sequence[Path]) -> tuple[LayerWeights, ...]:
    """Gemma Scope 2's files, the first being layer 0's.

    Raises:
        UsageError: A file or tensor is missing or has a wrong shape or type.
    """
    return tuple(_read_one(path, layer, len(paths)) for layer, path in enumerate(paths))


def _read_one(path: Path, layer: int, n_layers: int) -> LayerWeights:
    file = open_tensors(path)
    W_enc = take(file, "w_enc", (None, None)).T
    n_features, d_model = W_enc.shape
    skip = take_if_there(file, "affine_skip_connection", (d_model, d_model))
    return LayerWeights(
        W_enc,
        take(file, "b_enc", (n_features,)),
        take(file, "w_dec", (n_features, n_layers, d_model))[:, layer:],
        take(file, "b_dec", (d_model,)),
        JumpReLU(take(file, "threshold", (n_features,))),
        None if skip is None else skip.T,
    )


CONFIG = "config.yaml"

Fetch = Callable[[Sequence[HubFile]], Sequence[Path]]
"""Brings files of the hub here, in the same order."""


class CircuitTracerConfig(Settings):
    """The keys of `config.yaml` that decide how the weights are used."""

    model_kind: Literal["transcoder_set", "cross_layer_transcoder"]
    feature_input_hook: str
    feature_output_hook: str
    transcoders: list[str] | None = Field(default=None, min_length=1)
    activation: Literal["relu", "topk", "jump_relu"] | None = None
    k: int | None = Field(default=None, ge=1)


def read(folder: Path, name: str, fetch: Fetch) -> Dictionary:
    """The dictionary of a folder with a `config.yaml`.

    Raises:
        TracerError: It is incomplete, contradicts itself, or a file it names cannot be had.
    """
    path = folder / CONFIG
    config = settings(path, CircuitTracerConfig, read_yaml(path))
    reads = site_kind(path, "feature_input_hook", config.feature_input_hook, INPUTS)
    writes = site_kind(path, "feature_output_hook", config.feature_output_hook, OUTPUTS)
    named = None if config.transcoders is None else locate(folder, config.transcoders, fetch)
    if config.model_kind == "transcoder_set":
        files = named or numbered_files(folder, "layer_")
        layers = tuple(read_layer_file(file, config.activation, config.k) for file in files)
        return Dictionary(name, "transcoders", reads, writes, layers, (path, *files))
    _refuse_activation(path, config)
    files = named or encoder_files(folder)
    layers, all_files = _cross_layer(files, is_pairs=named is None)
    return Dictionary(name, "cross-layer transcoders", reads, writes, layers, (path, *all_files))


def locate(folder: Path, entries: Sequence[str], fetch: Fetch) -> list[Path]:
    """The files that `transcoders:` names: on the hub, or inside the folder.

    Raises:
        UsageError: One leads out of the folder, or is no address.
        ModelUnavailable: One cannot be had from the hub.
    """
    remote = [entry for entry in entries if "://" in entry]
    fetched = dict(zip(remote, fetch([parse_hub_file(entry) for entry in remote]), strict=True))
    return [fetched[entry] if entry in fetched else _inside(folder, entry) for entry in entries]


def _inside(folder: Path, entry: str) -> Path:
    """Told from the text alone: the hub's cache consists of links that lead out."""
    path = PurePosixPath(entry)
    if path.is_absolute() or ".." in path.parts or "\\" in entry or "\0" in entry:
        raise UsageError(
            f"{folder / CONFIG}: transcoders: {entry[:80]!r} leads out of the folder; allowed are "
            "paths inside it and hf://organisation/name/path."
        )
    return folder / path


def _cross_layer(
    files: Sequence[Path], *, is_pairs: bool
) -> tuple[tuple[LayerWeights, ...], tuple[Path, ...]]:
    if not is_pairs:
        return read_gemma_scope_2(files), tuple(files)
    layers = tuple(read_pair(file, layer, len(files)) for layer, file in enumerate(files))
    return layers, (*files, *map(decoder_file, files))


def _refuse_activation(path: Path, config: CircuitTracerConfig) -> None:
    if config.activation == "topk":
        raise UsageError(
            f"{path}: activation: topk is not known for a cross-layer transcoder; allowed are "
            "relu and jump_relu."
        )
