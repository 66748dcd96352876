"""circuit-tracer's format: `config.yaml`, and one file per layer here or somewhere it names.

It covers transcoders per layer and cross-layer ones; files of Gemma Scope are named, not copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field

from tracer.errors import UsageError
from tracer.features.address import HubFile, parse_hub_file
from tracer.features.dictionary import Dictionary, LayerWeights
from tracer.features.formats.clt_folder import (
    decoder_file,
    encoder_files,
    read_gemma_scope_2,
    read_pair,
)
from tracer.features.formats.config import INPUTS, OUTPUTS, Settings, read_yaml, settings, site_kind
from tracer.features.formats.layer_file import read_layer_file
from tracer.features.formats.numbered import numbered_files

CONFIG = "config.yaml"

Fetch = Callable[[Sequence[HubFile]], Sequence[Path]]
"""Brings files of the hub here, in the same order."""


class Config(Settings):
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
    config = settings(path, Config, read_yaml(path))
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


def _refuse_activation(path: Path, config: Config) -> None:
    if config.activation == "topk":
        raise UsageError(
            f"{path}: activation: topk is not known for a cross-layer transcoder; allowed are "
            "relu and jump_relu."
        )
